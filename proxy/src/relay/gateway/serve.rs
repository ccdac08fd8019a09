//! One connection from accept to its end: to the gateway, or behind an HTTP CONNECT to where that leads.

use super::Gateway;
use super::connect_request::{self, Destination};
use super::connection::GatewayConnection;
use super::gate::Gate;
use super::host::Host;
use crate::alter::Note;
use crate::intercept::tls::StreamEnd;
use crate::relay::exchange::{ExchangeEnd, ExchangeTap, exchange};
use crate::relay::impaired::{self, Impaired};
use crate::relay::intercepted::legs::{Beginning, Caller, Legs, Stopped, Terminated};
use crate::relay::intercepted::{Intercepted, ending, note_farewell, note_line};
use crate::relay::listener::Present;
use crate::relay::pump::{Ending, PumpEnd, linger, pump, reset};
use crate::relay::reach::accepted;
use crate::relay::room::Place;
use crate::relay::session::{forward_first, meet, not_impaired};
use crate::relay::socket::Socket;
use crate::relay::teller::Teller;
use crate::relay::workers;
use crate::trace::{Detail, Leg, Micros, Phase, Side};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpStream;

/// Serves a connection of a run whose connections have to be sorted into sessions.
pub(in crate::relay) async fn serve(mut client: TcpStream, peer: SocketAddr, place: Place, host: Host) {
    let present = host.shared.present();
    // Relayed bytes leave as they come: nothing is held back for a fuller segment.
    let _ = client.set_nodelay(true);
    if present.settings.as_http_proxy {
        let mut stop = present.stop.clone();
        let asked = tokio::select! {
            asked = connect_request::answer(&mut client, &present.settings) => asked,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match asked {
            Some(Destination::Gateway) => {}
            Some(Destination::Server) => return serve_server(client, peer, place, &host),
            None => return,
        }
    }
    let Some(gateway) = &present.settings.gateway else { return };
    let Some(connection) = host.enter(peer, &present) else {
        // What would begin one session too many is refused as by a port that nobody listens on.
        reset(&client.into());
        return;
    };
    serve_gateway(client, (peer, &place), connection, gateway, &present).await;
}

/// A direct session behind an HTTP CONNECT.
fn serve_server(client: TcpStream, peer: SocketAddr, place: Place, host: &Host) {
    if !host.may_begin() {
        reset(&client.into());
        return;
    }
    let number = host.shared.attempts.began(peer.ip());
    let session = workers::serve(client, (peer, number), place, host.shared.clone());
    // The thread takes jobs for as long as it has connections.
    let _ = host.jobs.send(Box::pin(session));
}

async fn serve_gateway(
    client: TcpStream,
    (peer, place): (SocketAddr, &Place),
    connection: GatewayConnection,
    gateway: &Gateway,
    present: &Present,
) {
    let local = client.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
    let detail = Detail::Accepted { peer: peer.to_string(), local };
    connection.say(Leg::Client, None, Phase::Tcp, detail);
    let client = accepted(client, peer, &connection);
    let impairments = &present.settings.impairments;
    let Some(impaired) = Impaired::begin(impairments, &connection.session(), connection.number() == 1) else {
        relay_until_stopped((client, place), &connection, gateway, present, None).await;
        return;
    };
    let client = match impaired::join(Some(&impaired), Side::Client, client).await {
        Ok(client) => client,
        Err(error) => return connection.close_by_proxy(&not_impaired(&error)),
    };
    let goes_on = relay_until_stopped((client, place), &connection, gateway, present, Some(&impaired)).await;
    if !goes_on {
        let mut stop = present.stop.clone();
        tokio::select! {
            () = impaired.finish() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}

/// Relays until the connection is over; true where it is kept all the same.
async fn relay_until_stopped(
    (mut client, place): (Socket, &Place),
    connection: &GatewayConnection,
    gateway: &Gateway,
    present: &Present,
    impaired: Option<&Impaired>,
) -> bool {
    let mut stop = present.stop.clone();
    let relaying = Box::pin(relay(&mut client, connection, gateway, present, impaired));
    let left_open = tokio::select! {
        left_open = relaying => left_open,
        _ = stop.wait_for(|stop| *stop) => {
            connection.session().lock().stop("rdpscope was told to stop");
            None
        }
        () = impaired::all_cut(impaired) => None,
    };
    if let Some(info) = impaired::info(impaired, Side::Client, &client) {
        connection.say(Leg::Client, None, Phase::Tcp, Detail::TcpInfo(info));
    }
    let goes_on = left_open.is_some();
    match left_open {
        Some(server) => drop(tokio::spawn(linger(client, server, place.clone()))),
        None => drop(client),
    }
    goes_on
}

/// Connects and relays until both sides are done; answers with the gateway's connection where it is to be kept.
async fn relay(
    client: &mut Socket,
    connection: &GatewayConnection,
    gateway: &Gateway,
    present: &Present,
    impaired: Option<&Impaired>,
) -> Option<Socket> {
    let mut tap = connection.clone();
    let (server, first) = match meet(client, &gateway.route, impaired, connection, &mut tap).await {
        Ok((Some(server), first)) => (server, first),
        Ok((None, _)) => {
            reset(client);
            connection.gave_up();
            return None;
        }
        Err(ending) => {
            connection.client_gave_up(ending);
            return None;
        }
    };
    let _ = server.set_nodelay(true);
    let Some(interception) = present.settings.interception.as_deref() else {
        return pass_through(client, server, &first, tap, impaired).await;
    };
    let context = Intercepted { interception, route: Some(&gateway.route), impaired };
    let end = match relay_inside(client, server, first, tap, context, gateway).await {
        Ok(end) => end,
        Err(Stopped::Closed) => ExchangeEnd::Finished,
        Err(Stopped::Reset) => ExchangeEnd::Reset,
    };
    if end == ExchangeEnd::Reset {
        reset(client);
    }
    None
}

/// TLS goes on untouched.
async fn pass_through(
    client: &mut Socket,
    mut server: Socket,
    first: &[u8],
    mut tap: GatewayConnection,
    impaired: Option<&Impaired>,
) -> Option<Socket> {
    if forward_first(&mut server, first).await.is_err() {
        tap.ended(Instant::now(), Side::Server, Ending::Reset);
        reset(client);
        return None;
    }
    let end = pump(client, &mut server, &mut tap).await;
    note_tcp(&tap, impaired, &server);
    if end == PumpEnd::Reset {
        reset(client);
        reset(&server);
    }
    (end == PumpEnd::LeftOpen).then_some(server)
}

/// TLS on both legs, then what is inside from one to the other, as it comes.
async fn relay_inside(
    client: &mut Socket,
    server: Socket,
    first: Vec<u8>,
    tap: GatewayConnection,
    context: Intercepted<'_>,
    gateway: &Gateway,
) -> Result<ExchangeEnd, Stopped> {
    let legs = Legs { teller: tap.clone(), context, beginning: Beginning::default() };
    let caller = Caller { stream: client, early: first };
    let Terminated { mut client, mut server, server_words, .. } =
        Box::pin(legs.handshakes(caller, server, Vec::new())).await?;
    impaired::mark(context.impaired).await;
    client.tee_mut().quiet();
    server.stream.tee_mut().quiet();
    let mut gate = Gate::new(gateway, tap.clone());
    let mut inside = Inside { tap: tap.clone() };
    let end = exchange(&mut client, &mut server.stream, server_words, &mut gate, &mut inside).await;
    let server = server.stream.tee().get_ref();
    note_tcp(&tap, context.impaired, server);
    if end == ExchangeEnd::Reset {
        reset(server);
    }
    Ok(end)
}

fn note_tcp(connection: &GatewayConnection, impaired: Option<&Impaired>, server: &Socket) {
    if let Some(info) = impaired::info(impaired, Side::Server, server) {
        connection.say(Leg::Server, None, Phase::Tcp, Detail::TcpInfo(info));
    }
}

/// What is inside both legs of TLS.
struct Inside {
    tap: GatewayConnection,
}

impl ExchangeTap for Inside {
    fn plaintext(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        self.tap.inside(at, from, bytes);
    }

    fn sees_first(&self) -> bool {
        true
    }

    fn micros(&self, at: Instant) -> Micros {
        self.tap.micros(at)
    }

    fn noted(&mut self, notes: Vec<Note>) {
        if !notes.is_empty() {
            self.tap.lines(notes.into_iter().map(note_line).collect());
        }
    }

    fn ended(&mut self, at: Instant, from: Side, end: &StreamEnd) {
        note_farewell(&self.tap, at, from, end);
        Teller::ended(&self.tap, at, from, ending(end));
    }
}
