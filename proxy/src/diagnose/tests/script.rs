//! Sessions for tests: bytes through the observers, or events where bytes would not tell more.

use super::super::{Context, Diagnosis, diagnose, may_be_a_prompt};
use crate::observe::{SessionObserver, Timeline};
use crate::trace::{
    Detail, Event, Header, How, Leg, Line, Micros, Phase, RdpMessage, Record, Side, Summary, UdpMessage,
};
use rcgen::{CertificateParams, KeyPair};
use time::{Duration, OffsetDateTime};

pub(super) const SSL: u8 = 1;
pub(super) const HYBRID: u8 = 2;
pub(super) const SERVER: &str = "10.0.0.5:3389";

/// When every session of these tests begins.
pub(super) const STARTED: &str = "2026-11-21T09:00:00Z";
const MILLISECOND: Micros = 1_000;

/// A session under construction; each step comes 1 ms after the one before.
pub(super) struct Script {
    observer: SessionObserver,
    timeline: Timeline,
    lines: Vec<Line>,
    now: Micros,
    came_back: bool,
    /// On which connection to a gateway the next events are seen.
    connection: Option<u32>,
}

impl Script {
    /// A client has connected to rdpscope.
    pub(super) fn accepted() -> Script {
        Script::accepted_at(STARTED)
    }

    fn accepted_at(started: &str) -> Script {
        let header = Header {
            schema: crate::trace::SCHEMA_VERSION,
            rdpscope: "0".to_owned(),
            session: "test".to_owned(),
            target: "srv10:3389".to_owned(),
            settings: serde_json::Map::new(),
            started: started.to_owned(),
        };
        let script = Script {
            observer: SessionObserver::default(),
            timeline: Timeline::default(),
            lines: vec![Line::Trace(header)],
            now: 0,
            came_back: false,
            connection: None,
        };
        let (peer, local) = ("10.0.0.9:50000".to_owned(), "127.0.0.1:13389".to_owned());
        script.event(Leg::Client, None, Phase::Tcp, false, Detail::Accepted { peer, local })
    }

    /// The server is connected, too.
    pub(super) fn connected() -> Script {
        Script::connected_at(STARTED)
    }

    /// The same at another time, RFC 3339.
    pub(super) fn connected_at(started: &str) -> Script {
        let addresses = vec![SERVER.to_owned()];
        let resolved = Detail::Resolved { name: "srv10".to_owned(), addresses, took_us: 900 };
        let local = "10.0.0.1:40000".to_owned();
        let connected = Detail::Connected { address: SERVER.to_owned(), local, took_us: 800 };
        Script::accepted_at(started).proxy(Phase::Dns, resolved).server_leg(connected)
    }

    /// A client has connected to rdpscope, which is to reach the target through this gateway.
    pub(super) fn towards_gateway(gateway: &str) -> Script {
        let mut script = Script::accepted();
        if let Some(Line::Trace(header)) = script.lines.first_mut() {
            header.settings.insert("gateway".to_owned(), gateway.into());
        }
        script
    }

    /// The same session in a capture, in which no rdpscope had a hand.
    pub(super) fn recorded(mut self) -> Script {
        if let Some(Line::Trace(header)) = self.lines.first_mut() {
            header.settings.insert("capture".to_owned(), "session.pcapng".into());
        }
        self
    }

    /// What follows is seen on this connection to the gateway; 0 for what is seen on none.
    pub(super) fn on(mut self, connection: u32) -> Script {
        self.connection = Some(connection).filter(|number| *number > 0);
        self
    }

    /// X.224 negotiation done: the client offers, the server chooses.
    pub(super) fn negotiated(offers: u8, chosen: u8) -> Script {
        Script::connected().client(&request(offers)).server(&confirm(chosen))
    }

    pub(super) fn wait(mut self, us: Micros) -> Script {
        self.now += us;
        self
    }

    /// The next step comes at least so late.
    pub(super) fn at(mut self, t_us: Micros) -> Script {
        self.now = self.now.max(t_us);
        self
    }

    pub(super) fn client(self, bytes: &[u8]) -> Script {
        self.bytes(Side::Client, bytes)
    }

    pub(super) fn server(self, bytes: &[u8]) -> Script {
        self.bytes(Side::Server, bytes)
    }

