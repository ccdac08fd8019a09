//! A session whose TLS rdpscope terminates: the negotiation in clear, a handshake on each leg, then what is inside.

#[cfg(feature = "nla")]
mod authentication;
pub(super) mod legs;
mod negotiation;
mod watching;

pub(super) use super::exchange::ending;
use super::exchange::{ExchangeEnd, ExchangeTap, exchange};
use super::impaired::{self, Impaired};
use super::pump::{PumpEnd, Tap, pump, reset};
use super::session::{Route, SessionTap};
use super::socket::Socket;
use super::teller::Teller;
use crate::alter::Note;
use crate::intercept::settings::Interception;
use crate::intercept::tls::StreamEnd;
use crate::trace::{Detail, Event, Leg, Line, Micros, Phase, Side};
use crate::wire::tls::Alert;
use std::time::Instant;

use legs::{Beginning, Caller, Legs, Stopped, Terminated};
use negotiation::Negotiated;

/// What one session needs.
#[derive(Clone, Copy)]
pub(super) struct Intercepted<'a> {
    pub(super) interception: &'a Interception,
    /// For a further connection to the server, where a TLS stack that it refused has used up the first; none inside a
    /// tunnel, which is the only way there.
    pub(super) route: Option<&'a Route>,
    /// What makes the connection worse on purpose.
    pub(super) impaired: Option<&'a Impaired>,
}

/// Relays until both sides are done; what the client had sent before the server was connected is `first`. Answers with
/// the server's connection where the client has left it and it is to be kept.
pub(super) async fn serve(
    client: &mut Socket,
    mut server: Socket,
    first: Vec<u8>,
    tap: &mut SessionTap<'_>,
    context: Intercepted<'_>,
) -> Option<Socket> {
    let mut negotiation = negotiation::Negotiation::new(context.interception.alterations, first);
    // Each on the heap, so that a session that runs for hours keeps only the memory of what it is at.
    let negotiated = Box::pin(negotiation.run(client, &mut server, tap)).await;
    let end = match negotiated {
        Negotiated::Tls => Box::pin(terminate(client, server, negotiation, tap, context)).await,
        Negotiated::Clear => {
            let mut gate = negotiation.into_gate();
            if gate.is_open(Side::Client) && gate.is_open(Side::Server) {
                return Box::pin(pass_through(client, server, tap)).await;
            }
            let mut clear = ClearTap { tap };
            let end = Box::pin(exchange(client, &mut server, Vec::new(), &mut gate, &mut clear)).await;
            if end == ExchangeEnd::Reset {
                reset(&server);
            }
            end
        }
        Negotiated::Reset => {
            reset(&server);
            ExchangeEnd::Reset
        }
    };
    if end == ExchangeEnd::Reset {
        reset(client);
    }
    None
}

/// Runs TLS on both legs until the session is over.
async fn terminate(
    client: &mut Socket,
    server: Socket,
    negotiation: negotiation::Negotiation,
    tap: &mut SessionTap<'_>,
    context: Intercepted<'_>,
) -> ExchangeEnd {
    match relay_inside(client, server, negotiation, tap, context).await {
        Ok(end) => end,
        Err(Stopped::Closed) => ExchangeEnd::Finished,
        Err(Stopped::Reset) => ExchangeEnd::Reset,
    }
}

async fn relay_inside(
    client: &mut Socket,
    server: Socket,
    negotiation: negotiation::Negotiation,
    tap: &mut SessionTap<'_>,
    context: Intercepted<'_>,
) -> Result<ExchangeEnd, Stopped> {
    let protocol = tap.session().lock().selected_protocol();
    let beginning = Beginning { selected_protocol: protocol, sent_to_server: negotiation.sent_to_server() };
    let legs = Legs { teller: tap.session().clone(), context, beginning };
    let caller = Caller { early: held(tap, Side::Client), stream: client };
    let server_early = held(tap, Side::Server);
    let terminated = Box::pin(legs.handshakes(caller, server, server_early)).await?;
    drop(legs);
    let Terminated { client: mut client_leg, server: mut server_leg, server_words, .. } = terminated;
    tap.capture_inside();
    impaired::mark(context.impaired).await;
    #[cfg(feature = "nla")]
    let protocol = Box::pin(authentication::log_on(
        &mut client_leg,
        &mut server_leg,
        &terminated.presented,
        protocol,
        tap,
        context,
    ))
    .await?;
    client_leg.tee_mut().quiet();
    server_leg.stream.tee_mut().quiet();
    let mut gate = negotiation.into_gate().inside_tls(protocol);
    let end =
        exchange(&mut client_leg, &mut server_leg.stream, server_words, &mut gate, &mut InsideTap { tap })
            .await;
    let server = server_leg.stream.tee().get_ref();
    // Inside a tunnel the connection is one within this machine.
    let info = context.route.and_then(|_| impaired::info(context.impaired, Side::Server, server));
    if let Some(info) = info {
        tap.session().say(Leg::Server, None, Phase::Tcp, Detail::TcpInfo(info));
    }
    if end == ExchangeEnd::Reset {
        reset(server);
    }
    Ok(end)
}

