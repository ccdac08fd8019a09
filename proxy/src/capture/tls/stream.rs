//! One TLS connection of a capture.

use super::assembler::Assembler;
use super::decryption::{Decryption, Hole, Misfit};
use super::hello::{accepts_early_data, certificate_chain};
use super::opener::{Fault, Opener, next_traffic_secret};
use super::secrets::{Label, Secret, Secrets};
use super::session::Handshake;
use super::tentative::Tentative;
use crate::observe::Opened;
use crate::trace::Side;
use crate::wire::Malformed;
use crate::wire::tls::handshake::message_type;
use crate::wire::tls::names::TLS_1_3;
use crate::wire::tls::{
    Alert, ContentType, HandshakeMessage, HandshakeReader, RecordHeader, certificate_list,
};
use std::fmt;
use std::sync::Arc;

/// EndOfEarlyData and KeyUpdate, which no connection shows without keys (RFC 8446 section 4).
const END_OF_EARLY_DATA: u8 = 5;
const KEY_UPDATE: u8 = 24;

/// The generations of keys in TLS 1.3, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epoch {
    Early,
    Handshake,
    Application,
}

/// How the next record of a side is protected.
enum Keys {
    /// Not at all.
    Clear,
    /// With keys of TLS 1.2 or older, looked up when the first record needs them.
    WantedOfKeyBlock,
    /// With keys of TLS 1.3, looked up likewise.
    WantedOfTraffic(Epoch),
    /// With these.
    Ready(Box<Opener>),
    /// With keys of TLS 1.3, and which of them the record must show.
    Tentative(Box<Tentative>),
}

/// What is known of one side.
struct Half {
    assembler: Assembler,
    handshake: HandshakeReader,
    keys: Keys,
    /// The traffic secret of `keys` in TLS 1.3, which the next one comes from.
    traffic_secret: Option<Secret>,
    epoch: Option<Epoch>,
    /// Version and suite of the last record that was opened.
    opened: Option<(u16, u16)>,
    ended: Option<Decryption>,
}

/// One TLS connection, fed with what each side sent from its first byte of TLS on.
///
/// Memory is bounded: the record under way, the handshake message under way, and the handshake up to its keys.
pub struct TlsStream {
    secrets: Arc<Secrets>,
    handshake: Handshake,
    halves: [Half; 2],
    /// A record was opened.
    has_begun: bool,
}

impl Half {
    fn new() -> Half {
        Half {
            assembler: Assembler::default(),
            handshake: HandshakeReader::new(),
            keys: Keys::Clear,
            traffic_secret: None,
            epoch: None,
            opened: None,
            ended: None,
        }
    }

    fn broken(&self, reason: &'static str) -> Decryption {
        Decryption::Broken { record: self.assembler.records(), reason }
    }

    /// What a record says that its keys do not open: before the first success it is the keys that are wrong.
    fn fault(&self, opener_is_proven: bool, fault: Fault) -> Decryption {
        if fault == Fault::NotAuthentic && !opener_is_proven {
            return Decryption::SecretsDoNotFit { reason: Misfit::NotAuthentic };
        }
        self.broken(fault.reason())
    }
}

