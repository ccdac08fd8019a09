//! Sessions through gateways of Windows that others recorded, with what is known of them.

use super::super::script::Script;
use super::super::{Diagnosis, assert_verdict, may_also_be};
use super::attempt::{ends, tunnel};
use crate::observe::gateway::GatewayObserver;
use crate::trace::{Confidence, How, Side, VerdictId};
use serde_json::Value;
use std::path::PathBuf;

/// The attempt of a capture, whose first stream a client ends like this; `None` where there are no captures.
fn attempt(name: &str, how: How) -> Option<Diagnosis> {
    let Some(folder) = std::env::var_os("RDP_CAPTURES").map(PathBuf::from) else {
        eprintln!("left out: RDP_CAPTURES is not set");
        return None;
    };
    let mut steps = Vec::new();
    for number in 0..2 {
        let file =
            folder.join(format!("streams/awakecoding-wireshark-rdp__{name}.pcapng.{number}.tls.jsonl"));
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let side = if line["from"] == "client" { Side::Client } else { Side::Server };
            let bytes = hex::decode(line["hex"].as_str().unwrap()).unwrap();
            steps.push((line["t_us"].as_u64().unwrap(), number + 1, side, bytes));
        }
    }
    steps.sort_by_key(|step| step.0);
    let mut observer = GatewayObserver::default();
    let mut events = Vec::new();
    for (t_us, connection, side, bytes) in steps {
        observer.data(t_us, connection, side, &bytes, &mut events);
    }
    let script = Script::towards_gateway("it-help-gw.ad.it-help.ninja").told(events).on(1);
    Some(ends(script, Side::Client, how).diagnose())
}

#[test]
fn a_session_that_mstsc_ends_with_a_reset_is_healthy() {
    let Some(diagnosis) = attempt("rdp-rdg-same-creds-kerberos-password-success1", How::Reset) else {
        return;
    };
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    assert!(diagnosis.verdict.alternatives.is_empty(), "{:#?}", diagnosis.verdict);
}

#[test]
fn a_protected_user_is_refused_in_the_gateways_own_words() {
    let Some(diagnosis) = attempt("rdp-rdg-no-kdc-proxy-ntlm-downgrade-failure", How::Fin) else { return };
    assert_verdict(&diagnosis, VerdictId::GatewayAuthFailed, Confidence::Confirmed);
    let summary = &diagnosis.verdict.summary;
    assert!(summary.contains("User Account Restricted") && summary.contains("Protected Users"), "{summary}");
    assert!(!may_also_be(&diagnosis, VerdictId::GatewayChannelBinding), "{:#?}", diagnosis.verdict);
}

#[test]
fn a_recording_that_ends_in_the_tunnel_accuses_nobody() {
    let diagnosis = tunnel().diagnose();
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
}
