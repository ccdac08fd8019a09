use super::*;
use std::collections::BTreeMap;

fn all() -> impl Iterator<Item = &'static Cause> {
    GROUPS.iter().flat_map(|group| group.causes)
}

#[test]
fn every_verdict_has_one_entry() {
    let mut counts: BTreeMap<&str, usize> = VerdictId::ALL.iter().map(|id| (id.as_str(), 0)).collect();
    all().for_each(|cause| *counts.entry(cause.id.as_str()).or_default() += 1);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    assert!(VerdictId::ALL.iter().all(|id| cause(*id).is_some_and(|cause| cause.id == *id)));
}

#[test]
fn texts_are_clean_and_know_their_names() {
    for cause in all() {
        let id = cause.id;
        assert!(!cause.title.ends_with('.') && cause.title.starts_with(char::is_uppercase), "{id}");
        assert!(cause.user_sees.ends_with('.') && cause.wire.ends_with('.'), "{id}");
        let trial = cause.trial.iter().flat_map(|trial| [trial.command, trial.proves, trial.refutes]);
        let beliefs = cause.beliefs.iter().flat_map(|wrong| [wrong.claim, wrong.truth]);
        let texts = [cause.title, cause.user_sees, cause.wire].into_iter().chain(cause.proof).chain(trial);
        for text in texts.chain(beliefs) {
            assert!(!text.contains("  ") && !text.contains(['{', '\n']), "{id}: {text}");
        }
    }
}

#[test]
fn a_fault_says_what_to_do_and_how_to_know() {
    for cause in all().filter(|cause| cause.id.is_fault()) {
        let explained = explained(cause);
        assert!(!explained.fix.is_empty(), "{}", cause.id);
        assert!(!explained.needs.is_empty(), "{}", cause.id);
        assert!(cause.proof.is_some() || cause.trial.is_some(), "{}: how would anybody know?", cause.id);
    }
}

#[test]
fn what_the_rules_rule_out_is_told_in_words() {
    let of = |id| explained(cause(id).unwrap());
    let expired = of(VerdictId::CertificateExpired);
    assert!(
        expired.ruled_out_where.contains(&"the certificate was in its period when it was shown"),
        "{expired:#?}"
    );
    assert!(expired.next[0].starts_with("rdpscope ab TARGET --vary cert"), "{expired:#?}");
    assert!(of(VerdictId::GatewayLimit).ruled_out_where.contains(&"the gateway connected the target"));
    assert!(of(VerdictId::DnsFailure).ruled_out_where.iter().any(|seen| seen.starts_with("a probe")));
}

#[test]
fn an_id_is_found_as_it_is_typed_and_nothing_else_is() {
    assert_eq!(named(" Certificate-Expired ").map(|cause| cause.id), Some(VerdictId::CertificateExpired));
    for other in ["", "certificate", "certificate_expired", "0x904"] {
        assert!(named(other).is_none(), "{other}");
    }
}

#[test]
fn commands_that_do_not_exist_are_left_out() {
    let mut explained = explained(cause(VerdictId::TlsStalled).unwrap());
    explained.retain_commands(|_| false);
    assert!(explained.trial.is_none());
    assert_eq!(explained.next, ["ping -f -l 1472 HOST"]);
}

#[test]
fn the_text_begins_with_the_cause_and_ends_with_what_is_wrongly_believed() {
    let text = text(&explained(cause(VerdictId::ServerKeyUnusable).unwrap()));
    assert!(text.starts_with("server-key-unusable: The server cannot use the private key"), "{text}");
    let parts =
        ["What proves it:", "It is ruled out where:", "To tell more:", "What mends it:", "Often believed"];
    let places: Vec<_> = parts.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("on the server: ") && text.contains("icacls"), "{text}");
}
