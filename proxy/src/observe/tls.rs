//! TLS on the wire: what is readable without keys, then nothing but record sizes.

use super::certificates;
use crate::trace::{Detail, Side};
use crate::wire::Malformed;
use crate::wire::tls::{
    Alert, ClientHello, ContentType, HandshakeMessage, HandshakeReader, Record, RecordReader, ServerHello,
    certificate_list,
};

/// Bytes shown of what breaks the format.
const SHOWN_BYTES: usize = 32;
/// Handshake messages and alerts told of one direction. A handshake has at most ten a side; a peer that goes on and
/// on is not followed any longer, because each of its messages may have 128 KiB.
const MOST_TOLD: usize = 32;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// What a TLS stream brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Something readable, or something that sizes tell (`inferred`).
    Event {
        /// What.
        detail: Box<Detail>,
        /// True where only sizes tell.
        inferred: bool,
    },
    /// A record of application data.
    ApplicationData {
        /// Fewest and most bytes of plaintext that a record of this size holds.
        plaintext: PlaintextLength,
        /// True where it may be a session ticket or another message of TLS itself (TLS 1.3).
        may_be_ticket: bool,
    },
}

/// How many bytes of plaintext an encrypted record may hold; one number where the cipher leaves no doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaintextLength {
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
}

impl PlaintextLength {
    /// Whether the record may hold exactly `length` bytes.
    pub fn may_be(self, length: usize) -> bool {
        (self.min..=self.max).contains(&length)
    }
}

/// Both directions of one TLS connection.
#[derive(Debug, Default)]
pub struct TlsObserver {
    directions: [Direction; 2],
    is_tls13: bool,
    cipher: Cipher,
    complete: bool,
}

#[derive(Debug, Default)]
struct Direction {
    records: RecordReader,
    handshake: HandshakeReader,
    /// Records from here on are encrypted.
    encrypted: bool,
    finished: bool,
    fatal_alert: bool,
    stopped: bool,
    told: usize,
}

/// What a cipher suite adds to the plaintext of a record, by RFC 5246 6.2.3 and RFC 8446 5.2.
#[derive(Debug, Clone, Copy, Default)]
struct Cipher {
    /// Bytes that every record carries besides the plaintext.
    fixed: usize,
    /// Block size where padding hides the exact length; 1 otherwise.
    block: usize,
}

impl Cipher {
    fn of(hello: &ServerHello) -> Cipher {
        let name = hello.cipher_suite.name.as_deref().unwrap_or_default();
        let stream = |fixed| Cipher { fixed, block: 1 };
        if hello.version == "TLS1.3" {
            // 16 bytes of tag and one of content type.
            return stream(17);
        }
        let mac = if name.ends_with("_MD5") {
            16
        } else if name.ends_with("_SHA256") {
            32
        } else if name.ends_with("_SHA384") {
            48
        } else {
            20
        };
        if name.contains("_GCM") || name.ends_with("_CCM") {
            stream(8 + 16)
        } else if name.ends_with("_CCM_8") || name.contains("CHACHA20") {
            // Explicit nonce and short tag, or a whole tag alone.
            stream(16)
        } else if name.contains("_CBC") {
            let block = if name.contains("3DES") { 8 } else { 16 };
            let explicit_iv = if hello.version == "TLS1.0" { 0 } else { block };
            Cipher { fixed: explicit_iv + mac + 1, block }
        } else {
            stream(mac)
        }
    }

    fn plaintext(self, record: usize) -> PlaintextLength {
        let max = record.saturating_sub(self.fixed);
        PlaintextLength { min: max.saturating_sub(self.block.saturating_sub(1)), max }
    }
}

impl TlsObserver {
    /// Bytes of one direction, starting with its first TLS record.
    pub fn data(&mut self, from: Side, mut bytes: &[u8], seen: &mut impl FnMut(Seen)) {
        while !self.directions[from.index()].stopped {
            let Some(record) = self.directions[from.index()].records.next(&mut bytes) else { return };
            match record {
                Ok(record) => self.record(from, record, seen),
                Err(malformed) => self.stop(from, &malformed, &[], seen),
            }
        }
    }

    /// Whether nothing more is told of either direction.
    pub fn is_stopped(&self) -> bool {
        self.directions.iter().all(|direction| direction.stopped)
    }

    /// Bytes of this direction went by unseen: its records cannot be told apart any more.
    pub fn lost(&mut self, from: Side) {
        self.directions[from.index()].stopped = true;
    }

    /// Whether this side sent a fatal alert in clear.
    pub fn alerted(&self, from: Side) -> bool {
        self.directions[from.index()].fatal_alert
    }

    /// Counts one more message or alert of this side; false, and once the reason, when it is one too many.
    fn is_followed(&mut self, from: Side, seen: &mut impl FnMut(Seen)) -> bool {
        let direction = &mut self.directions[from.index()];
        direction.told += 1;
        if direction.told > MOST_TOLD && !direction.stopped {
            direction.stopped = true;
            let reason = format!("the {from} sends more handshake messages and alerts than any session has");
            tell(seen, Detail::ObservationStopped { reason });
        }
        direction.told <= MOST_TOLD
    }

    fn stop(&mut self, from: Side, malformed: &Malformed, bytes: &[u8], seen: &mut impl FnMut(Seen)) {
        self.directions[from.index()].stopped = true;
        tell(seen, malformed_detail(malformed, bytes));
        tell(seen, Detail::ObservationStopped { reason: format!("what the {from} sends is not TLS") });
    }

