//! What is known of an attempt to reach a desktop through a gateway, beside its trace.

use super::inner::InnerPlace;
use super::inner_rpc::VirtualConnections;
use crate::observe::gateway::{GatewayEnding, GatewayUdpObserver};
use crate::observe::{GatewayObserver, SessionObserver};
use crate::relay::pump::Ending;
use crate::trace::{ClosedBy, Detail, Event, GatewayMessage, How, Micros, Phase, Side};

/// What is inside TLS of all its connections, and how they ended.
#[derive(Default)]
pub(in crate::relay) struct GatewaySeen {
    pub(in crate::relay) observer: GatewayObserver,
    /// The session inside the tunnel, where TLS is terminated there.
    pub(super) inner: InnerPlace,
    /// Those over RPC, likewise.
    pub(super) virtual_connections: VirtualConnections,
    udp: Option<GatewayUdpObserver>,
    ending: GatewayEnding,
}

impl GatewaySeen {
    /// A connection belongs to the attempt from now on.
    pub(super) fn connection_began(&mut self, connection: u32, sees_inside: bool) {
        self.ending.connection_began(connection, sees_inside);
    }

    /// A connection is gone, or belongs elsewhere from now on.
    pub(super) fn connection_left(&mut self, connection: u32) {
        self.observer.forget(connection);
    }

    /// Of an attempt whose RDP is told by whoever terminates its TLS.
    pub(in crate::relay) fn with_inner_apart() -> GatewaySeen {
        GatewaySeen { observer: GatewayObserver::with_inner_apart(), ..GatewaySeen::default() }
    }

    /// What `from` said on a connection inside TLS.
    pub(super) fn data(
        &mut self,
        t_us: Micros,
        connection: u32,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Event>,
    ) {
        let before = out.len();
        self.observer.data(t_us, connection, from, bytes, out);
        self.ending.told(connection, &out[before..]);
    }

    /// A connection has ended for the first time in one of its directions.
    pub(super) fn connection_ended(
        &mut self,
        connection: u32,
        side: Side,
        ending: Ending,
        alerted: bool,
        by_proxy: bool,
    ) {
        let by = if by_proxy { ClosedBy::Proxy } else { side.into() };
        let how = match ending {
            Ending::Fin => How::Fin,
            Ending::Reset => How::Reset,
        };
        self.ending.connection_ended(connection, (by, side), how, alerted);
    }

    /// Who ended the attempt and how, from what was seen; `apart` has followed RDP whose TLS is terminated, and `events`
    /// is all that was told.
    pub(in crate::relay) fn ending(&self, apart: &SessionObserver, events: &[Event]) -> (ClosedBy, How) {
        let inside = [self.observer.inner_read(), apart];
        self.ending.ending(&inside, events).unwrap_or((ClosedBy::Proxy, How::Reset))
    }

    /// The silence after which the gateway's side cut the tunnel without a word, by `events`, which is all that was told.
    pub(in crate::relay) fn silent_cut(&self, events: &[Event]) -> Option<Micros> {
        self.ending.silent_cut(events)
    }

    /// A datagram of the side channel.
    pub(in crate::relay) fn datagram(
        &mut self,
        t_us: Micros,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<Event>,
    ) {
        let mut messages = Vec::new();
        self.udp.get_or_insert_default().datagram(t_us, from, bytes, &mut messages);
        out.extend(messages.into_iter().map(|message| udp_event(t_us, message)));
    }

    /// The attempt is over: what became of the side channel.
    pub(in crate::relay) fn finish(&mut self, t_us: Micros, out: &mut Vec<Event>) {
        let Some(udp) = &mut self.udp else { return };
        let mut messages = Vec::new();
        udp.finish(t_us, &mut messages);
        out.extend(messages.into_iter().map(|message| udp_event(t_us, message)));
    }
}

fn udp_event(t_us: Micros, (from, message): (Option<Side>, GatewayMessage)) -> Event {
    Event {
        t_us,
        leg: from.map_or(crate::trace::Leg::Proxy, Into::into),
        from,
        connection: None,
        phase: Phase::Udp,
        inferred: false,
        detail: Detail::Gateway(message),
    }
}
