//! Sessions whose TLS ends in rdpscope.

use super::script::{HYBRID, Made, SSL, Script, client_hello, server_hello_12, server_hello_13};
use super::{Diagnosis, assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, How, Leg, Phase, RdpMessage, Side, VerdictId};
use crate::wire::credssp::TsRequest;
use crate::wire::tls::{Alert, ClientHello, ServerHello};
use rdpscope_certs::inspect::{Certificate, inspect};
use std::sync::Arc;

/// What goes before a TLS message: record and handshake header.
const HEADERS: usize = 5 + 4;
pub(super) const EXPIRED: Made =
    Made { days: (-400, -12), name: "srv10", self_signed: false, client_only: false, ..Made::GOOD };
const GOOD: Made =
    Made { days: (-10, 300), name: "srv10", self_signed: false, client_only: false, ..Made::GOOD };

/// One session with TLS on both legs.
pub(super) struct Terminated {
    pub(super) offers: u8,
    pub(super) chosen: u8,
    /// `--cert`.
    pub(super) mode: &'static str,
    pub(super) same_key: bool,
    /// Where a mirrored certificate is not like the original.
    pub(super) differences: Vec<String>,
    /// rdpscope logs on by itself, so that the other key is no matter.
    pub(super) logs_on: bool,
    pub(super) server: Made,
    pub(super) shown: Made,
    pub(super) client_hello: Vec<u8>,
    /// What rdpscope offers the server.
    pub(super) our_hello: Vec<u8>,
    pub(super) server_hello: Vec<u8>,
}

impl Default for Terminated {
    fn default() -> Terminated {
        Terminated {
            offers: SSL,
            chosen: SSL,
            mode: "fresh",
            same_key: false,
            differences: Vec::new(),
            logs_on: false,
            server: GOOD,
            shown: GOOD,
            client_hello: client_hello("srv10"),
            our_hello: client_hello("srv10"),
            server_hello: server_hello_13(),
        }
    }
}

fn chain(made: &Made) -> Vec<Arc<Certificate>> {
    vec![Arc::new(inspect(&made.der()).unwrap())]
}

impl Terminated {
    /// Up to the hello that the client sends.
    fn greeted(&self) -> Script {
        let hello = |bytes: &[u8]| Box::new(ClientHello::decode(&bytes[HEADERS..], 0x0301).unwrap());
        Script::negotiated(self.offers, self.chosen)
            .says(Leg::Client, Some(Side::Client), Phase::Tls, Detail::ClientHello(hello(&self.client_hello)))
            .says(Leg::Server, None, Phase::Tls, Detail::ClientHello(hello(&self.our_hello)))
    }

    /// Up to our hello to the client.
    pub(super) fn shown(&self) -> Script {
        let hello = || Box::new(ServerHello::decode(&self.server_hello[HEADERS..]).unwrap());
        let certificate =
            Detail::Certificate { chain: chain(&self.server), unreadable: Vec::new(), der: vec![] };
        let judged = Detail::CertificateJudged {
            trusted: false,
            reason: Some("the issuer is not known".to_owned()),
            name: "srv10".to_owned(),
            name_matches: self.server.name == "srv10",
            verifier: None,
            by_rules: Vec::new(),
        };
        let presented = Detail::CertificatePresented {
            mode: self.mode.to_owned(),
            chain: chain(&self.shown),
            same_key: self.same_key,
            differences: self.differences.clone(),
            der: vec![],
        };
        let script = self
            .greeted()
            .says(Leg::Server, Some(Side::Server), Phase::Tls, Detail::ServerHello(hello()))
            .says(Leg::Server, Some(Side::Server), Phase::Tls, certificate)
            .says(Leg::Server, Some(Side::Server), Phase::Tls, Detail::HandshakeComplete)
            .proxy(Phase::Tls, judged)
            .says(Leg::Client, None, Phase::Tls, presented);
        let foreseen = Detail::KeyBindingForeseen { advice: vec!["--nla strip".to_owned()] };
        let script = match self.chosen & HYBRID != 0 && !self.same_key && !self.logs_on {
            true => script.says(Leg::Client, None, Phase::Tls, foreseen),
            false => script,
        };
        script.says(Leg::Client, None, Phase::Tls, Detail::ServerHello(hello()))
    }