    fn record(&mut self, from: Side, record: Record, seen: &mut impl FnMut(Seen)) {
        let length = usize::from(record.header.length);
        let direction = &mut self.directions[from.index()];
        match record.header.content_type {
            ContentType::Handshake if direction.encrypted => self.encrypted_handshake(from, seen),
            ContentType::Handshake => {
                let fragment = record.fragment.unwrap_or_default();
                self.handshake(from, &fragment, record.header.version, seen);
            }
            ContentType::ChangeCipherSpec if self.is_tls13 || direction.encrypted => {}
            ContentType::ChangeCipherSpec => {
                direction.encrypted = true;
                direction.records.keep_fragments(false);
                tell(seen, Detail::EncryptionStarted);
            }
            ContentType::Alert if direction.encrypted => self.encrypted_alert(from, length, seen),
            ContentType::Alert => self.alert(from, &record.fragment.unwrap_or_default(), seen),
            ContentType::ApplicationData => self.application_data(from, length, seen),
            // RFC 6520; says nothing about the session.
            ContentType::Heartbeat => {}
        }
    }

    /// TLS 1.2 and older: the first encrypted handshake record is the Finished; later ones are renegotiation.
    fn encrypted_handshake(&mut self, from: Side, seen: &mut impl FnMut(Seen)) {
        self.directions[from.index()].finished = true;
        if !self.complete && self.directions.iter().all(|direction| direction.finished) {
            self.complete = true;
            tell(seen, Detail::HandshakeComplete);
        }
    }

    fn application_data(&mut self, from: Side, length: usize, seen: &mut impl FnMut(Seen)) {
        let plaintext = self.cipher.plaintext(length);
        if self.is_tls13 && plaintext.may_be(2) {
            return self.encrypted_alert(from, length, seen);
        }
        if !self.is_tls13 || self.complete {
            return seen(Seen::ApplicationData { plaintext, may_be_ticket: self.is_tls13 });
        }
        if from == Side::Client {
            self.directions[from.index()].encrypted = true;
            self.complete = true;
            tell(seen, Detail::EncryptionStarted);
            infer(seen, Detail::HandshakeComplete);
        }
    }

    fn encrypted_alert(&mut self, from: Side, length: usize, seen: &mut impl FnMut(Seen)) {
        if self.is_followed(from, seen) {
            infer(seen, Detail::EncryptedAlert { length });
        }
    }

    fn alert(&mut self, from: Side, fragment: &[u8], seen: &mut impl FnMut(Seen)) {
        if !self.is_followed(from, seen) {
            return;
        }
        match Alert::decode(fragment) {
            Ok(alert) => {
                self.directions[from.index()].fatal_alert |= alert.is_fatal();
                tell(seen, Detail::Alert(alert));
            }
            Err(malformed) => tell(seen, malformed_detail(&malformed, fragment)),
        }
    }

    fn handshake(
        &mut self,
        from: Side,
        mut fragment: &[u8],
        record_version: u16,
        seen: &mut impl FnMut(Seen),
    ) {
        while let Some(message) = self.directions[from.index()].handshake.next(&mut fragment) {
            match message {
                Ok(_) if !self.is_followed(from, seen) => return,
                Ok(message) => self.message(from, &message, record_version, seen),
                Err(malformed) => return self.stop(from, &malformed, &[], seen),
            }
        }
    }

    fn message(
        &mut self,
        from: Side,
        message: &HandshakeMessage,
        record_version: u16,
        seen: &mut impl FnMut(Seen),
    ) {
        let decoded = match message.message_type {
            CLIENT_HELLO => ClientHello::decode(&message.body, record_version)
                .map(|hello| Detail::ClientHello(Box::new(hello))),
            SERVER_HELLO => ServerHello::decode(&message.body).map(|hello| self.server_hello(hello)),
            CERTIFICATE => certificate_list(&message.body).map(|chain| certificates::describe(&chain)),
            _ => {
                Ok(Detail::HandshakeMessage { name: message.name().into_owned(), length: message.body.len() })
            }
        };
        match decoded {
            Ok(detail) => tell(seen, detail),
            Err(malformed) => tell(seen, malformed_detail(&malformed, &message.body)),
        }
        // In TLS 1.3 everything that the server sends after its hello is encrypted.
        if self.is_tls13 && from == Side::Server && !self.directions[from.index()].encrypted {
            self.directions[from.index()].encrypted = true;
            tell(seen, Detail::EncryptionStarted);
        }
    }

    fn server_hello(&mut self, hello: ServerHello) -> Detail {
        if hello.is_hello_retry_request {
            return Detail::HelloRetryRequest(Box::new(hello));
        }
        self.is_tls13 = hello.version == "TLS1.3";
        self.cipher = Cipher::of(&hello);
        Detail::ServerHello(Box::new(hello))
    }
}

/// What to say of bytes that break a format.
pub fn malformed_detail(malformed: &Malformed, bytes: &[u8]) -> Detail {
    Detail::Malformed {
        structure: malformed.structure.to_owned(),
        offset: malformed.offset,
        reason: malformed.reason.to_owned(),
        bytes: hex::encode(&bytes[..bytes.len().min(SHOWN_BYTES)]),
    }
}

fn tell(seen: &mut impl FnMut(Seen), detail: Detail) {
    seen(Seen::Event { detail: Box::new(detail), inferred: false });
}

fn infer(seen: &mut impl FnMut(Seen), detail: Detail) {
    seen(Seen::Event { detail: Box::new(detail), inferred: true });
}
