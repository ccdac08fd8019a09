use super::super::logon_status::{MESSAGE_ALTERED, STATUSES};
use super::script::{HYBRID, SSL, Script};
use super::terminated::{Terminated, alerts, ts_request};
use super::{Diagnosis, assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, How, Leg, Phase, Side, VerdictId};
use crate::wire::credssp::kerberos::KerberosToken;
use crate::wire::credssp::ntlm::{NtlmAuthenticate, NtlmChallenge, NtlmMessage, NtlmNegotiate};
use crate::wire::credssp::spnego::Spnego;
use crate::wire::credssp::{MechanismToken, NegoToken};
use crate::wire::named::Code;
use crate::wire::rdsaad::RdsAadPdu;
use crate::wire::rdstls::RdstlsPdu;

/// 2026-11-21T09:00:00Z, when these sessions begin, µs since 1970.
const STARTED_US: i64 = 1_795_251_600_000_000;

/// What one logon by NTLM is like.
struct Logon {
    same_key: bool,
    client_version: u32,
    server_version: u32,
    service: &'static str,
    server_ahead_us: i64,
}

impl Default for Logon {
    fn default() -> Logon {
        Logon {
            same_key: true,
            client_version: 6,
            server_version: 6,
            service: "TERMSRV/srv10",
            server_ahead_us: 0,
        }
    }
}

fn ntlm(message: NtlmMessage) -> Vec<NegoToken> {
    let mechanism = Some(MechanismToken::Ntlm(message));
    vec![NegoToken { length: 100, spnego: None, mechanism }]
}

fn says(script: Script, from: Side, detail: Detail) -> Script {
    script.says(from.into(), Some(from), Phase::Credssp, detail)
}

impl Logon {
    fn connected(&self) -> Script {
        let session = Terminated {
            offers: SSL | HYBRID,
            chosen: HYBRID,
            same_key: self.same_key,
            ..Terminated::default()
        };
        session.complete()
    }

    /// Negotiate and challenge.
    fn challenged(&self) -> Script {
        let negotiate = ts_request(|message| {
            message.version = self.client_version;
            message.nego_tokens = ntlm(NtlmMessage::Negotiate(NtlmNegotiate::default()));
            message.nego_tokens[0].spnego = Some(Spnego {
                mechanisms: vec!["Kerberos".to_owned(), "NTLM".to_owned()],
                ..Spnego::default()
            });
        });
        let challenge = ts_request(|message| {
            message.version = self.server_version;
            message.nego_tokens = ntlm(NtlmMessage::Challenge(Box::new(NtlmChallenge {
                netbios_computer: Some("SRV10".to_owned()),
                timestamp_unix_us: Some(STARTED_US + self.server_ahead_us),
                ..NtlmChallenge::default()
            })));
        });
        says(says(self.connected(), Side::Client, negotiate), Side::Server, challenge)
    }

    /// The client's proof, bound to the key that it saw.
    fn authenticated(&self) -> Script {
        let authenticate = ts_request(|message| {
            message.version = self.client_version;
            message.pub_key_auth_length = Some(48);
            message.nego_tokens = ntlm(NtlmMessage::Authenticate(Box::new(NtlmAuthenticate {
                target_spn: Some(self.service.to_owned()),
                ..NtlmAuthenticate::default()
            })));
        });
        says(self.challenged(), Side::Client, authenticate)
    }

    fn answered(&self, code: u32) -> Diagnosis {
        let script = says(self.authenticated(), Side::Server, status(code));
        script.end(Side::Server, How::Fin).diagnose()
    }
}

fn status(value: u32) -> Detail {
    ts_request(|message| message.error_code = Some(Code { value, name: None }))
}

#[test]
fn every_status_has_its_verdict_and_is_named() {
    for known in STATUSES.iter().filter(|known| known.code >= 0x8000_0000) {
        let diagnosis = Logon::default().answered(known.code);
        // Whatever was damaged on the way is answered so, too.
        let is_sure = known.code != MESSAGE_ALTERED;
        let confidence = if is_sure { Confidence::Confirmed } else { Confidence::Likely };
        assert_verdict(&diagnosis, known.cause, confidence);
        let verdict = &diagnosis.verdict;
        assert_eq!(verdict.phase, Phase::Credssp);
        assert!(verdict.evidence.iter().any(|seen| seen.text.contains(known.name)), "{:?}", verdict.evidence);
        assert!(!verdict.fix.is_empty());
    }
}