impl TlsStream {
    /// A connection at its first byte.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        TlsStream {
            secrets,
            handshake: Handshake::default(),
            halves: [Half::new(), Half::new()],
            has_begun: false,
        }
    }

    /// The next bytes that `from` sent, in pieces of any size; what they end is pushed to `out`. After a side's
    /// [`Opened::Unreadable`] its bytes are passed over.
    pub fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<Opened>) {
        let mut input = bytes;
        while !self.is_opaque(from) {
            match self.half(from).assembler.next(&mut input) {
                None => return,
                Some(Ok((header, fragment))) => self.record(from, header, fragment, out),
                Some(Err(malformed)) => {
                    let why = self.half(from).broken(malformed.reason);
                    self.end(from, why, out);
                }
            }
        }
    }

    /// The next bytes of `from` are not in the capture: nothing more of this side can be read.
    pub fn lost(&mut self, from: Side, out: &mut Vec<Opened>) {
        self.end(from, Decryption::Incomplete { hole: Hole::Bytes }, out);
    }

    /// No more of what `from` sends is wanted: its bytes are passed over from here on, at no cost.
    pub fn stop(&mut self, from: Side) {
        let half = self.half(from);
        if half.ended.is_none() {
            *half = Half { ended: Some(Decryption::Stopped), ..Half::new() };
        }
    }

    /// Whether nothing more can come of what `from` sends, so that its bytes need not be given.
    pub fn is_opaque(&self, from: Side) -> bool {
        self.halves[from.index()].ended.is_some()
    }

    /// How the reading of one side stands.
    pub fn status_of(&self, from: Side) -> Decryption {
        let half = &self.halves[from.index()];
        match (&half.ended, half.opened) {
            (Some(why), _) => why.clone(),
            (None, Some((version, suite))) => Decryption::Decrypting { version, suite },
            (None, None) => Decryption::NotYet,
        }
    }

    /// How the reading of the connection stands: what ended a side, the client's first; else whether one is read.
    pub fn status(&self) -> Decryption {
        let [client, server] = [Side::Client, Side::Server].map(|side| self.status_of(side));
        let failed = |status: &Decryption| !status.is_open() && *status != Decryption::Stopped;
        match (failed(&client), failed(&server)) {
            (true, _) => client,
            (false, true) => server,
            (false, false) if client == Decryption::NotYet => server,
            (false, false) => client,
        }
    }

    fn half(&mut self, from: Side) -> &mut Half {
        &mut self.halves[from.index()]
    }

    fn is_1_3(&self) -> bool {
        self.handshake.version() == Some(TLS_1_3)
    }

    fn end(&mut self, from: Side, why: Decryption, out: &mut Vec<Opened>) {
        let half = self.half(from);
        if half.ended.is_none() {
            out.push(Opened::Unreadable { from, reason: why.to_string() });
            *half = Half { ended: Some(why), ..Half::new() };
        }
    }

    fn record(&mut self, from: Side, header: RecordHeader, mut fragment: Vec<u8>, out: &mut Vec<Opened>) {
        let protected = self.is_protected(from, header.content_type);
        let in_clear = header.content_type == ContentType::Handshake && !protected;
        if in_clear && self.is_1_3() && !matches!(self.half(from).keys, Keys::Clear) {
            let why = self.half(from).broken("a handshake message in clear where TLS 1.3 encrypts");
            return self.end(from, why, out);
        }
        let opened =
            if protected { self.open(from, header, &mut fragment) } else { Ok(Some(header.content_type)) };
        match opened {
            Ok(Some(content_type)) => {
                if protected && !std::mem::replace(&mut self.has_begun, true) {
                    out.push(Opened::Began { how: self.status_of(from).to_string() });
                }
                self.content(from, content_type, fragment, protected, out);
            }
            Ok(None) => self.half(from).assembler.give_back(fragment),
            Err(why) => self.end(from, why, out),
        }
    }

    /// From ChangeCipherSpec on every record of TLS 1.2 and older; in TLS 1.3 what looks like application data.
    fn is_protected(&self, from: Side, content_type: ContentType) -> bool {
        match self.halves[from.index()].keys {
            Keys::WantedOfKeyBlock => true,
            Keys::Ready(ref opener) if !opener.is_of_1_3() => true,
            _ => content_type == ContentType::ApplicationData,
        }
    }

    /// Opens a record in place and says what it is; `None` where it is passed over.
    fn open(
        &mut self,
        from: Side,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<Option<ContentType>, Decryption> {
        self.look_up(from)?;
        let half = &mut self.halves[from.index()];
        let content_type = match &mut half.keys {
            Keys::Ready(opener) => {
                let opened = opener.open(header, fragment);
                let proven = opener.is_proven();
                opened.map_err(|fault| half.fault(proven, fault))?
            }
            Keys::Tentative(tentative) => {
                let Some(opened) = tentative.open(&self.handshake, &self.secrets, from, header, fragment)?
                else {
                    return Ok(None);
                };
                half.keys = Keys::Ready(Box::new(opened.opener));
                half.epoch = Some(opened.epoch);
                half.traffic_secret = opened.secret;
                opened.content_type
            }
            Keys::Clear | Keys::WantedOfKeyBlock | Keys::WantedOfTraffic(_) => {
                return Err(Decryption::Incomplete { hole: Hole::Handshake });
            }
        };
        if let Keys::Ready(opener) = &half.keys {
            half.opened = Some(opener.version_and_suite());
        }
        Ok(Some(content_type))
    }

    /// Finds the keys that the next record needs.
    fn look_up(&mut self, from: Side) -> Result<(), Decryption> {
        let half = &mut self.halves[from.index()];
        match half.keys {
            Keys::WantedOfKeyBlock => {
                let opener = self.handshake.keys_of_key_block(&self.secrets, from)?;
                half.keys = Keys::Ready(Box::new(opener));
            }
            Keys::WantedOfTraffic(Epoch::Early) => half.keys = Keys::Tentative(Box::default()),
            // A key log may have the secrets of application data alone.
            Keys::WantedOfTraffic(Epoch::Handshake)
                if !self.handshake.has_secret(&self.secrets, label(from, Epoch::Handshake)) =>
            {
                half.keys = Keys::Tentative(Box::default());
            }
            Keys::WantedOfTraffic(epoch) => {
                let keys = self.handshake.keys_of_traffic(&self.secrets, label(from, epoch));
                let (opener, secret) = keys?;
                half.keys = Keys::Ready(Box::new(opener));
                half.traffic_secret = Some(secret);
                half.epoch = Some(epoch);
            }
            Keys::Clear | Keys::Ready(_) | Keys::Tentative(_) => {}
        }
        Ok(())
    }

    fn content(
        &mut self,
        from: Side,
        content_type: ContentType,
        fragment: Vec<u8>,
        protected: bool,
        out: &mut Vec<Opened>,
    ) {
        match content_type {
            ContentType::ApplicationData => {
                if !fragment.is_empty() {
                    out.push(Opened::Plaintext { from, bytes: fragment });
                }
                return;
            }
            ContentType::Alert if protected => {
                out.extend(Alert::decode(&fragment).ok().map(|alert| Opened::Alert { from, alert }));
            }
            ContentType::Handshake => self.handshake(from, &fragment, protected, out),
            ContentType::ChangeCipherSpec => self.change_cipher_spec(from),
            ContentType::Alert | ContentType::Heartbeat => {}
        }
        self.half(from).assembler.give_back(fragment);
    }

    /// TLS 1.3 sends it as a filler that means nothing, and its client perhaps before the ServerHello.
    fn change_cipher_spec(&mut self, from: Side) {
        let is_filler = match self.handshake.version() {
            Some(version) => version == TLS_1_3,
            None => self.handshake.is_retried || from == Side::Client && self.handshake.client.is_some(),
        };
        if !is_filler {
            self.half(from).keys = Keys::WantedOfKeyBlock;
        }
    }

    fn handshake(&mut self, from: Side, mut fragment: &[u8], protected: bool, out: &mut Vec<Opened>) {
        while let Some(message) = self.half(from).handshake.next(&mut fragment) {
            let read = message.and_then(|message| {
                if protected && self.is_1_3() {
                    self.message_1_3(from, &message, out);
                    return Ok(());
                }
                self.message(from, &message, protected, out)
            });
            if let Err(malformed) = read {
                let why = self.half(from).broken(malformed.reason);
                return self.end(from, why, out);
            }
        }
    }

    /// A message of TLS 1.2 or older, or a clear hello of TLS 1.3.
    fn message(
        &mut self,
        from: Side,
        message: &HandshakeMessage,
        protected: bool,
        out: &mut Vec<Opened>,
    ) -> Result<(), Malformed> {
        let begins = message.message_type == message_type::CLIENT_HELLO && from == Side::Client;
        if begins && protected {
            self.handshake = Handshake::default();
        }
        if protected && message.message_type == message_type::CERTIFICATE {
            let chain = certificate_list(&message.body)?.into_iter().map(<[u8]>::to_vec).collect();
            out.push(Opened::Certificate { from, chain });
        }
        let had_chosen = self.handshake.server.is_some();
        self.handshake.message(from, message)?;
        if begins && !protected {
            let early = self.handshake.client.as_ref().is_some_and(|client| client.offers_early_data);
            self.half(from).keys = if early { Keys::WantedOfTraffic(Epoch::Early) } else { Keys::Clear };
        }
        if !had_chosen && self.is_1_3() && !protected {
            self.begin_1_3();
        }
        Ok(())
    }

    /// After the ServerHello of TLS 1.3 both sides encrypt.
    fn begin_1_3(&mut self) {
        self.half(Side::Server).keys = Keys::WantedOfTraffic(Epoch::Handshake);
        let client = self.half(Side::Client);
        if matches!(client.keys, Keys::Clear) {
            client.keys = Keys::WantedOfTraffic(Epoch::Handshake);
        }
    }

    fn message_1_3(&mut self, from: Side, message: &HandshakeMessage, out: &mut Vec<Opened>) {
        let epoch = self.half(from).epoch;
        match message.message_type {
            message_type::CERTIFICATE => {
                out.push(Opened::Certificate { from, chain: certificate_chain(&message.body) });
            }
            message_type::ENCRYPTED_EXTENSIONS if !accepts_early_data(&message.body) => {
                self.refuse_early_data()
            }
            message_type::FINISHED if epoch == Some(Epoch::Handshake) => {
                self.half(from).keys = Keys::WantedOfTraffic(Epoch::Application);
            }
            END_OF_EARLY_DATA if epoch == Some(Epoch::Early) => {
                self.half(from).keys = Keys::WantedOfTraffic(Epoch::Handshake);
            }
            KEY_UPDATE if epoch == Some(Epoch::Application) => self.key_update(from),
            _ => {}
        }
    }

    /// The next keys of a side, which the key log need not have (RFC 8446 section 7.2).
    fn key_update(&mut self, from: Side) {
        let half = &mut self.halves[from.index()];
        let (Some(suite), Some(secret)) = (self.handshake.suite(), &half.traffic_secret) else { return };
        let next = next_traffic_secret(suite.hash, secret);
        if let Some(opener) = Opener::of_traffic_secret(&suite, &next) {
            half.keys = Keys::Ready(Box::new(opener));
            half.traffic_secret = Some(next);
        }
    }

    /// The client goes on without EndOfEarlyData, and what it had sent by then is under the keys of early data.
    fn refuse_early_data(&mut self) {
        let client = self.half(Side::Client);
        if client.epoch != Some(Epoch::Early) {
            return;
        }
        client.keys = match std::mem::replace(&mut client.keys, Keys::Clear) {
            Keys::Ready(opener) => Keys::Tentative(Box::new(Tentative::after_early_data(*opener))),
            other => other,
        };
    }
}

/// The line of a key log that has the keys of an epoch.
pub(super) fn label(from: Side, epoch: Epoch) -> Label {
    match (from, epoch) {
        (_, Epoch::Early) => Label::ClientEarlyTraffic,
        (Side::Client, Epoch::Handshake) => Label::ClientHandshakeTraffic,
        (Side::Server, Epoch::Handshake) => Label::ServerHandshakeTraffic,
        (Side::Client, Epoch::Application) => Label::ClientTraffic,
        (Side::Server, Epoch::Application) => Label::ServerTraffic,
    }
}
impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("client", &self.status_of(Side::Client))
            .field("server", &self.status_of(Side::Server))
            .finish_non_exhaustive()
    }
}
