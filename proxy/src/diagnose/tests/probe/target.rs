//! What the checks of a probe find at a server that works, to be changed in one thing.

use super::super::script::{Made, STARTED};
use crate::diagnose::{Context, Diagnosis, diagnose};
use crate::trace::{
    CertificateCheck, ConnectError, CredsspCheck, DnsCheck, Header, HelloAnswer, Micros, NegotiationAnswer,
    NegotiationCheck, PathCheck, Probe, Record, SCHEMA_VERSION, TcpCheck, TcpFailure, TlsCheck, UdpAnswer,
    UdpCheck,
};
use crate::wire::credssp::ntlm::NtlmChallenge;
use crate::wire::tls::{CodePoint, ServerHello};
use std::net::IpAddr;
use std::sync::Arc;

/// A target under construction.
pub(super) struct Target {
    pub(super) probe: Probe,
}

impl Target {
    /// A Windows server of a domain as it is installed: NLA, TLS 1.2 and 1.3, a self-signed certificate.
    pub(super) fn windows() -> Target {
        let mut target = Target::nothing();
        let probe = &mut target.probe;
        let versions =
            [("TLS1.0", alert(70)), ("TLS1.2", accepted("TLS1.2")), ("TLS1.3", accepted("TLS1.3"))];
        let suites = [("TLS1.2", vec![suite(0xc030), suite(0xc02f)]), ("TLS1.3", vec![suite(0x1302)])];
        probe.tls = Some(TlsCheck {
            versions: versions.map(|(version, answer)| (version.to_owned(), answer)).into(),
            suites: suites.map(|(version, suites)| (version.to_owned(), suites)).into(),
            ..TlsCheck::default()
        });
        probe.path = Some(path(accepted("TLS1.3"), None));
        probe.credssp = Some(CredsspCheck {
            version: Some(6),
            challenge: Some(NtlmChallenge {
                flags: crate::wire::named::Flags::new(0, &[]),
                target_name: Some("CORP".to_owned()),
                version: None,
                netbios_computer: Some("SRV10".to_owned()),
                netbios_domain: Some("CORP".to_owned()),
                dns_computer: Some("srv10.corp".to_owned()),
                dns_domain: Some("corp".to_owned()),
                dns_forest: None,
                timestamp_unix_us: None,
            }),
            clock_skew_us: Some(120_000),
            ..CredsspCheck::default()
        });
        let syn_ack = UdpAnswer::SynAck {
            version: 2,
            up_stream_mtu: 1232,
            down_stream_mtu: 1232,
            took_us: 900,
            lost: 0,
        };
        probe.udp = Some(UdpCheck {
            address: "10.0.0.5:3389".to_owned(),
            versions: [(2, syn_ack)].into(),
            tls: Some(accepted("TLS1.2")),
            dtls: None,
        });
        target.with_certificate(|made| made.self_signed = true)
    }

    /// A target that was connected and asked in X.224, and no more.
    pub(super) fn nothing() -> Target {
        let probe = Probe {
            target: "srv10.corp:3389".to_owned(),
            started: STARTED.to_owned(),
            took_us: 80_000,
            dns: Some(DnsCheck {
                name: "srv10.corp".to_owned(),
                addresses: vec!["10.0.0.5".to_owned()],
                took_us: 1_200,
                ..DnsCheck::default()
            }),
            tcp: vec![tcp("10.0.0.5:3389", &[Some(900), Some(800), Some(850)], &[])],
            negotiation: vec![
                NegotiationCheck {
                    requested_protocols: vec!["SSL".to_owned()],
                    answer: NegotiationAnswer::Refused {
                        code: 5,
                        name: "HYBRID_REQUIRED_BY_SERVER".to_owned(),
                    },
                    took_us: 900,
                },
                negotiated(&["SSL", "HYBRID", "HYBRID_EX"], "HYBRID_EX"),
            ],
            ..Probe::default()
        };
        Target { probe }
    }

