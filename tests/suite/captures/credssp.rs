//! What tshark says of the CredSSP messages that it could decrypt.

use super::comparison::Comparison;
use crate::support::captures::{self, Conversation, Observed};
use rdpscope::trace::{Detail, Outcome, Phase, Side};
use rdpscope::wire::credssp::kerberos::KerberosToken;
use rdpscope::wire::credssp::ntlm::NtlmMessage;
use rdpscope::wire::credssp::{MechanismToken, NegoToken, TsRequest};
use serde_json::{Value, json};

/// The messages of a connection with their senders.
fn requests(inside: &Observed) -> Vec<(Side, &TsRequest)> {
    let events = inside.events();
    let request = events.filter_map(|event| match &event.detail {
        Detail::TsRequest(request) => Some((event.from?, &**request)),
        _ => None,
    });
    request.collect()
}

pub(super) fn compare(comparison: &mut Comparison, conversation: &Conversation, inside: &Observed) {
    let truth = &conversation.truth["credssp"];
    let requests = requests(inside);
    comparison.field("credssp_seen", !requests.is_empty(), &conversation.truth["credssp_seen"]);
    if requests.is_empty() {
        return;
    }
    let version = |side| requests.iter().find(|(from, _)| *from == side).map(|(_, request)| request.version);
    comparison.field("credssp.messages", requests.len(), &truth["messages"]);
    comparison.field("credssp.version_client", version(Side::Client), &truth["version_client"]);
    comparison.field("credssp.version_server", version(Side::Server), &truth["version_server"]);
    let summary = inside.summary.credssp.as_ref().expect("a summary of CredSSP");
    comparison.field("credssp.status", &summary.status, &truth["error_code"]);
    let lower = truth["version_client"].as_u64().min(truth["version_server"].as_u64());
    comparison.field("credssp.version", summary.version, &json!(lower));

    let tokens: Vec<&NegoToken> = requests.iter().flat_map(|(_, request)| &request.nego_tokens).collect();
    let mechanisms: Vec<&MechanismToken> =
        tokens.iter().filter_map(|token| token.mechanism.as_ref()).collect();
    let ntlm: Vec<u32> = mechanisms.iter().filter_map(|token| ntlm_type(token)).collect();
    let kerberos: Vec<u32> = mechanisms.iter().filter_map(|token| kerberos_type(token)).collect();
    let list = |truth: &Value| if truth.is_null() { json!([]) } else { truth.clone() };
    comparison.field("credssp.ntlm", &ntlm, &list(&truth["ntlm_message_types"]));
    comparison.field("credssp.kerberos", &kerberos, &list(&truth["kerberos_message_types"]));
    let mechanism = if ntlm.is_empty() { "Kerberos" } else { "NTLM" };
    comparison.field("credssp.mechanism", &summary.mechanism, &json!(mechanism));
    compare_names(comparison, conversation, &mechanisms);
}

/// The names in the messages are those in the certificate and in the client's settings.
fn compare_names(comparison: &mut Comparison, conversation: &Conversation, mechanisms: &[&MechanismToken]) {
    let truth = &conversation.truth;
    for mechanism in mechanisms {
        match mechanism {
            MechanismToken::Ntlm(NtlmMessage::Challenge(challenge)) => {
                comparison.field("ntlm.dns_computer", &challenge.dns_computer, &truth["cert_subject_cn"]);
                assert!(
                    challenge.version.is_some_and(|version| version.release().is_some()),
                    "{challenge:?}"
                );
                assert!(challenge.timestamp_unix_us.is_some(), "{challenge:?}");
            }
            MechanismToken::Ntlm(NtlmMessage::Authenticate(answer)) => {
                if let Some(name) = truth["rdp"]["connect_initial"]["client_name"].as_str() {
                    comparison.field("ntlm.workstation", &answer.workstation, &json!(name));
                }
                assert!(answer.user.is_some() && answer.nt_response_length > 24, "{answer:?}");
            }
            MechanismToken::Kerberos(KerberosToken::ApReq { service, realm, encryption_type }) => {
                let expected = truth["cert_subject_cn"].as_str().map(|name| format!("TERMSRV/{name}"));
                comparison.field("kerberos.service", service, &json!(expected));
                let realm = realm.as_deref().unwrap_or_default().to_lowercase();
                assert!(!realm.is_empty() && expected.is_some_and(|name| name.ends_with(&realm)), "{realm}");
                assert_eq!(encryption_type.as_ref().map(|kind| kind.value), Some(18));
            }
            _ => {}
        }
    }
}

fn ntlm_type(token: &MechanismToken) -> Option<u32> {
    match token {
        MechanismToken::Ntlm(NtlmMessage::Negotiate(_)) => Some(1),
        MechanismToken::Ntlm(NtlmMessage::Challenge(_)) => Some(2),
        MechanismToken::Ntlm(NtlmMessage::Authenticate(_)) => Some(3),
        MechanismToken::Kerberos(_) => None,
    }
}

/// msg-type of RFC 4120; TGT-REQ and TGT-REP are those of user-to-user.
fn kerberos_type(token: &MechanismToken) -> Option<u32> {
    match token {
        MechanismToken::Kerberos(KerberosToken::ApReq { .. }) => Some(14),
        MechanismToken::Kerberos(KerberosToken::ApRep) => Some(15),
        MechanismToken::Kerberos(KerberosToken::Other { token_id: 0x0400 }) => Some(16),
        MechanismToken::Kerberos(KerberosToken::Other { token_id: 0x0401 }) => Some(17),
        MechanismToken::Kerberos(KerberosToken::Error { .. }) => Some(30),
        _ => None,
    }
}

/// The phase of each logon, and that the server's word after it is read where there is one.
#[test]
fn a_recorded_logon_ends_as_it_did() {
    let Some(folder) = captures::folder() else { return };
    let mut logons = 0;
    for (name, truth) in captures::truths(&folder) {
        for conversation in captures::conversations(&folder, &name, &truth) {
            let Some(inside) = captures::observe_inside(&conversation) else { continue };
            let truth = &conversation.truth;
            if truth["credssp_seen"] != true {
                continue;
            }
            logons += 1;
            let name = &conversation.name;
            let phase = inside.phases().find(|phase| phase.phase == Phase::Credssp);
            let reached_mcs = truth["rdp"]["connect_initial"].is_object();
            let expected = match (reached_mcs, truth["credssp"]["error_code"].is_string()) {
                (true, _) => Outcome::Ok,
                (false, true) => Outcome::Failed,
                (false, false) => Outcome::Unfinished,
            };
            assert_eq!(phase.map(|phase| (phase.outcome, phase.inferred)), Some((expected, false)), "{name}");
            let results: Vec<u32> = inside
                .events()
                .filter_map(|event| match &event.detail {
                    Detail::EarlyUserAuthorizationResult { result, .. } => {
                        result.as_ref().map(|code| code.value)
                    }
                    _ => None,
                })
                .collect();
            let has_result = reached_mcs && truth["x224_selected_protocol"] == 8;
            assert_eq!(results, if has_result { vec![0] } else { vec![] }, "{name}");
            let is_broken = |detail: &Detail| {
                matches!(detail, Detail::Malformed { .. } | Detail::ObservationStopped { .. })
            };
            let broken = inside.events().find(|event| is_broken(&event.detail));
            assert_eq!(broken, None, "{name}");
        }
    }
    assert!(logons >= 5, "{logons} logons");
}
