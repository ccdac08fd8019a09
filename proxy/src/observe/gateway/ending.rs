//! Which end of which connection tells how an attempt through a gateway ended.

use crate::observe::SessionObserver;
use crate::observe::leaving::{left_first, silent_cut};
use crate::trace::{ClosedBy, Detail, Event, GatewayMessage, How, Micros, Side};
use std::collections::BTreeSet;

/// Keeps count of the connections of one attempt and of their ends.
#[derive(Debug, Default)]
pub struct GatewayEnding {
    /// Connections that carry the newest tunnel, or have carried it.
    carriers: BTreeSet<u32>,
    /// Connections in whose place others carry it: that they end says nothing.
    replaced: BTreeSet<u32>,
    /// TLS passes through, so that nobody knows which connections carry it.
    is_sealed: bool,
    newest_connection: u32,
    /// The end that tells how the attempt ended.
    end: Option<ConnectionEnd>,
}

#[derive(Debug)]
struct ConnectionEnd {
    connection: u32,
    /// The newest connection at that moment.
    newest_connection: u32,
    /// It carried the tunnel.
    is_carriers: bool,
    by: ClosedBy,
    side: Side,
    how: How,
    alerted: bool,
}

impl GatewayEnding {
    /// A connection belongs to the attempt from now on; `sees_inside`: what is inside its TLS is read.
    pub fn connection_began(&mut self, connection: u32, sees_inside: bool) {
        self.is_sealed = !sees_inside;
        self.newest_connection = self.newest_connection.max(connection);
    }

    /// These events were told of what is inside `connection`.
    pub fn told(&mut self, connection: u32, events: &[Event]) {
        let begins =
            |event: &Event| matches!(event.detail, Detail::Gateway(GatewayMessage::TunnelBegan { .. }));
        if events.iter().any(begins) {
            if self.end.take().is_some_and(|end| end.is_carriers) {
                self.carriers.clear();
            }
            self.carriers.insert(connection);
        }
        for event in events {
            if let Detail::Gateway(GatewayMessage::ChannelReplaced { predecessor, .. }) = &event.detail {
                self.carriers.remove(predecessor);
                self.carriers.insert(connection);
                self.replaced.insert(*predecessor);
            }
        }
    }

    /// `side` has ended its direction of a connection, `by` its own doing or rdpscope's, as the first of both; `alerted`: it
    /// sent a fatal alert before. The first end of those that carry the tunnel tells how the attempt ended; without a tunnel
    /// the last connection does. Where nobody sees the tunnel, it is the first end behind which no other connection begins:
    /// the gateway closes the second of two when the client leaves one.
    pub fn connection_ended(
        &mut self,
        connection: u32,
        (by, side): (ClosedBy, Side),
        how: How,
        alerted: bool,
    ) {
        if self.replaced.contains(&connection) {
            return;
        }
        let is_carriers = self.carriers.contains(&connection);
        let is_told = |end: &ConnectionEnd| {
            end.is_carriers || (self.is_sealed && end.newest_connection == self.newest_connection)
        };
        if self.end.as_ref().is_some_and(is_told) {
            return;
        }
        let newest_connection = self.newest_connection;
        self.end = Some(ConnectionEnd { connection, newest_connection, is_carriers, by, side, how, alerted });
    }

    /// Who ended the attempt and how, where anybody has; `inside` have followed the RDP in the tunnel, and `events` is all that
    /// was told.
    pub fn ending(&self, inside: &[&SessionObserver], events: &[Event]) -> Option<(ClosedBy, How)> {
        // Where the tunnel is still open, nobody has ended anything.
        let end = self.end.as_ref().filter(|end| end.is_carriers || self.carriers.is_empty())?;
        let announced = inside.iter().find_map(|observer| observer.announced_end());
        if let (true, Some(side)) = (end.is_carriers, announced) {
            return Some((side.into(), How::McsUltimatum));
        }
        let alerts_inside = || inside.iter().any(|observer| observer.alerted(end.side));
        let by_alert = end.alerted || end.is_carriers && alerts_inside();
        let belongs = |connection: u32| match end.is_carriers {
            true => self.carriers.contains(&connection),
            false => connection == end.connection,
        };
        let left_first = left_first(events, belongs).filter(|side| *side != end.side);
        Some(match end.by {
            ClosedBy::Proxy => (ClosedBy::Proxy, How::Fin),
            by if by_alert => (by, How::Alert),
            _ if left_first.is_some() => (end.side.opposite().into(), How::Fin),
            by => (by, end.how),
        })
    }

    /// The silence after which the gateway's side cut the tunnel without a word, by `events`, which is all that was told.
    pub fn silent_cut(&self, events: &[Event]) -> Option<Micros> {
        let end = self.end.as_ref().filter(|end| end.is_carriers && end.side == Side::Server)?;
        silent_cut(events, |connection| self.carriers.contains(&connection) && end.by != ClosedBy::Proxy)
    }
}