/// What `side` sent right behind the negotiation, shown as part of its leg.
fn held(tap: &SessionTap<'_>, side: Side) -> Vec<u8> {
    let mut session = tap.session().lock();
    let held = session.take_held(side);
    if !held.is_empty() {
        session.show_wire(Instant::now(), side, false, &held);
    }
    held
}

/// There is nothing to change: the bytes go on as without interception.
async fn pass_through(client: &mut Socket, mut server: Socket, tap: &mut SessionTap<'_>) -> Option<Socket> {
    let end = pump(client, &mut server, tap).await;
    if end == PumpEnd::Reset {
        reset(client);
        reset(&server);
    }
    (end == PumpEnd::LeftOpen).then_some(server)
}

/// Says in the trace what was changed, and what could not be.
fn note_changes(tap: &SessionTap<'_>, notes: Vec<Note>) {
    if notes.is_empty() {
        return;
    }
    tap.session().lock().trace.lines(notes.into_iter().map(note_line).collect());
}

/// The same as a line of the trace.
pub(super) fn note_line(note: Note) -> Line {
    match note {
        Note::Altered(altered) => Line::Altered(altered),
        Note::NotAltered(not) => Line::Event(Event {
            t_us: not.t_us,
            leg: not.from.into(),
            from: None,
            connection: not.connection,
            phase: not.phase,
            inferred: false,
            detail: Detail::NotAltered { setting: not.setting.to_owned(), reason: not.reason },
        }),
    }
}

/// What is inside two connections of TLS.
struct InsideTap<'t, 'a> {
    tap: &'t mut SessionTap<'a>,
}

impl ExchangeTap for InsideTap<'_, '_> {
    fn plaintext(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        self.tap.inside(at, from, bytes);
    }

    fn micros(&self, at: Instant) -> Micros {
        self.tap.session().lock().trace.at(at)
    }

    fn noted(&mut self, notes: Vec<Note>) {
        note_changes(self.tap, notes);
    }

    fn ended(&mut self, at: Instant, from: Side, end: &StreamEnd) {
        note_farewell(self.tap.session(), at, from, end);
        self.tap.ended(at, from, ending(end));
    }
}

/// Says in the trace with which alert of TLS a side has left.
pub(super) fn note_farewell(teller: &impl Teller, at: Instant, from: Side, end: &StreamEnd) {
    const WARNING: u8 = 1;
    const CLOSE_NOTIFY: u8 = 0;
    match end {
        StreamEnd::Alert(alert) => teller.alert(at, from, alert),
        StreamEnd::CloseNotify => {
            if let Ok(alert) = Alert::decode(&[WARNING, CLOSE_NOTIFY]) {
                teller.alert(at, from, &alert);
            }
        }
        StreamEnd::Broken(reason) => teller.broken_tls(at, from, reason),
        StreamEnd::Fin | StreamEnd::Reset => {}
    }
}

/// Of a session in clear that is changed on its way.
struct ClearTap<'t, 'a> {
    tap: &'t mut SessionTap<'a>,
}

impl ExchangeTap for ClearTap<'_, '_> {
    fn plaintext(&mut self, at: Instant, from: Side, bytes: &[u8]) {
        self.tap.data(at, from, bytes);
    }

    fn micros(&self, at: Instant) -> Micros {
        self.tap.session().lock().trace.at(at)
    }

    fn noted(&mut self, notes: Vec<Note>) {
        note_changes(self.tap, notes);
    }

    fn ended(&mut self, at: Instant, from: Side, end: &StreamEnd) {
        self.tap.ended(at, from, ending(end));
    }
}
