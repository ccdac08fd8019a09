//! TLS of a recording whose secrets are known: the handshake as the wire shows it, and in clear what is inside.
//!
//! Who has the secrets opens the records ([`OpensTls`]). Until the first is open, and where none ever is, sizes tell what
//! they can.

use super::certificates;
use super::encrypted::{self, EncryptedObserver};
use super::inside::InsideObserver;
use super::rdp::follow::event;
use super::tls::{Seen, TlsObserver};
use crate::trace::{CaptureMessage, Detail, Event, Micros, Phase, Side};
use crate::wire::tls::Alert;
use std::fmt;

/// Opens the records of one TLS connection, as far as its secrets are known.
pub trait OpensTls: fmt::Debug + Send {
    /// The next bytes that `from` sent, from the first of TLS on; what they open is added to `out`.
    fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<Opened>);
    /// The next bytes of `from` are not known.
    fn lost(&mut self, from: Side, out: &mut Vec<Opened>);
}

/// What came out of TLS. Debugging shows the length of plaintext alone: passwords travel there.
#[derive(Clone, PartialEq)]
pub enum Opened {
    /// The secrets fit: from here on records are opened. Told before everything that is.
    Began {
        /// Version and cipher suite, in words.
        how: String,
    },
    /// Application data of one record, never empty, whatever the pieces in which it came. Early data of TLS 1.3 is among it.
    Plaintext {
        /// Who sent it.
        from: Side,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// An alert that is encrypted on the wire; a clear one shows without keys.
    Alert {
        /// Who sent it.
        from: Side,
        /// Level and description.
        alert: Alert,
    },
    /// Certificates that are encrypted on the wire: all of TLS 1.3, and those of a renegotiation.
    Certificate {
        /// Who showed them.
        from: Side,
        /// DER, the sender's own first; empty where a client has none to show.
        chain: Vec<Vec<u8>>,
    },
    /// Nothing more of this side will be opened; told once a side, at the place where opening ended.
    Unreadable {
        /// Whose bytes.
        from: Side,
        /// Why, in words.
        reason: String,
    },
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opened::Began { how } => write!(f, "Began({how})"),
            Opened::Plaintext { from, bytes } => write!(f, "Plaintext({from:?}, {} bytes)", bytes.len()),
            Opened::Alert { from, alert } => write!(f, "Alert({from:?}, {alert:?})"),
            Opened::Certificate { from, chain } => {
                write!(f, "Certificate({from:?}, {} certificates)", chain.len())
            }
            Opened::Unreadable { from, reason } => write!(f, "Unreadable({from:?}, {reason})"),
        }
    }
}

/// How far the opening is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No record has been opened, and none that was needed could not be.
    Undecided,
    /// Records are opened.
    Open,
    /// Nothing was opened and nothing will be: sizes tell.
    Sealed,
    /// Records were opened, and no longer are: what follows cannot be known.
    BrokenOff,
}

/// Follows TLS from its first byte.
#[derive(Debug)]
pub(super) struct OpenedTls {
    tls: TlsObserver,
    opener: Box<dyn OpensTls>,
    state: State,
    /// What sizes tell, as long as nothing is open.
    sizes: EncryptedObserver,
    inside: InsideObserver,
    has_plaintext: bool,
    alerted: [bool; 2],
    items: Vec<Opened>,
}

impl OpenedTls {
    /// `selected_protocol`: RDP_NEG_RSP.selectedProtocol; `None` where TLS began without an X.224 negotiation.
    pub(super) fn new(opener: Box<dyn OpensTls>, selected_protocol: Option<u32>) -> OpenedTls {
        OpenedTls {
            tls: TlsObserver::default(),
            opener,
            state: State::Undecided,
            sizes: EncryptedObserver::new(selected_protocol),
            inside: InsideObserver::new(selected_protocol),
            has_plaintext: false,
            alerted: [false; 2],
            items: Vec::new(),
        }
    }