#[test]
fn statuses_that_need_more_to_be_read() {
    let answered = |code| Logon::default().answered(code);
    let denied = answered(0xC000_0022);
    assert_verdict(&denied, VerdictId::AuthorizationDenied, Confidence::Likely);
    assert!(may_also_be(&denied, VerdictId::NlaKeyBinding));
    for code in [0xC000_00BB, 0x8009_0302] {
        assert_verdict(&answered(code), VerdictId::NlaNtlmRefused, Confidence::Likely);
        let old = Logon { client_version: 3, ..Logon::default() };
        assert_verdict(&old.answered(code), VerdictId::NlaEncryptionOracle, Confidence::Confirmed);
    }
    let unknown = answered(0xC000_009A);
    assert_verdict(&unknown, VerdictId::ServerClosed, Confidence::Confirmed);
    assert!(unknown.verdict.summary.contains("0xc000009a"), "{}", unknown.verdict.summary);
    let fine = says(Logon::default().authenticated(), Side::Server, status(0));
    let fine = fine.end(Side::Server, How::Fin).diagnose();
    assert_verdict(&fine, VerdictId::ServerClosed, Confidence::Likely);
}

#[test]
fn an_error_of_the_server_s_system_says_little() {
    for code in [0xC007_00EA, 0xC007_0005] {
        let diagnosis = Logon::default().answered(code);
        assert_verdict(&diagnosis, VerdictId::NlaLogonFailed, Confidence::Likely);
        assert!(diagnosis.verdict.summary.contains("says nothing of the logon"));
        assert!(
            diagnosis.verdict.summary.contains(&format!("{code:#010x}")),
            "{}",
            diagnosis.verdict.summary
        );
        assert!(may_also_be(&diagnosis, VerdictId::NlaAccountLocked));
    }
    let locked = Logon::default().answered(0xC007_0775);
    assert_verdict(&locked, VerdictId::NlaAccountLocked, Confidence::Likely);
    assert_verdict(
        &Logon::default().answered(0x8007_0775),
        VerdictId::NlaAccountLocked,
        Confidence::Confirmed,
    );
}

#[test]
fn every_id_of_the_family_is_reached() {
    let reached: Vec<VerdictId> = STATUSES.iter().map(|status| status.cause).collect();
    for id in VerdictId::ALL.iter().filter(|id| id.as_str().starts_with("nla-")) {
        let by_other_ways =
            [VerdictId::NlaEncryptionOracle, VerdictId::NlaRequired, VerdictId::NlaNotOffered].contains(id);
        assert!(reached.contains(id) || by_other_ways, "{id}");
    }
}

#[test]
fn a_server_that_says_nothing_usually_means_the_password() {
    for how in [How::Fin, How::Reset] {
        let diagnosis = Logon::default().authenticated().end(Side::Server, how).diagnose();
        assert_verdict(&diagnosis, VerdictId::NlaLogonFailed, Confidence::Likely);
        assert!(may_also_be(&diagnosis, VerdictId::NlaAccountLocked));
        assert!(diagnosis.verdict.summary.contains("no status"), "{}", diagnosis.verdict.summary);
    }
    let alert =
        alerts(Logon::default().authenticated(), Side::Server, 2, 49).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&alert, VerdictId::NlaLogonFailed, Confidence::Likely);
    let by_client = Logon::default().challenged().end(Side::Client, How::Fin).diagnose();
    assert_verdict(&by_client, VerdictId::ClientClosed, Confidence::Likely);
    assert!(!by_client.verdict.summary.contains("inside TLS"), "{}", by_client.verdict.summary);
}