    /// Up to the end of both handshakes.
    pub(super) fn complete(&self) -> Script {
        self.shown().says(Leg::Client, Some(Side::Client), Phase::Tls, Detail::HandshakeComplete)
    }
}

/// An alert that whoever terminates TLS can read.
pub(super) fn alerts(script: Script, from: Side, level: u8, description: u8) -> Script {
    let alert = Alert::decode(&[level, description]).unwrap();
    script.says(from.into(), Some(from), Phase::Tls, Detail::Alert(alert))
}

/// close_notify and FIN, as FreeRDP leaves.
fn leaves(script: Script) -> Diagnosis {
    alerts(script, Side::Client, 1, 0).end(Side::Client, How::Fin).diagnose()
}

fn refuses(session: &Terminated, description: u8) -> Diagnosis {
    alerts(session.shown(), Side::Client, 2, description).end(Side::Client, How::Fin).diagnose()
}

fn mirrored(made: fn() -> Made) -> Terminated {
    Terminated { mode: "mirror", server: made(), shown: made(), ..Terminated::default() }
}

fn fixes_on_server(diagnosis: &Diagnosis) -> bool {
    diagnosis.verdict.fix.iter().any(|fix| fix.place == crate::trace::Where::Server)
}

#[test]
fn a_client_that_does_not_trust_our_authority_is_rdpscopes_doing() {
    let stated = refuses(&Terminated::default(), 48);
    assert_verdict(&stated, VerdictId::CertificateUntrusted, Confidence::Confirmed);
    let silent = leaves(Terminated::default().complete());
    assert_verdict(&silent, VerdictId::CertificateUntrusted, Confidence::Likely);
    for diagnosis in [stated, silent] {
        let summary = &diagnosis.verdict.summary;
        assert!(
            summary.contains("rdpscope's own") && summary.contains("nothing against the server"),
            "{summary}"
        );
        assert!(!fixes_on_server(&diagnosis), "{:#?}", diagnosis.verdict.fix);
        assert!(has_finding(&diagnosis, "certificate-untrusted"), "that is the server's own");
        assert!(!diagnosis.verdict.next.iter().any(|command| command.contains("mirror+issuer")));
        assert_eq!(diagnosis.verdict.next[0], "rdpscope proxy srv10 --cert fresh --ca-out ca.pem");
    }
    let unspecific = refuses(&Terminated::default(), 46);
    assert_verdict(&unspecific, VerdictId::CertificateUntrusted, Confidence::Likely);
}

#[test]
fn what_is_copied_from_the_servers_own_is_the_servers() {
    let session = mirrored(|| EXPIRED);
    let stated = refuses(&session, 45);
    assert_verdict(&stated, VerdictId::CertificateExpired, Confidence::Confirmed);
    assert!(stated.verdict.summary.contains("copied from the server's own"), "{}", stated.verdict.summary);
    assert!(fixes_on_server(&stated));
    let silent = leaves(session.complete());
    assert_verdict(&silent, VerdictId::CertificateExpired, Confidence::Likely);
    assert!(may_also_be(&silent, VerdictId::CertificateUntrusted), "it may also be our CA");
    assert!(silent.verdict.summary.contains("gave no reason"), "{}", silent.verdict.summary);
}

#[test]
fn what_was_asked_for_is_said_to_have_been() {
    let session = Terminated { mode: "expired", shown: EXPIRED, ..Terminated::default() };
    let diagnosis = refuses(&session, 45);
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Confirmed);
    assert!(
        diagnosis.verdict.summary.contains("--cert expired asks for that"),
        "{}",
        diagnosis.verdict.summary
    );
    assert!(!fixes_on_server(&diagnosis));
    assert!(!has_finding(&diagnosis, "certificate-expired"), "the server's own is good");
}

