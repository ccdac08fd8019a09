//! Kerberos towards the client, as the service that it has a ticket for (RFC 4120 3.2.3): with the service's key the ticket
//! is opened, with the key in it what proves that the ticket is the client's.
//!
//! The `sspi` crate's own acceptor computes with AES-256 alone, has one error for most of what can be wrong, and
//! remembers replays for one connection; here it is the messages' own reading, and the cryptography is `picky-krb`'s.

use super::ap_rep::{ap_rep, krb_error};
use super::ap_req::{self, ApReq, Authenticator, Principal, Ticket};
use super::kerberos_key::Key;
use super::keytab::{Entry, Keytab};
use super::ntlm::Fault;
use super::refusal::{self, Refusal};
use super::wrap::Context;
use crate::wire::Malformed;
use crate::wire::credssp::kerberos::ENCRYPTION_TYPES;
use jiff::Timestamp;
use picky_krb::constants::key_usages::{AP_REQ_AUTHENTICATOR, TICKET_REP};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Seconds that the clocks of client and service may be apart, in Windows and MIT's Kerberos alike.
const SKEW: i64 = 300;
/// Names of a keytab that an error lists.
const MOST_NAMES: usize = 4;

/// error-code (RFC 4120 7.5.9).
mod code {
    pub(super) const BAD_INTEGRITY: u8 = 31;
    pub(super) const TICKET_EXPIRED: u8 = 32;
    pub(super) const TICKET_NOT_YET_VALID: u8 = 33;
    pub(super) const REPEAT: u8 = 34;
    pub(super) const BAD_MATCH: u8 = 36;
    pub(super) const SKEW: u8 = 37;
}

/// A service with its keys, for all connections.
pub(super) struct Service {
    keytab: Keytab,
    /// SHA-256 of every authenticator that a clock could take for new, and its time.
    seen: Mutex<HashMap<[u8; 32], i64>>,
}

/// A client whose ticket is good.
pub(super) struct Established {
    pub(super) client: Principal,
    /// The service that its ticket is for.
    pub(super) service: Principal,
    /// AP-REP in the framing of GSS-API.
    pub(super) ap_rep: Vec<u8>,
    pub(super) context: Context,
}

/// Why a ticket does not let its client in.
pub(super) enum Denial {
    /// It cannot be read; another mechanism may do.
    Unreadable(Unreadable),
    /// It was read, and is refused.
    Refused(Refused),
    /// A message is broken, or we cannot answer.
    Fault(Fault),
}

impl From<Malformed> for Denial {
    fn from(malformed: Malformed) -> Self {
        Denial::Fault(malformed.into())
    }
}

impl From<Refused> for Denial {
    fn from(refused: Refused) -> Self {
        Denial::Refused(refused)
    }
}

/// Why a ticket cannot be read: a part of a sentence that begins with "by NTLM, as …".
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// There is no keytab.
    #[error(
        "a Kerberos ticket for the server can only be read with the server's own key; for Kerberos add a line 'keytab = …' to the credentials"
    )]
    NoKeytab,
    /// There is no ticket.
    #[error("the client brought no Kerberos ticket")]
    NoTicket,
    /// It is of a kind that we do not have.
    #[error("the client's Kerberos is of a kind that rdpscope does not have")]
    OtherKind,
    /// There is no ticket-granting ticket for user-to-user.
    #[error(
        "the client's Kerberos is user-to-user, for which {account} needs a ticket-granting ticket, and {refusal}"
    )]
    NoGranting {
        /// `SERVICE@REALM`.
        account: String,
        /// Why there is none.
        refusal: Refusal,
    },
    /// The client's ticket is not sealed with the key of that.
    #[error(
        "the client's ticket is not sealed with the key of the ticket-granting ticket that it was told of"
    )]
    OtherGranting,
    /// Another service's.
    #[error(
        "the keytab has no key of {wanted}, which the client's ticket is for, but of {has}; connect by a name whose key it has, or add that key"
    )]
    NoName {
        /// `SERVICE@REALM`.
        wanted: String,
        /// Whose keys there are.
        has: String,
    },
    /// Another encryption type.
    #[error(
        "the client's ticket for {service} is sealed with {wanted}, and the keytab's keys are {has}; rdpscope takes AES with SHA-1 only"
    )]
    NoEncryption {
        /// `SERVICE@REALM`.
        service: String,
        /// etype of the ticket.
        wanted: String,
        /// etypes of the keys.
        has: String,
    },
    /// Another key.
    #[error(
        "the client's ticket for {service} is sealed with another key than the keytab's (key version {wanted}; the keytab has {has}); export the keytab anew"
    )]
    OtherKey {
        /// `SERVICE@REALM`.
        service: String,
        /// kvno of the ticket.
        wanted: String,
        /// kvnos of the keys.
        has: String,
    },
    /// The key that client and service share is not one that we compute with.
    #[error("the session key in the client's ticket is of type {0}; rdpscope takes AES with SHA-1 only")]
    SessionKey(String),
}

