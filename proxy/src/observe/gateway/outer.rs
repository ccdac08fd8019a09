//! TLS of one connection to a gateway, around all that the gateway's protocol says.

use crate::observe::terminated::TerminatedObserver;
use crate::observe::tls::{Seen, TlsObserver};
use crate::trace::{Detail, Event, Micros, Phase, Side};
use crate::wire::tls::Alert;

/// Follows the TLS of one connection, where it passes through or where rdpscope terminates it.
#[derive(Debug)]
pub struct OuterTls(Course);

#[derive(Debug)]
enum Course {
    PassingThrough(Box<TlsObserver>),
    Terminated(Box<TerminatedObserver>),
}

impl OuterTls {
    /// TLS between client and gateway.
    pub fn passing_through() -> OuterTls {
        OuterTls(Course::PassingThrough(Box::default()))
    }

    /// TLS with rdpscope on both legs.
    pub fn terminated() -> OuterTls {
        OuterTls(Course::Terminated(Box::new(TerminatedObserver::new(None))))
    }

    /// Bytes of TLS on the leg of `side`, sent by it or, where TLS is terminated, by us.
    pub fn wire(&mut self, t_us: Micros, side: Side, sent_by_us: bool, bytes: &[u8], out: &mut Vec<Event>) {
        let before = out.len();
        match &mut self.0 {
            Course::Terminated(terminated) => terminated.wire(t_us, side, sent_by_us, bytes, out),
            Course::PassingThrough(tls) => tls.data(side, bytes, &mut |seen| {
                if let Seen::Event { detail, inferred } = seen {
                    out.push(Event { inferred, ..event(t_us, side, Phase::GatewayTls, *detail) });
                }
            }),
        }
        rename(&mut out[before..]);
    }

    /// The gateway is spoken to on a further connection, where TLS begins anew.
    pub fn server_again(&mut self) {
        if let Course::Terminated(terminated) = &mut self.0 {
            terminated.server_again();
        }
    }

    /// The certificates that the gateway showed (DER, its own first), unless they were readable on the wire.
    pub fn certificate(&mut self, t_us: Micros, chain: &[Vec<u8>], out: &mut Vec<Event>) {
        let before = out.len();
        if let Course::Terminated(terminated) = &mut self.0 {
            terminated.server_certificate(t_us, chain, out);
        }
        rename(&mut out[before..]);
    }

    /// An alert of `from` that came encrypted, unless it was seen before.
    pub fn alert(&mut self, t_us: Micros, from: Side, alert: &Alert, out: &mut Vec<Event>) {
        let before = out.len();
        if let Course::Terminated(terminated) = &mut self.0
            && !(alert.is_fatal() && terminated.alerted(from))
        {
            terminated.alert(t_us, from, alert.clone(), out);
        }
        rename(&mut out[before..]);
    }

    /// Bytes of `from` went by unseen.
    pub fn lost(&mut self, from: Side) {
        if let Course::PassingThrough(tls) = &mut self.0 {
            tls.lost(from);
        }
    }

    /// Whether nothing more can be learnt from the bytes of `from` on the wire. Of TLS that passes through the alert at
    /// its end tells something, as long as its records are followed.
    pub fn is_opaque(&self) -> bool {
        match &self.0 {
            Course::PassingThrough(tls) => tls.is_stopped(),
            Course::Terminated(_) => false,
        }
    }

    /// Whether `from` sent a fatal alert.
    pub fn alerted(&self, from: Side) -> bool {
        match &self.0 {
            Course::PassingThrough(tls) => tls.alerted(from),
            Course::Terminated(terminated) => terminated.alerted(from),
        }
    }
}

/// The phases of TLS with a gateway have a name of their own.
fn rename(events: &mut [Event]) {
    for event in events.iter_mut().filter(|event| event.phase == Phase::Tls) {
        event.phase = Phase::GatewayTls;
    }
}

fn event(t_us: Micros, from: Side, phase: Phase, detail: Detail) -> Event {
    Event { t_us, leg: from.into(), from: Some(from), connection: None, phase, inferred: false, detail }
}