#[test]
fn a_repaired_property_is_not_blamed() {
    let session = || Terminated { mode: "mirror+dates", server: EXPIRED, ..Terminated::default() };
    let diagnosis = leaves(session().complete());
    assert_verdict(&diagnosis, VerdictId::CertificateUntrusted, Confidence::Likely);
    assert!(!may_also_be(&diagnosis, VerdictId::CertificateExpired));
    assert!(has_finding(&diagnosis, "certificate-expired"), "that of the server is");
    assert!(
        !diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateExpired),
        "the server's was not shown"
    );
}

#[test]
fn a_client_that_takes_another_certificate_says_nothing_of_the_servers() {
    let went_on = |session: &Terminated| {
        let initial = RdpMessage::AttachUserRequest;
        session
            .complete()
            .message(Side::Client, Phase::Channels, initial)
            .end(Side::Server, How::Fin)
            .diagnose()
    };
    let fresh = went_on(&Terminated { server: EXPIRED, ..Terminated::default() });
    let mirror = went_on(&mirrored(|| EXPIRED));
    for id in [VerdictId::CertificateExpired, VerdictId::CertificateNameMismatch] {
        assert!(!fresh.verdict.ruled_out.contains(&id), "{id}");
        assert!(mirror.verdict.ruled_out.contains(&id), "{id}");
    }
    for diagnosis in [fresh, mirror] {
        assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
        assert!(!diagnosis.verdict.ruled_out.contains(&VerdictId::CertificateUntrusted));
        assert!(
            has_finding(&diagnosis, "certificate-untrusted")
                && has_finding(&diagnosis, "certificate-expired")
        );
    }
}

#[test]
fn alerts_about_the_certificate_may_come_after_the_handshake() {
    let late =
        alerts(mirrored(|| EXPIRED).complete(), Side::Client, 2, 45).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&late, VerdictId::CertificateExpired, Confidence::Confirmed);
}

#[test]
fn a_self_signed_copy_is_not_the_one_that_the_client_may_know() {
    let self_signed = || Made { self_signed: true, ..Made::default() };
    let diagnosis = refuses(&mirrored(self_signed), 48);
    assert_verdict(&diagnosis, VerdictId::CertificateUntrusted, Confidence::Confirmed);
    assert!(diagnosis.verdict.evidence.iter().any(|seen| seen.text.contains("another thumbprint")));

    // A client that pins the server's own refuses every copy, and says no more than that it leaves.
    let silent = mirrored(self_signed).complete().end(Side::Client, How::Fin).diagnose();
    assert_verdict(&silent, VerdictId::CertificateUntrusted, Confidence::Possible);
}

#[test]
fn a_broken_handshake_with_the_client_is_not_the_servers() {
    for description in [40, 70, 80] {
        let diagnosis = refuses(&Terminated::default(), description);
        assert_verdict(&diagnosis, VerdictId::NotIntercepted, Confidence::Confirmed);
        assert!(!may_also_be(&diagnosis, VerdictId::TlsVersionMismatch));
    }
}

#[test]
fn what_the_server_refuses_is_still_the_servers() {
    let refused = |description| {
        alerts(Terminated::default().greeted(), Side::Server, 2, description)
            .end(Side::Server, How::Fin)
            .diagnose()
    };
    assert_verdict(&refused(70), VerdictId::TlsVersionMismatch, Confidence::Confirmed);
    assert_verdict(&refused(40), VerdictId::TlsCipherMismatch, Confidence::Confirmed);
    let dropped = Terminated::default().greeted().end(Side::Server, How::Reset).diagnose();
    assert_verdict(&dropped, VerdictId::ServerKeyUnusable, Confidence::Likely);
}