    /// The same under another name.
    pub(super) fn typed(mut self, name: &str) -> Target {
        let is_address = name.parse::<IpAddr>().is_ok();
        self.probe.target = format!("{name}:3389");
        let dns = self.probe.dns.as_mut().unwrap();
        dns.name = name.to_owned();
        dns.is_address = is_address;
        self.check_name()
    }

    /// The same with the certificate that `make` describes, of the target's own name unless it says another.
    pub(super) fn with_certificate(mut self, make: impl FnOnce(&mut Made)) -> Target {
        let mut made = Made { name: "srv10.corp", self_signed: true, ..Made::default() };
        make(&mut made);
        let leaf = rdpscope_certs::inspect::inspect(&made.der()).unwrap();
        let reason = Some("the issuer is not known".to_owned());
        self.probe.certificate =
            Some(CertificateCheck { chain: vec![Arc::new(leaf)], reason, ..CertificateCheck::default() });
        self.check_name()
    }

    fn check_name(mut self) -> Target {
        let name = self.probe.dns.as_ref().unwrap().name.clone();
        if let Some(certificate) = &mut self.probe.certificate {
            certificate.name_matches = certificate.chain[0].matches_name(&name);
            certificate.name = name;
        }
        self
    }

    pub(super) fn diagnose(self) -> Diagnosis {
        let header = Header {
            schema: SCHEMA_VERSION,
            rdpscope: "0".to_owned(),
            session: "test".to_owned(),
            target: self.probe.target.clone(),
            settings: serde_json::Map::new(),
            started: STARTED.to_owned(),
        };
        let record = Record { header: Some(header), probe: Some(Box::new(self.probe)), ..Record::default() };
        diagnose(&record, &Context::default())
    }
}

/// One address, with how each connection went and how the failed ones failed.
pub(super) fn tcp(address: &str, rounds: &[Option<Micros>], failures: &[(ConnectError, u32)]) -> TcpCheck {
    let failure = |&(error, count): &(ConnectError, u32)| TcpFailure {
        error,
        reason: "what the system says".to_owned(),
        count,
    };
    TcpCheck {
        address: address.to_owned(),
        rounds: rounds.to_vec(),
        failures: failures.iter().map(failure).collect(),
        rtt_us: Some(900),
        retransmitted_segments: Some(0),
    }
}

pub(super) fn negotiated(asked: &[&str], protocol: &str) -> NegotiationCheck {
    NegotiationCheck {
        requested_protocols: asked.iter().map(|name| (*name).to_owned()).collect(),
        answer: NegotiationAnswer::Selected { protocol: protocol.to_owned(), flags: Vec::new() },
        took_us: 900,
    }
}

pub(super) fn suite(id: u16) -> CodePoint {
    crate::wire::tls::names::cipher_suite(id)
}

pub(super) fn alert(description: u8) -> HelloAnswer {
    HelloAnswer::Alert { description, name: format!("alert_{description}") }
}

pub(super) fn accepted(version: &str) -> HelloAnswer {
    HelloAnswer::Accepted(Box::new(ServerHello {
        version: version.to_owned(),
        legacy_version: "TLS1.2".to_owned(),
        cipher_suite: suite(0xc030),
        key_share_group: None,
        session_id_length: 0,
        extensions: Vec::new(),
        alpn: None,
        extended_master_secret: true,
        session_ticket: false,
        pre_shared_key: false,
        renegotiation_info: true,
        is_hello_retry_request: false,
        downgrade_sentinel: None,
        ja3s: String::new(),
        ja3s_full: String::new(),
        faults: Vec::new(),
    }))
}

/// A small hello that is answered, against a large one.
pub(super) fn path(large: HelloAnswer, clamped: Option<HelloAnswer>) -> PathCheck {
    PathCheck {
        small_bytes: 220,
        small: accepted("TLS1.3"),
        large_bytes: 1_900,
        large,
        clamped_mss: clamped.is_some().then_some(536),
        large_again: clamped.as_ref().map(|_| HelloAnswer::Silent),
        clamped,
        send_mss: Some(1_460),
    }
}
