//! Tickets made here, as a KDC that knows the service's key makes them, and what a client does with them.

use super::super::ap_rep::framed;
use super::super::ap_req::Principal;
use super::super::der::{INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element, explicit};
use super::super::kerberos_key::Key;
use super::super::kerberos_shape::{BIT_STRING, GENERAL_STRING, GENERALIZED_TIME, application};
use super::super::spnego::{INITIAL_TOKEN, KERBEROS, USER_TO_USER};
use jiff::Timestamp;

/// Both long enough for AES-256, and easy to find where they must not be.
pub(super) const SERVICE_KEY: &[u8; 32] = b"canary-Wk3-the-key-of-a-service.";
pub(super) const SESSION_KEY: &[u8; 32] = b"canary-Wk3-the-key-of-a-session.";
pub(super) const SERVICE: [&str; 2] = ["TERMSRV", "server.test"];
pub(super) const REALM: &str = "CORP.TEST";
/// When the ticket was had, 2026-11-21T12:00:00Z, and its life in seconds.
pub(super) const NOW: i64 = 1_795_262_400;
pub(super) const LIFE: i64 = 36_000;

/// An entry of a keytab: realm, parts of the name, key version, encryption type, key.
pub(super) fn entry(realm: &str, parts: &[&str], version: u32, encryption: u16, key: &[u8]) -> Vec<u8> {
    let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let mut entry = (parts.len() as u16).to_be_bytes().to_vec();
    entry.extend(counted(realm.as_bytes()));
    entry.extend(parts.iter().flat_map(|part| counted(part.as_bytes())));
    entry.extend([0, 0, 0, 1, 0, 0, 0, 0, version as u8]);
    entry.extend(encryption.to_be_bytes());
    entry.extend(counted(key));
    entry.extend(version.to_be_bytes());
    [&(entry.len() as u32).to_be_bytes()[..], &entry].concat()
}

/// A keytab of these entries.
pub(super) fn keytab(entries: &[Vec<u8>]) -> Vec<u8> {
    [&[5, 2][..], &entries.concat()].concat()
}

/// The keytab of the service.
pub(super) fn of_service() -> Vec<u8> {
    keytab(&[entry(REALM, &SERVICE, 3, 18, SERVICE_KEY)])
}

/// AP-REQ and everything in it.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) service: Vec<&'static str>,
    pub(super) encryption: u8,
    pub(super) service_key: Vec<u8>,
    pub(super) session_type: u8,
    pub(super) client: Principal,
    pub(super) claims: Principal,
    pub(super) starts: i64,
    pub(super) ends: i64,
    pub(super) time: i64,
    pub(super) options: u8,
    pub(super) altered: bool,
}

pub(super) fn jane() -> Principal {
    Principal { name: "jane".to_owned(), realm: REALM.to_owned() }
}

impl Request {
    /// One that is good at [`NOW`].
    pub(super) fn good() -> Self {
        Request {
            service: SERVICE.to_vec(),
            encryption: 18,
            service_key: SERVICE_KEY.to_vec(),
            session_type: 18,
            client: jane(),
            claims: jane(),
            starts: NOW,
            ends: NOW + LIFE,
            time: NOW,
            options: 0x20,
            altered: false,
        }
    }

    /// EncTicketPart.
    pub(super) fn ticket(&self) -> Vec<u8> {
        let key = [
            explicit(context(0), INTEGER, &[self.session_type]),
            explicit(context(1), OCTET_STRING, SESSION_KEY),
        ];
        let transited = [explicit(context(0), INTEGER, &[0]), explicit(context(1), OCTET_STRING, &[])];
        let fields = [
            explicit(context(0), BIT_STRING, &[0, 0x50, 0x80, 0, 0]),
            explicit(context(1), SEQUENCE, &key.concat()),
            explicit(context(2), GENERAL_STRING, self.client.realm.as_bytes()),
            element(context(3), &name(&[&self.client.name])),
            explicit(context(4), SEQUENCE, &transited.concat()),
            explicit(context(5), GENERALIZED_TIME, &time(self.starts)),
            explicit(context(6), GENERALIZED_TIME, &time(self.starts)),
            explicit(context(7), GENERALIZED_TIME, &time(self.ends)),
        ];
        explicit(application(3), SEQUENCE, &fields.concat())
    }

    /// Authenticator.
    pub(super) fn authenticator(&self) -> Vec<u8> {
        let fields = [
            explicit(context(0), INTEGER, &[5]),
            explicit(context(1), GENERAL_STRING, self.claims.realm.as_bytes()),
            element(context(2), &name(&[&self.claims.name])),
            explicit(context(4), INTEGER, &[1, 2]),
            explicit(context(5), GENERALIZED_TIME, &time(self.time)),
            explicit(context(7), INTEGER, &[0x12, 0x34]),
        ];
        explicit(application(2), SEQUENCE, &fields.concat())
    }

    /// The token.
    pub(super) fn token(&self) -> Vec<u8> {
        self.token_of(&self.ticket(), &self.authenticator())
    }

    /// The same with these two sealed in it.
    pub(super) fn token_of(&self, ticket: &[u8], authenticator: &[u8]) -> Vec<u8> {
        let key = Key::new(18, &self.service_key).unwrap();
        let session_key = Key::new(18, SESSION_KEY).unwrap();
        let mut authenticator = session_key.seal(11, authenticator).unwrap();
        authenticator[0] ^= u8::from(self.altered);
        let ticket = [
            explicit(context(0), INTEGER, &[5]),
            explicit(context(1), GENERAL_STRING, REALM.as_bytes()),
            element(context(2), &name(&self.service)),
            sealed(3, self.encryption, &key.seal(2, ticket).unwrap()),
        ];
        let fields = [
            explicit(context(0), INTEGER, &[5]),
            explicit(context(1), INTEGER, &[14]),
            explicit(context(2), BIT_STRING, &[0, self.options, 0, 0, 0]),
            element(context(3), &explicit(application(1), SEQUENCE, &ticket.concat())),
            sealed(4, self.session_type, &authenticator),
        ];
        let message = explicit(application(14), SEQUENCE, &fields.concat());
        element(INITIAL_TOKEN, &[&element(OBJECT_IDENTIFIER, &KERBEROS)[..], &[1, 0], &message].concat())
    }
}

/// TGT-REQ for this service.
pub(super) fn tgt_req(service: &[&str]) -> Vec<u8> {
    let fields = [
        explicit(context(0), INTEGER, &[5]),
        explicit(context(1), INTEGER, &[16]),
        element(context(2), &name(service)),
    ];
    framed(&USER_TO_USER, [4, 0], &element(SEQUENCE, &fields.concat()))
}

/// PrincipalName of these parts.
fn name(parts: &[&str]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| element(GENERAL_STRING, part.as_bytes())).collect();
    let fields = [explicit(context(0), INTEGER, &[1]), explicit(context(1), SEQUENCE, &parts)];
    element(SEQUENCE, &fields.concat())
}

fn sealed(number: u8, encryption: u8, cipher: &[u8]) -> Vec<u8> {
    let fields = [
        explicit(context(0), INTEGER, &[encryption]),
        explicit(context(1), INTEGER, &[3]),
        explicit(context(2), OCTET_STRING, cipher),
    ];
    explicit(context(number), SEQUENCE, &fields.concat())
}

fn time(seconds: i64) -> Vec<u8> {
    Timestamp::from_second(seconds).unwrap().strftime("%Y%m%d%H%M%SZ").to_string().into_bytes()
}