/// Why a ticket is refused.
pub(super) struct Refused {
    /// error-code.
    pub(super) code: u32,
    /// What is wrong, and what to do.
    pub(super) what: String,
    /// KRB-ERROR in the framing of GSS-API.
    pub(super) answer: Vec<u8>,
}

impl Service {
    pub(super) fn new(keytab: Keytab) -> Self {
        Service { keytab, seen: Mutex::default() }
    }

    /// Whose ticket-granting ticket user-to-user needs where the client asks for `service`, and the key to be given it:
    /// the account of a machine, whose name ends in `$`, where the keytab has it; else the service itself.
    pub(super) fn account(&self, service: &str) -> Result<(&Entry, Key), Unreadable> {
        let is_machine = |entry: &Entry| entry.service.ends_with('$');
        let is_service = |entry: &Entry| entry.service.eq_ignore_ascii_case(service);
        let entries = self.keytab.entries().filter(|entry| is_machine(entry) || is_service(entry));
        let with_keys = entries.filter_map(|entry| entry.key().map(|key| (entry, key)));
        let best = with_keys.max_by_key(|(entry, key)| (is_machine(entry), entry.version, key.encryption()));
        best.ok_or_else(|| {
            let (wanted, has) = (service.to_owned(), names(self.keytab.principals()));
            Unreadable::NoName { wanted, has }
        })
    }

    /// Takes the client's AP-REQ, `now` in seconds since 1970; `granting` is the key of the ticket-granting ticket that it
    /// was told of, for user-to-user.
    pub(super) fn accept(
        &self,
        token: &[u8],
        granting: Option<&Key>,
        now: i64,
    ) -> Result<Established, Denial> {
        let Some(request) = ApReq::decode(token)? else {
            return Err(Denial::Unreadable(Unreadable::OtherKind));
        };
        let service = Principal { name: ap_req::name(request.service)?, realm: ap_req::text(request.realm) };
        let ticket = match (request.is_user_to_user, granting) {
            (false, _) => self.open(&request, &service),
            (true, Some(key)) => key.open(TICKET_REP, request.ticket.cipher).ok_or(Unreadable::OtherGranting),
            (true, None) => Err(Unreadable::OtherKind),
        };
        let ticket = ticket.map_err(Denial::Unreadable)?;
        let ticket = Ticket::decode(&ticket)?;
        let session_key = Key::new(ticket.encryption, &ticket.key)
            .ok_or_else(|| Denial::Unreadable(Unreadable::SessionKey(encryption(ticket.encryption))))?;
        let refuse = |code, what| refused(&request, code, what, now);
        let authenticator = session_key.open(AP_REQ_AUTHENTICATOR, request.authenticator.cipher);
        let authenticator = authenticator.ok_or_else(|| {
            refuse(code::BAD_INTEGRITY, "its proof was altered on the way; connect again".to_owned())
        })?;
        let authenticator = Authenticator::decode(&authenticator)?;
        if authenticator.client != ticket.client {
            let what = "it is another user's than the client says; sign in on the client anew".to_owned();
            return Err(refuse(code::BAD_MATCH, what).into());
        }
        check_times(&ticket, &authenticator, now).map_err(|(code, what)| refuse(code, what))?;
        if !self.is_new(request.authenticator.cipher, authenticator.time, now) {
            let what = "the same proof came before; look for a device that repeats what it sees".to_owned();
            return Err(refuse(code::REPEAT, what).into());
        }
        let (own_key, number) = (session_key.another()?, sequence_number()?);
        let ap_rep = ap_rep(&request, &session_key, &authenticator, &own_key, number)?;
        let context = Context::new(own_key, number);
        Ok(Established { client: ticket.client, service, ap_rep, context })
    }