    pub(super) fn bytes(mut self, from: Side, bytes: &[u8]) -> Script {
        self.now += MILLISECOND;
        let mut events = Vec::new();
        self.observer.data(self.now, from, bytes, &mut events);
        events.into_iter().for_each(|event| self.timeline.push(event, &mut self.lines));
        self
    }

    pub(super) fn end(mut self, from: Side, how: How) -> Script {
        self.now += MILLISECOND;
        let mut events = Vec::new();
        self.observer.ended(self.now, from, how, &mut events);
        events.into_iter().for_each(|event| self.timeline.push(event, &mut self.lines));
        self
    }

    pub(super) fn stopped(self) -> Script {
        let reason = "rdpscope was told to stop".to_owned();
        self.proxy(Phase::Closed, Detail::ProxyClosed { reason })
    }

    /// A readable message above X.224, in the clear.
    pub(super) fn message(self, from: Side, phase: Phase, message: RdpMessage) -> Script {
        self.event(from.into(), Some(from), phase, false, Detail::Rdp(Box::new(message)))
    }

    /// Session traffic in the clear.
    pub(super) fn active(self) -> Script {
        self.event(Leg::Server, Some(Side::Server), Phase::Active, false, Detail::SessionTraffic)
    }

    /// Something of the server's that would be tedious to write as bytes.
    pub(super) fn server_says(self, phase: Phase, detail: Detail) -> Script {
        self.event(Leg::Server, Some(Side::Server), phase, false, detail)
    }

    pub(super) fn udp(self, message: UdpMessage) -> Script {
        self.event(Leg::Client, None, Phase::Udp, false, Detail::Udp(message))
    }

    pub(super) fn proxy(self, phase: Phase, detail: Detail) -> Script {
        self.event(Leg::Proxy, None, phase, false, detail)
    }

    pub(super) fn server_leg(self, detail: Detail) -> Script {
        self.event(Leg::Server, None, Phase::Tcp, false, detail)
    }

    pub(super) fn client_leg(self, detail: Detail) -> Script {
        self.event(Leg::Client, None, Phase::Tcp, false, detail)
    }

    /// Something on one leg, by one side or, without one, by rdpscope itself.
    pub(super) fn says(self, leg: Leg, from: Option<Side>, phase: Phase, detail: Detail) -> Script {
        self.event(leg, from, phase, false, detail)
    }

    fn event(mut self, leg: Leg, from: Option<Side>, phase: Phase, inferred: bool, detail: Detail) -> Script {
        self.now += MILLISECOND;
        let connection = self.connection;
        let event = Event { t_us: self.now, leg, from, connection, phase, inferred, detail };
        self.timeline.push(event, &mut self.lines);
        self
    }

    /// What an observer of several connections told, at its own times.
    pub(super) fn told(mut self, events: Vec<Event>) -> Script {
        for event in events {
            self.now = self.now.max(event.t_us);
            self.timeline.push(event, &mut self.lines);
        }
        self
    }

    /// The client connected again and got further.
    pub(super) fn and_came_back(mut self) -> Script {
        self.came_back = true;
        self
    }

    pub(super) fn record(mut self) -> Record {
        self.timeline.finish(self.now, &mut self.lines);
        self.lines.push(Line::Summary(Box::new(self.timeline.summary().clone())));
        self.lines.into_iter().collect()
    }

    pub(super) fn may_be_a_prompt(self) -> bool {
        may_be_a_prompt(&self.record(), &Summary::default())
    }

    pub(super) fn diagnose(self) -> Diagnosis {
        let context = Context { came_back: self.came_back };
        diagnose(&self.record(), &context)
    }
}

/// X.224 connection request with RDP_NEG_REQ.
pub(super) fn request(protocols: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, protocols, 0, 0, 0]
}

/// X.224 connection confirm with RDP_NEG_RSP.
pub(super) fn confirm(protocol: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, protocol, 0, 0, 0]
}

/// X.224 connection confirm with RDP_NEG_FAILURE.
pub(super) fn failure(code: u8) -> Vec<u8> {
    vec![3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 3, 0, 8, 0, code, 0, 0, 0]
}

/// A TLS record.
pub(super) fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[content_type, 3, 3], length.as_slice(), fragment].concat()
}

fn handshake(message_type: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(22, &[&[message_type], &length[1..], body].concat())
}

/// A fatal alert in clear.
pub(super) fn alert(description: u8) -> Vec<u8> {
    record(21, &[2, description])
}