#[test]
fn another_key_is_rdpscopes_own_doing() {
    let other_key = || Logon { same_key: false, ..Logon::default() };
    let silent = other_key().authenticated().end(Side::Server, How::Fin).diagnose();
    let of_the_system = other_key().answered(0xC007_00EA);
    for (diagnosis, confidence) in [
        (silent, Confidence::Likely),
        (of_the_system, Confidence::Likely),
        (other_key().answered(0xC000_0022), Confidence::Confirmed),
        (other_key().answered(0xC000_035B), Confidence::Confirmed),
    ] {
        assert_verdict(&diagnosis, VerdictId::NlaKeyBinding, confidence);
        let may_be_the_password = may_also_be(&diagnosis, VerdictId::NlaLogonFailed);
        assert_eq!(may_be_the_password, confidence == Confidence::Likely, "nothing tells the two apart");
        assert!(
            diagnosis.verdict.summary.contains("not a fault of the server"),
            "{}",
            diagnosis.verdict.summary
        );
        assert!(diagnosis.verdict.fix.iter().all(|fix| fix.place == crate::trace::Where::Client));
        assert!(diagnosis.verdict.next[0].contains("--renew-with"));
    }
    let wrong_password = other_key().answered(0xC000_006D);
    assert_verdict(&wrong_password, VerdictId::NlaLogonFailed, Confidence::Confirmed);
    assert!(may_also_be(&wrong_password, VerdictId::NlaKeyBinding));
    let before = other_key().challenged().end(Side::Client, How::Fin).diagnose();
    assert_verdict(&before, VerdictId::ClientClosed, Confidence::Likely);
    assert!(has_finding(&before, "confounder-key-binding"));
    let inspected = Logon::default().answered(0xC000_035B);
    assert!(may_also_be(&inspected, VerdictId::TlsInspected));
}

#[test]
fn a_client_that_compares_the_keys_itself() {
    let leaves = |same_key| {
        let script = Logon { same_key, ..Logon::default() }.authenticated();
        says(script, Side::Server, ts_request(|message| message.pub_key_auth_length = Some(48)))
            .end(Side::Client, How::Fin)
            .diagnose()
    };
    assert_verdict(&leaves(false), VerdictId::NlaKeyBinding, Confidence::Confirmed);
    assert_verdict(&leaves(true), VerdictId::ClientClosed, Confidence::Likely);
}

#[test]
fn versions_of_credssp_that_refuse_each_other() {
    let left = |client_version, server_version| {
        let logon = Logon { client_version, server_version, ..Logon::default() };
        logon.challenged().end(Side::Client, How::Fin).diagnose()
    };
    assert_verdict(&left(6, 2), VerdictId::NlaEncryptionOracle, Confidence::Likely);
    assert_verdict(&left(6, 5), VerdictId::ClientClosed, Confidence::Likely);
    // Old pairs close without a status on a wrong password, and only after the proof of it.
    let silent = Logon { client_version: 2, ..Logon::default() }.authenticated().end(Side::Server, How::Fin);
    let silent = silent.diagnose();
    assert_verdict(&silent, VerdictId::NlaLogonFailed, Confidence::Likely);
    assert!(may_also_be(&silent, VerdictId::NlaEncryptionOracle));
}

#[test]
fn clocks_that_are_apart() {
    let ahead = |minutes: i64| Logon { server_ahead_us: minutes * 60_000_000, ..Logon::default() };
    let skewed = ahead(-20).answered(0xC000_0133);
    assert_verdict(&skewed, VerdictId::NlaClockSkew, Confidence::Confirmed);
    let told = skewed.verdict.evidence.iter().any(|seen| seen.text.contains("20 min behind"));
    assert!(told, "{:?}", skewed.verdict.evidence);
    assert!(has_finding(&ahead(7).answered(0xC000_006D), "nla-clock-skew"));
    assert!(!has_finding(&ahead(3).answered(0xC000_006D), "nla-clock-skew"));
    let code = Code { value: 37, name: None };
    let error = ts_request(|message| {
        let mechanism = Some(MechanismToken::Kerberos(KerberosToken::Error { code }));
        message.nego_tokens = vec![NegoToken { length: 90, spnego: None, mechanism }];
    });
    let kerberos =
        says(Logon::default().connected(), Side::Server, error).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&kerberos, VerdictId::NlaClockSkew, Confidence::Confirmed);
}

#[test]
fn a_server_that_wants_no_ntlm() {
    let reject = |state: &str| {
        let spnego = Some(Spnego { state: Some(state.to_owned()), ..Spnego::default() });
        let token = NegoToken { length: 20, spnego, mechanism: None };
        let answer = ts_request(|message| message.nego_tokens = vec![token]);
        says(Logon::default().authenticated(), Side::Server, answer).end(Side::Server, How::Fin).diagnose()
    };
    assert_verdict(&reject("reject"), VerdictId::NlaNtlmRefused, Confidence::Likely);
    assert_ne!(reject("accept-incomplete").verdict.id, VerdictId::NlaNtlmRefused);
}