    /// What the ticket seals.
    fn open(&self, request: &ApReq<'_>, service: &Principal) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let sealed = request.ticket;
        let entries: Vec<&Entry> = self.keytab.of_service(&service.name, &service.realm).collect();
        if entries.is_empty() {
            return Err(Unreadable::NoName {
                wanted: service.to_string(),
                has: names(self.keytab.principals()),
            });
        }
        let fitting: Vec<&Entry> =
            entries.iter().copied().filter(|entry| entry.encryption == sealed.encryption).collect();
        let keys: Vec<Key> = fitting.iter().filter_map(|entry| entry.key()).collect();
        if keys.is_empty() {
            let has = entries.iter().map(|entry| encryption(entry.encryption)).collect();
            let (service, wanted) = (service.to_string(), encryption(sealed.encryption));
            return Err(Unreadable::NoEncryption { service, wanted, has: names(has) });
        }
        // Whoever writes a keytab from a password guesses the version, so that it does not choose the key.
        let opened = keys.iter().find_map(|key| key.open(TICKET_REP, sealed.cipher));
        opened.ok_or_else(|| {
            let has = names(fitting.iter().map(|entry| entry.version.to_string()).collect());
            let wanted = sealed.version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
            Unreadable::OtherKey { service: service.to_string(), wanted, has }
        })
    }

    /// Whether an authenticator comes for the first time (RFC 4120 3.2.3).
    fn is_new(&self, sealed: &[u8], time: i64, now: i64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, time| *time + SKEW >= now);
        seen.insert(Sha256::digest(sealed).into(), time).is_none()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.keytab.principals()).finish()
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.realm)
    }
}

impl From<Fault> for Denial {
    fn from(fault: Fault) -> Self {
        Denial::Fault(fault)
    }
}

/// The clocks, and the life of the ticket (RFC 4120 3.2.3).
fn check_times(ticket: &Ticket, authenticator: &Authenticator<'_>, now: i64) -> Result<(), (u8, String)> {
    let behind = now - authenticator.time;
    if behind.abs() > SKEW {
        let direction = if behind > 0 { "behind" } else { "ahead of" };
        let seconds = behind.abs();
        let what =
            format!("the client's clock is {seconds} s {direction} rdpscope's; set both by the same source");
        return Err((code::SKEW, what));
    }
    if ticket.is_invalid || ticket.starts > now + SKEW {
        let what = format!("it counts from {} only; look at the KDC's clock", shown(ticket.starts));
        return Err((code::TICKET_NOT_YET_VALID, what));
    }
    if ticket.ends + SKEW < now {
        let what = format!("it ended at {}; sign in on the client anew", shown(ticket.ends));
        return Err((code::TICKET_EXPIRED, what));
    }
    Ok(())
}

fn refused(request: &ApReq<'_>, code: u8, what: String, now: i64) -> Refused {
    Refused { code: code.into(), what, answer: krb_error(request, code, now) }
}

/// The number of a first message: of 30 bits, as implementations disagree on how a higher one is written.
fn sequence_number() -> Result<u32, Fault> {
    let mut bytes = [0; 4];
    super::fill_with_random(&mut bytes).map_err(Fault::Library)?;
    Ok(u32::from_be_bytes(bytes) >> 2 | 1 << 29)
}

fn shown(time: i64) -> String {
    Timestamp::from_second(time).unwrap_or_default().to_string()
}

/// The name of an encryption type, with its number.
fn encryption(number: u32) -> String {
    refusal::named(number, ENCRYPTION_TYPES, "encryption type")
}

/// Each once, as many as a reader takes in.
fn names(mut names: Vec<String>) -> String {
    names.dedup();
    let more = names.len() > MOST_NAMES;
    names.truncate(MOST_NAMES);
    let names = names.join(", ");
    if more { format!("{names} and others") } else { names }
}