/// An encrypted record of application data.
pub(super) fn application_data(length: usize) -> Vec<u8> {
    record(23, &vec![0x5a; length])
}

/// A ClientHello that offers TLS 1.2 and 1.3 and names a server.
pub(super) fn client_hello(server_name: &str) -> Vec<u8> {
    let name = server_name.as_bytes();
    let length = |extra: usize| u16::try_from(name.len() + extra).unwrap().to_be_bytes();
    let names = [&[0, 0], length(5).as_slice(), &length(3), &[0], &length(0), name].concat();
    let versions = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let extensions = [names.as_slice(), &versions].concat();
    let suites = [0, 4, 0x13, 0x01, 0xc0, 0x30, 1, 0];
    let extensions_length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    handshake(1, &[&[3, 3], [7; 32].as_slice(), &[0], &suites, &extensions_length, &extensions].concat())
}

/// A ServerHello of TLS 1.2 with an AEAD suite.
pub(super) fn server_hello_12() -> Vec<u8> {
    handshake(2, &[&[3, 3], [8; 32].as_slice(), &[0, 0xc0, 0x30, 0]].concat())
}

/// A ServerHello of TLS 1.3.
pub(super) fn server_hello_13() -> Vec<u8> {
    handshake(2, &[&[3, 3], [8; 32].as_slice(), &[0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat())
}

/// The rest of a TLS 1.2 server's flight.
pub(super) fn certificate(der: &[u8]) -> Vec<u8> {
    let length = |extra: usize| u32::try_from(der.len() + extra).unwrap().to_be_bytes()[1..].to_vec();
    [handshake(11, &[length(3), length(0), der.to_vec()].concat()), handshake(14, &[])].concat()
}

/// ChangeCipherSpec and an encrypted Finished.
pub(super) fn finished() -> Vec<u8> {
    [record(20, &[1]), record(22, &[0x5a; 40])].concat()
}

/// A TLS 1.2 handshake up to and including both Finished.
pub(super) fn handshake_12(script: Script, server_name: &str, der: &[u8]) -> Script {
    server_flight_12(script, server_name, der).client(&finished()).server(&finished())
}

/// A TLS 1.2 handshake up to the end of the server's flight.
pub(super) fn server_flight_12(script: Script, server_name: &str, der: &[u8]) -> Script {
    let flight = [server_hello_12(), certificate(der)].concat();
    script.client(&client_hello(server_name)).server(&flight)
}

/// A TLS 1.3 handshake: what follows the hellos is encrypted.
pub(super) fn handshake_13(script: Script) -> Script {
    let flight = [server_hello_13(), application_data(1200)].concat();
    script.client(&client_hello("srv10")).server(&flight).client(&application_data(53))
}

/// So much that it must be a session.
pub(super) fn session_traffic(mut script: Script) -> Script {
    script = script.client(&application_data(500));
    for _ in 0..13 {
        script = script.server(&application_data(16_000));
    }
    script
}

/// What a certificate of these tests says.
pub(super) struct Made {
    /// Days from the session's day to the first and last of its validity.
    pub(super) days: (i64, i64),
    pub(super) name: &'static str,
    pub(super) self_signed: bool,
    pub(super) client_only: bool,
    /// Who issued it, unless it is self-signed.
    pub(super) authority: &'static str,
}

impl Default for Made {
    fn default() -> Made {
        Made::GOOD
    }
}

impl Made {
    /// For the server's name, in its period, of an authority.
    pub(super) const GOOD: Made = Made {
        days: (-10, 300),
        name: "srv10",
        self_signed: false,
        client_only: false,
        authority: "Test Authority",
    };

    pub(super) fn der(&self) -> Vec<u8> {
        let today =
            OffsetDateTime::from_unix_timestamp(STARTED.parse::<jiff::Timestamp>().unwrap().as_second())
                .unwrap();
        let params = |name: &str| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.not_before = today + Duration::days(self.days.0);
            params.not_after = today + Duration::days(self.days.1);
            params
        };
        let mut leaf = params(self.name);
        if self.client_only {
            leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        }
        let key = KeyPair::generate().unwrap();
        if self.self_signed {
            return leaf.self_signed(&key).unwrap().der().to_vec();
        }
        let authority_key = KeyPair::generate().unwrap();
        let authority = rcgen::Issuer::new(params(self.authority), authority_key);
        leaf.signed_by(&key, &authority).unwrap().der().to_vec()
    }
}
