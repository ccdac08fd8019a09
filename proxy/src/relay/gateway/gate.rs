//! What stands between both legs of a connection to a gateway.

use super::Gateway;
use super::connection::GatewayConnection;
use super::inner::InnerGate;
use crate::alter::Note;
use crate::alter::gateway::{GatewayGate, Refusal};
use crate::relay::exchange::Gatekeeper;
use crate::relay::pump::Ending;
use crate::relay::teller::Teller;
use crate::trace::{Altered, Detail, GatewayMessage, Leg, Line, Micros, Phase, Side};
use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Instant;

/// The gate of one connection, which tells when it refuses something.
pub(super) struct Gate {
    gate: GatewayGate,
    /// Behind it, where TLS inside the tunnel is terminated.
    inner: Option<InnerGate>,
    connection: GatewayConnection,
}

impl Gate {
    pub(super) fn new(gateway: &Gateway, connection: GatewayConnection) -> Gate {
        let number = connection.number();
        let inner = gateway
            .inner
            .clone()
            .map(|interception| InnerGate::new(interception, gateway.call_keys.clone(), number));
        Gate { gate: GatewayGate::new(gateway.alterations, number), inner, connection }
    }
}

impl Drop for Gate {
    /// How much was written anew is known when the connection is over.
    fn drop(&mut self) {
        let Some(inner) = &self.inner else { return };
        let rewritten = inner.rewritten(self.connection.micros(Instant::now()));
        if !rewritten.is_empty() {
            let number = Some(self.connection.number());
            let lines = rewritten.into_iter().map(|it| Line::Altered(Altered { connection: number, ..it }));
            self.connection.lines(lines.collect());
        }
    }
}

impl Gatekeeper for Gate {
    fn is_open(&self, from: Side) -> bool {
        self.gate.is_open(from) && self.inner.as_ref().is_none_or(|inner| inner.is_open(from))
    }

    fn pass(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Vec<u8>>,
        notes: &mut Vec<Note>,
    ) {
        let before = notes.len();
        match &mut self.inner {
            None => self.gate.pass(t_us, from, bytes, out, notes),
            Some(inner) => {
                let mut passed = Vec::new();
                self.gate.pass(t_us, from, bytes, &mut passed, notes);
                let place = self.connection.place();
                for bytes in passed {
                    inner.pass(t_us, from, &bytes, (&place.0, place.1), out, notes);
                }
            }
        }
        // The connection may have moved to another attempt since the gate was made.
        for note in &mut notes[before..] {
            match note {
                Note::Altered(altered) => altered.connection = Some(self.connection.number()),
                Note::NotAltered(not) => not.connection = Some(self.connection.number()),
            }
        }
    }

    fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>) {
        let mut held = Vec::new();
        self.gate.flush(from, &mut held);
        let Some(inner) = &mut self.inner else { return out.append(&mut held) };
        let place = self.connection.place();
        for bytes in held {
            // Nothing is to be said at the end that was not said before.
            inner.pass(0, from, &bytes, (&place.0, place.1), out, &mut Vec::new());
        }
        inner.flush(from, (&place.0, place.1), out);
    }

    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        ending: Option<Ending>,
        out: &mut VecDeque<Vec<u8>>,
    ) -> Poll<()> {
        match &mut self.inner {
            Some(inner) => inner.poll_turn(cx, from, ending, out),
            None => Poll::Ready(()),
        }
    }

    fn take_refusal(&mut self) -> Option<Vec<u8>> {
        let Refusal { response, transport, status } = self.gate.take_refusal()?;
        let refused = GatewayMessage::TransportRefused { transport, status };
        self.connection.say(Leg::Client, None, Phase::GatewayHttp, Detail::Gateway(refused));
        Some(response)
    }
}
