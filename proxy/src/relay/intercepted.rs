//! A session whose TLS rdpscope terminates: the negotiation in clear, a handshake on each leg, then what is inside.

#[cfg(feature = "nla")]
mod authentication;
mod legs;
mod negotiation;
mod watching;

use super::exchange::{ExchangeEnd, ExchangeTap, exchange};
use super::impaired::Impaired;
use super::pump::{Ending, PumpEnd, Tap, pump, reset};
use super::session::{Route, SessionTap};
use crate::alter::Note;
use crate::intercept::settings::Interception;
use crate::intercept::tls::StreamEnd;
use crate::trace::{Detail, Event, Line, Micros, Side};
use crate::wire::tls::Alert;
use std::time::Instant;
use tokio::net::TcpStream;

use negotiation::Negotiated;

/// What one session needs.
#[derive(Clone, Copy)]
pub(super) struct Intercepted<'a> {
    pub(super) interception: &'a Interception,
    /// For a further connection to the server, where a TLS stack that it refused has used up the first.
    pub(super) route: &'a Route,
    /// What makes the connection worse on purpose.
    pub(super) impaired: Option<&'a Impaired>,
}

/// Relays until both sides are done; what the client had sent before the server was connected is `first`. Answers with
/// the server's connection where the client has left it and it is to be kept.
pub(super) async fn serve(
    client: &mut TcpStream,
    mut server: TcpStream,
    first: Vec<u8>,
    tap: &mut SessionTap<'_>,
    context: Intercepted<'_>,
) -> Option<TcpStream> {
    let mut negotiation = negotiation::Negotiation::new(context.interception.alterations, first);
    // Each on the heap, so that a session that runs for hours keeps only the memory of what it is at.
    let negotiated = Box::pin(negotiation.run(client, &mut server, tap)).await;
    let end = match negotiated {
        Negotiated::Tls => Box::pin(legs::terminate(client, server, negotiation, tap, context)).await,
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

/// There is nothing to change: the bytes go on as without interception.
async fn pass_through(
    client: &mut TcpStream,
    mut server: TcpStream,
    tap: &mut SessionTap<'_>,
) -> Option<TcpStream> {
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
    let line = |note| match note {
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
    };
    tap.session().lock().trace.lines(notes.into_iter().map(line).collect());
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
        note_farewell(self.tap, at, from, end);
        self.tap.ended(at, from, ending(end));
    }
}

/// Says in the trace with which alert of TLS a side has left.
fn note_farewell(tap: &SessionTap<'_>, at: Instant, from: Side, end: &StreamEnd) {
    const WARNING: u8 = 1;
    const CLOSE_NOTIFY: u8 = 0;
    match end {
        StreamEnd::Alert(alert) => tap.session().lock().alert(at, from, alert),
        StreamEnd::CloseNotify => {
            if let Ok(alert) = Alert::decode(&[WARNING, CLOSE_NOTIFY]) {
                tap.session().lock().alert(at, from, &alert);
            }
        }
        StreamEnd::Broken(reason) => tap.session().lock().broken_tls(at, from, reason),
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

/// The end of TLS as the end of TCP that comes with it.
fn ending(end: &StreamEnd) -> Ending {
    if *end == StreamEnd::Reset { Ending::Reset } else { Ending::Fin }
}