    pub(super) fn data(&mut self, t_us: Micros, from: Side, bytes: &[u8], out: &mut Vec<Event>) {
        let mut items = std::mem::take(&mut self.items);
        if self.state != State::Sealed {
            self.opener.data(from, bytes, &mut items);
        }
        self.decide(t_us, from, &items, out);
        let (is_open, sizes) = (matches!(self.state, State::Open | State::BrokenOff), &mut self.sizes);
        self.tls.data(from, bytes, &mut |seen| match seen {
            Seen::Event { detail, .. } if is_open && matches!(*detail, Detail::EncryptedAlert { .. }) => {}
            Seen::Event { detail, inferred } => {
                out.push(Event { inferred, ..event(t_us, from, Phase::Tls, *detail) });
            }
            Seen::ApplicationData { plaintext, may_be_ticket } if !is_open => {
                sizes.record(encrypted::Seen { t_us, from, length: plaintext }, may_be_ticket, out);
            }
            Seen::ApplicationData { .. } => {}
        });
        self.tell(t_us, &mut items, out);
        self.items = items;
    }

    /// Bytes of `from` are not known: its records cannot be told apart any more, nor what the other side answers to.
    pub(super) fn lost(&mut self, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        let mut items = std::mem::take(&mut self.items);
        self.opener.lost(from, &mut items);
        self.decide(t_us, from, &items, out);
        self.tell(t_us, &mut items, out);
        self.items = items;
        self.tls.lost(from);
    }

    /// What the opener's answer changes.
    fn decide(&mut self, t_us: Micros, from: Side, items: &[Opened], out: &mut Vec<Event>) {
        for item in items {
            match item {
                Opened::Began { how } if self.state == State::Undecided => {
                    self.state = State::Open;
                    let message = CaptureMessage::TlsOpened { how: how.clone() };
                    let told = event(t_us, from, Phase::Tls, Detail::Capture(message));
                    out.push(Event { from: None, ..told });
                }
                Opened::Unreadable { .. } if !self.has_plaintext && self.state == State::Undecided => {
                    self.state = State::Sealed;
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, t_us: Micros, items: &mut Vec<Opened>, out: &mut Vec<Event>) {
        for item in items.drain(..) {
            match item {
                Opened::Began { .. } => {}
                Opened::Plaintext { from, bytes } => {
                    self.has_plaintext = true;
                    self.inside.data(t_us, from, &bytes, out);
                }
                Opened::Alert { from, alert } => {
                    self.alerted[from.index()] |= alert.is_fatal();
                    out.push(event(t_us, from, Phase::Tls, Detail::Alert(alert)));
                }
                Opened::Certificate { from, chain } => {
                    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
                    if !chain.is_empty() {
                        out.push(event(t_us, from, Phase::Tls, certificates::describe(&chain)));
                    }
                }
                Opened::Unreadable { from, reason } if self.state == State::Open => {
                    self.state = State::BrokenOff;
                    let message = CaptureMessage::DecryptionStopped { reason };
                    out.push(event(t_us, from, Phase::Closed, Detail::Capture(message)));
                }
                Opened::Unreadable { .. } => {}
            }
        }
    }

    pub(super) fn ended(&mut self, t_us: Micros, from: Side, out: &mut Vec<Event>) {
        if self.state == State::Open {
            self.inside.ended(t_us, from, out);
        }
    }

    pub(super) fn is_opaque(&self, from: Side) -> bool {
        match self.state {
            State::Undecided => false,
            State::Open => self.inside.is_opaque(from),
            State::Sealed => self.sizes.is_done() || self.tls.is_stopped(),
            State::BrokenOff => true,
        }
    }

    pub(super) fn alerted(&self, from: Side) -> bool {
        self.alerted[from.index()] || self.tls.alerted(from)
    }

    pub(super) fn announced_end(&self) -> Option<Side> {
        self.inside.announced_end()
    }
}