#[test]
fn ntlm_because_of_localhost_is_rdpscopes_own_doing() {
    let dialled = Logon { service: "TERMSRV/localhost", ..Logon::default() };
    let refused = dialled.answered(0xC000_0418);
    assert_verdict(&refused, VerdictId::NlaNtlmRefused, Confidence::Confirmed);
    assert!(refused.verdict.next[0].contains("--listen 127.0.0.2:13389"), "{:?}", refused.verdict.next);
    for id in ["confounder-service-name", "confounder-kerberos-fallback"] {
        assert!(has_finding(&refused, id), "{id}");
        assert!(!has_finding(&Logon::default().answered(0xC000_0418), id), "{id}");
    }
}

#[test]
fn rdstls_and_rds_aad_have_statuses_too() {
    let answered = |detail| {
        let session = Terminated { offers: SSL, chosen: 4, ..Terminated::default() };
        says(session.complete(), Side::Server, detail).end(Side::Server, How::Fin).diagnose()
    };
    let rdstls = |value| answered(Detail::Rdstls(RdstlsPdu::Response { result: Code { value, name: None } }));
    for (value, cause) in [
        (0x52E, VerdictId::NlaLogonFailed),
        (0x530, VerdictId::NlaAccountRestricted),
        (0x532, VerdictId::NlaPasswordExpired),
        (0x533, VerdictId::NlaAccountDisabled),
        (0x773, VerdictId::NlaPasswordExpired),
        (0x775, VerdictId::NlaAccountLocked),
        (0x5, VerdictId::AuthorizationDenied),
    ] {
        assert_verdict(&rdstls(value), cause, Confidence::Confirmed);
    }
    let aad = |value| {
        let result = Code { value, name: None };
        answered(Detail::RdsAad(RdsAadPdu::AuthenticationResult { result }))
    };
    assert_verdict(&aad(0x8007_052E), VerdictId::NlaLogonFailed, Confidence::Confirmed);
    let other = aad(0xCAA2_0003);
    assert_verdict(&other, VerdictId::ServerClosed, Confidence::Confirmed);
    assert!(other.verdict.summary.contains("0xcaa20003"), "{}", other.verdict.summary);
}

#[test]
fn the_logon_that_rdpscope_does_itself() {
    let failed = |leg| {
        let session =
            Terminated { offers: SSL | HYBRID, chosen: HYBRID, logs_on: true, ..Terminated::default() };
        let reason = Some("the password is not the one in --credentials".to_owned());
        let detail = Detail::CredsspTerminated { succeeded: false, reason };
        session.complete().says(leg, None, Phase::Credssp, detail).stopped().diagnose()
    };
    let client = failed(Leg::Client);
    assert_verdict(&client, VerdictId::NlaLogonFailed, Confidence::Likely);
    assert!(client.verdict.summary.contains("nothing against the server"), "{}", client.verdict.summary);
    let server = failed(Leg::Server);
    assert_verdict(&server, VerdictId::NlaLogonFailed, Confidence::Likely);
    assert!(server.verdict.summary.contains("at the server"), "{}", server.verdict.summary);
}

#[test]
fn what_rdpscope_says_on_its_own_leg_is_no_status_of_the_server() {
    let session = Terminated { offers: SSL | HYBRID, chosen: HYBRID, logs_on: true, ..Terminated::default() };
    let ours = session.complete().says(Leg::Client, None, Phase::Credssp, status(0xC000_006D));
    let diagnosis = ours.end(Side::Client, How::Fin).diagnose();
    assert_ne!(diagnosis.verdict.id, VerdictId::NlaLogonFailed);
    assert_ne!(diagnosis.verdict.id, VerdictId::NlaKeyBinding);
}

#[test]
fn another_machine_may_have_answered() {
    let named = |name: &str| {
        let challenge = NtlmChallenge { dns_computer: Some(name.to_owned()), ..NtlmChallenge::default() };
        let answer = ts_request(|message| {
            message.nego_tokens = ntlm(NtlmMessage::Challenge(Box::new(challenge)));
        });
        says(Logon::default().connected(), Side::Server, answer).end(Side::Client, How::Fin).diagnose()
    };
    assert!(has_finding(&named("srv11.corp.example"), "other-machine-answered"));
    assert!(!has_finding(&named("SRV10.corp.example"), "other-machine-answered"));
}
