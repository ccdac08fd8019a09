//! What stands between both legs of a connection to a gateway.

use super::connection::GatewayConnection;
use crate::alter::Note;
use crate::alter::gateway::{GatewayAlterations, GatewayGate, Refusal};
use crate::relay::exchange::Gatekeeper;
use crate::relay::teller::Teller;
use crate::trace::{Detail, GatewayMessage, Leg, Micros, Phase, Side};

/// The gate of one connection, which tells when it refuses something.
pub(super) struct Gate {
    gate: GatewayGate,
    connection: GatewayConnection,
}

impl Gate {
    pub(super) fn new(alterations: GatewayAlterations, connection: GatewayConnection) -> Gate {
        Gate { gate: GatewayGate::new(alterations, connection.number()), connection }
    }
}

impl Gatekeeper for Gate {
    fn is_open(&self, from: Side) -> bool {
        self.gate.is_open(from)
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
        self.gate.pass(t_us, from, bytes, out, notes);
        // The connection may have moved to another attempt since the gate was made.
        for note in &mut notes[before..] {
            match note {
                Note::Altered(altered) => altered.connection = Some(self.connection.number()),
                Note::NotAltered(not) => not.connection = Some(self.connection.number()),
            }
        }
    }

    fn flush(&mut self, from: Side, out: &mut Vec<Vec<u8>>) {
        self.gate.flush(from, out);
    }

    fn take_refusal(&mut self) -> Option<Vec<u8>> {
        let Refusal { response, transport, status } = self.gate.take_refusal()?;
        let refused = GatewayMessage::TransportRefused { transport, status };
        self.connection.say(Leg::Client, None, Phase::GatewayHttp, Detail::Gateway(refused));
        Some(response)
    }
}