/// An offer without the cipher suite of TLS 1.2 that the client has.
fn smaller_offer() -> Vec<u8> {
    let mut hello = client_hello("srv10");
    let suite = HEADERS + 2 + 32 + 1 + 2 + 2;
    assert_eq!(hello[suite..suite + 2], [0xc0, 0x30]);
    hello[suite..suite + 2].copy_from_slice(&[0x13, 0x02]);
    hello
}

#[test]
fn what_is_refused_of_a_smaller_offer_is_not_the_servers() {
    let session = Terminated { our_hello: smaller_offer(), ..Terminated::default() };
    let refused = |script: Script, description| {
        alerts(script, Side::Server, 2, description).end(Side::Server, How::Fin).diagnose()
    };
    let usual = refused(session.greeted(), 40);
    assert_verdict(&usual, VerdictId::NotIntercepted, Confidence::Likely);
    assert!(may_also_be(&usual, VerdictId::TlsCipherMismatch));
    let legacy = || Detail::LegacyTls { reason: "only RSA key exchange".to_owned() };
    let second = || session.greeted().says(Leg::Server, None, Phase::Tls, legacy());
    assert_verdict(&refused(second(), 40), VerdictId::TlsCipherMismatch, Confidence::Likely);
    assert_verdict(&refused(session.greeted(), 70), VerdictId::TlsVersionMismatch, Confidence::Confirmed);
    let dropped = session.greeted().end(Side::Server, How::Reset).diagnose();
    assert!(may_also_be(&dropped, VerdictId::NotIntercepted));
}

#[test]
fn a_refusal_of_the_usual_stack_is_forgotten_where_the_second_begins() {
    let script = alerts(Terminated::default().greeted(), Side::Server, 2, 40);
    let legacy = Detail::LegacyTls { reason: "only RSA key exchange".to_owned() };
    let begun = script.says(Leg::Server, None, Phase::Tls, legacy).stopped().diagnose();
    assert_verdict(&begun, VerdictId::ClientClosed, Confidence::Possible);
}

#[test]
fn tls_that_cannot_be_terminated() {
    let failed = |leg| {
        let (reason, advice) =
            ("this build has no second TLS stack".to_owned(), "leave --cert out".to_owned());
        let detail = Detail::TerminationFailed { reason, advice };
        Terminated::default().greeted().says(leg, None, Phase::Tls, detail).stopped().diagnose()
    };
    for leg in [Leg::Client, Leg::Server] {
        let diagnosis = failed(leg);
        assert_verdict(&diagnosis, VerdictId::NotIntercepted, Confidence::Confirmed);
        assert!(diagnosis.verdict.summary.contains("no second TLS stack"));
    }
    let stopped = Terminated::default().greeted().stopped().diagnose();
    assert_verdict(&stopped, VerdictId::ClientClosed, Confidence::Possible);
}

#[test]
fn a_mismatch_that_rdpscope_hides_is_said() {
    let mut other_suite = server_hello_12();
    let suite = HEADERS + 2 + 32 + 1;
    other_suite[suite..suite + 2].copy_from_slice(&[0xc0, 0x2f]);
    let active = |session: Terminated| session.complete().active().end(Side::Client, How::Fin).diagnose();
    let masked = active(Terminated { server_hello: other_suite, ..Terminated::default() });
    assert_verdict(&masked, VerdictId::Healthy, Confidence::Confirmed);
    assert!(has_finding(&masked, "confounder-masked-mismatch"));
    let open = active(Terminated::default());
    assert!(!has_finding(&open, "confounder-masked-mismatch"));
}

#[test]
fn what_the_second_stack_and_untouched_settings_tell() {
    let legacy = Detail::LegacyTls { reason: "the server only does TLS 1.0".to_owned() };
    let not_altered =
        Detail::NotAltered { setting: "--nla strip".to_owned(), reason: "nothing is negotiated".to_owned() };
    let script = Terminated::default().complete();
    let script = script.says(Leg::Server, None, Phase::Tls, legacy).proxy(Phase::X224, not_altered);
    let diagnosis = script.active().end(Side::Client, How::Fin).diagnose();
    assert!(has_finding(&diagnosis, "old-tls-only") && has_finding(&diagnosis, "confounder-not-altered"));
    let usual = Terminated::default().complete().active().end(Side::Client, How::Fin).diagnose();
    assert!(!has_finding(&usual, "old-tls-only") && !has_finding(&usual, "confounder-not-altered"));
}

