//! Sessions that everybody knows, from their first line to their last.

use super::script::{Script, asked, chain, chose, client_hello, end, evidence, fix, server_hello, verdict};
use crate::trace::*;
use crate::wire::tls::Alert;
use crate::wire::x224::NegotiationFailure;

pub(super) fn healthy(session: &str, target: &str) -> Vec<Line> {
    use Side::{Client, Server};
    let mut script = Script::connected(session, target, "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("anna"), &["SSL", "HYBRID", "HYBRID_EX"]))
        .server(3_400, Phase::X224, chose("HYBRID_EX"))
        .client(3_103_400, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(3_106_200, Phase::Tls, server_hello(0x1302, true))
        .server(3_106_200, Phase::Tls, Detail::EncryptionStarted)
        .client(3_109_000, Phase::Tls, Detail::EncryptionStarted)
        .inferred(3_109_000, Client, Phase::Tls, Detail::HandshakeComplete);
    for (turn, t_us) in (1..=5).zip([3_109_800, 3_111_200, 3_114_000, 3_221_000, 3_222_300]) {
        let from = if turn % 2 == 1 { Client } else { Server };
        script = script.inferred(t_us, from, Phase::Credssp, Detail::CredsspTurn { turn, length: 300 });
    }
    let up: u64 = 48_210;
    script
        .inferred(
            3_262_000,
            Server,
            Phase::Credssp,
            Detail::EarlyUserAuthorizationResult { length: 4, result: None },
        )
        .sized(3_263_000, Client, Phase::Mcs, &["connect_initial"])
        .sized(3_281_000, Server, Phase::Mcs, &["connect_response"])
        .sized(
            3_282_000,
            Client,
            Phase::Channels,
            &["erect_domain_or_channel_join_request", "attach_user_request"],
        )
        .sized(3_283_000, Server, Phase::Channels, &["attach_user_confirm"])
        .sized(3_290_000, Server, Phase::Channels, &["channel_join_confirm"; 7])
        .sized(3_291_000, Client, Phase::Info, &["client_info"])
        .sized(3_353_000, Server, Phase::Licensing, &["license_valid_client"])
        .sized(3_360_000, Server, Phase::Capabilities, &["demand_active"])
        .sized(3_361_000, Client, Phase::Capabilities, &["confirm_active"])
        .sized(3_362_000, Client, Phase::Finalization, &["client_finalization"; 4])
        .sized(3_390_000, Server, Phase::Finalization, &["server_finalization"; 4])
        .inferred(3_390_000, Server, Phase::Active, Detail::SessionTraffic)
        .push(Event {
            t_us: 4_100_000,
            leg: Leg::Server,
            from: Some(Server),
            connection: None,
            phase: Phase::Udp,
            inferred: false,
            detail: Detail::Udp(UdpMessage::Established { version: Some(3), took_us: Some(2_100) }),
        })
        .client(723_000_000, Phase::Closed, Detail::StreamEnded { how: How::Reset })
        .rtt(723_000_100)
        .finding(Phase::Tls, "The client could check the certificate only by asking its user.")
        .end(
            verdict(
                VerdictId::Healthy,
                Confidence::Likely,
                Phase::Active,
                "The session worked; the client ended it.",
            ),
            End { bytes_up: up, bytes_down: 34_100_000, ..end(723_000_050, ClosedBy::Client, How::Reset) },
        )
}

pub(super) fn expired(session: &str) -> Vec<Line> {
    let alert = Alert::decode(&[2, 45]).unwrap();
    let verdict = Verdict {
        evidence: vec![
            evidence(8_200, "the server sent a certificate that was valid until 2026-11-09"),
            evidence(20_300, "the client answered with the fatal TLS alert certificate_expired"),
        ],
        by_user: false,
        ruled_out: vec![
            VerdictId::DnsFailure,
            VerdictId::TcpRefused,
            VerdictId::TcpFiltered,
            VerdictId::NotRdp,
            VerdictId::NlaRequired,
            VerdictId::TlsVersionMismatch,
            VerdictId::CertificateNameMismatch,
        ],
        alternatives: vec![Alternative {
            id: VerdictId::CertificateUntrusted,
            confidence: Confidence::Possible,
        }],
        next: vec!["rdpscope ab srv10.contoso.local --vary cert".to_owned()],
        fix: vec![
            fix(
                Where::Server,
                "Delete the expired self-signed certificate and restart the service, which makes a new one; sessions drop.",
                Some(
                    "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop' | Remove-Item; Restart-Service TermService -Force",
                ),
            ),
            fix(
                Where::Client,
                "Check the clock: a wrong date makes a good certificate look expired.",
                Some("w32tm /query /status"),
            ),
        ],
        ..verdict(
            VerdictId::CertificateExpired,
            Confidence::Confirmed,
            Phase::Tls,
            "The server's certificate expired 11 days ago and the client refused it.",
        )
    };
    Script::connected(session, "srv10.contoso.local:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(None, &["SSL", "HYBRID"]))
        .server(3_400, Phase::X224, chose("HYBRID"))
        .client(4_100, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(8_200, Phase::Tls, server_hello(0xc030, false))
        .server(8_200, Phase::Tls, chain("srv10.contoso.local"))
        .server(
            8_200,
            Phase::Tls,
            Detail::HandshakeMessage { name: "server_hello_done".to_owned(), length: 0 },
        )
        .client(20_300, Phase::Tls, Detail::Alert(alert))
        .client(20_350, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .server(20_800, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .rtt(20_900)
        .end(verdict, end(20_800, ClosedBy::Client, How::Alert))
}

pub(super) fn nla_required() -> Vec<Line> {
    let refusal =
        NegotiationFailure { code: 5, name: "HYBRID_REQUIRED_BY_SERVER".to_owned(), anomalies: vec![] };
    let verdict = Verdict {
        evidence: vec![evidence(3_100, "the server answered with failure 5, HYBRID_REQUIRED_BY_SERVER")],
        fix: vec![fix(
            Where::Client,
            "Let the client use NLA: remove this line from the .rdp file.",
            Some("enablecredsspsupport:i:0"),
        )],
        by_user: false,
        ruled_out: vec![VerdictId::NotRdp, VerdictId::RdpSilent],
        ..verdict(
            VerdictId::NlaRequired,
            Confidence::Confirmed,
            Phase::X224,
            "The server requires NLA and the client did not offer it.",
        )
    };
    Script::connected("nla", "srv10.contoso.local:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("bob"), &["SSL"]))
        .server(3_100, Phase::X224, Detail::NegotiationFailure(refusal))
        .server(3_150, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .client(3_900, Phase::Closed, Detail::StreamEnded { how: How::Fin })
        .end(verdict, end(3_900, ClosedBy::Server, How::Fin))
}

pub(super) fn refused() -> Vec<Line> {
    let refused = |address: &str| Detail::ConnectFailed {
        address: address.to_owned(),
        error: ConnectError::Refused,
        reason: "connection refused".to_owned(),
        took_us: 380,
    };
    let addresses = vec!["192.0.2.10:3389".to_owned(), "[2001:db8::10]:3389".to_owned()];
    let resolved = Detail::Resolved { name: "srv10.contoso.local".to_owned(), addresses, took_us: 1_700 };
    let verdict = Verdict {
        evidence: vec![evidence(2_300, "192.0.2.10:3389 answered the SYN with RST")],
        next: vec!["rdpscope probe srv10.contoso.local".to_owned()],
        fix: vec![
            fix(
                Where::Server,
                "See whether Remote Desktop is switched on and listens on this port.",
                Some("Get-Service TermService; netstat -ano | findstr :3389"),
            ),
            fix(Where::Network, "A firewall that answers with RST looks the same.", None),
        ],
        alternatives: vec![Alternative { id: VerdictId::TcpFiltered, confidence: Confidence::Possible }],
        by_user: false,
        ruled_out: vec![VerdictId::DnsFailure],
        ..verdict(
            VerdictId::TcpRefused,
            Confidence::Confirmed,
            Phase::Tcp,
            "Nothing listens on srv10.contoso.local:3389.",
        )
    };
    Script::accepted("refused", "srv10.contoso.local:3389")
        .proxy(1_900, Leg::Proxy, Phase::Dns, resolved)
        .proxy(1_950, Leg::Server, Phase::Tcp, Detail::Connecting { address: "192.0.2.10:3389".to_owned() })
        .proxy(2_330, Leg::Server, Phase::Tcp, refused("192.0.2.10:3389"))
        .proxy(2_700, Leg::Server, Phase::Tcp, refused("[2001:db8::10]:3389"))
        .end(verdict, End { bytes_up: 0, bytes_down: 0, ..end(2_750, ClosedBy::Proxy, How::Reset) })
}