#[test]
fn a_broken_end_of_tls_in_the_middle() {
    let initial = RdpMessage::AttachUserRequest;
    let script = Terminated::default().complete().message(Side::Client, Phase::Channels, initial);
    let diagnosis = alerts(script, Side::Server, 2, 80).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Confirmed);
    assert_eq!(diagnosis.verdict.phase, Phase::Channels);
}

#[test]
fn a_clients_late_alert_after_a_session_worked_is_no_fault() {
    let script = || Terminated::default().complete().active();
    let left = alerts(script(), Side::Client, 2, 80).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&left, VerdictId::Healthy, Confidence::Confirmed);
    let broken = alerts(script(), Side::Server, 2, 80).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&broken, VerdictId::ProtocolError, Confidence::Confirmed);
}

#[test]
fn the_servers_own_certificate_from_a_file_is_the_servers() {
    let mut record =
        Terminated { mode: "file:srv10.pfx", same_key: true, server: EXPIRED, ..Terminated::default() }
            .shown()
            .record();
    let own = record.events.iter().find_map(|event| match &event.detail {
        Detail::Certificate { chain, .. } => Some(chain.clone()),
        _ => None,
    });
    for event in &mut record.events {
        if let Detail::CertificatePresented { chain, .. } = &mut event.detail {
            *chain = own.clone().unwrap();
        }
    }
    let alert = Detail::Alert(Alert::decode(&[2, 45]).unwrap());
    let t_us = record.events.last().unwrap().t_us + 1;
    let (leg, from) = (Leg::Client, Some(Side::Client));
    record.events.push(crate::trace::Event {
        t_us,
        leg,
        from,
        connection: None,
        phase: Phase::Tls,
        inferred: false,
        detail: alert,
    });
    let diagnosis = super::super::diagnose(&record, &super::super::Context::default());
    assert_verdict(&diagnosis, VerdictId::CertificateExpired, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("the server's certificate"), "{}", diagnosis.verdict.summary);
    assert!(fixes_on_server(&diagnosis));
}

#[test]
fn where_a_copy_differs_is_a_confounder() {
    let refused = |differences: Vec<String>| {
        let session = Terminated { differences, ..mirrored(|| EXPIRED) };
        refuses(&session, 45)
    };
    assert!(has_finding(&refused(vec!["the serial number".to_owned()]), "confounder-mirror-differs"));
    assert!(!has_finding(&refused(Vec::new()), "confounder-mirror-differs"));
}

/// A TSRequest of the newest version.
pub(super) fn ts_request(change: impl FnOnce(&mut TsRequest)) -> Detail {
    let mut message = TsRequest { version: 6, ..TsRequest::default() };
    change(&mut message);
    Detail::TsRequest(Box::new(message))
}

#[test]
fn a_name_that_our_certificate_is_not_for_is_told_with_what_helps() {
    let asked = |mode, name: &str| {
        let session = Terminated { mode, client_hello: client_hello(name), ..Terminated::default() };
        session.complete().active().end(Side::Client, How::Fin).diagnose()
    };
    let other = asked("fresh", "portal.corp.example");
    let finding = other.findings.iter().find(|finding| finding.id == "shown-for-other-name").unwrap();
    assert!(finding.text.contains("portal.corp.example in TLS"), "{}", finding.text);
    assert!(finding.text.contains("--address"), "{}", finding.text);
    for (mode, name) in [("fresh", "srv10"), ("mirror", "portal.corp.example"), ("wrong-name", "portal")] {
        assert!(!has_finding(&asked(mode, name), "shown-for-other-name"), "{mode} {name}");
    }
}
