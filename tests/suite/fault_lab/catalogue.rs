//! The catalogue is complete: each cause of the contract has a rule, fires in a test and, where one session can show it,
//! stands in the table.

use super::rows::ROWS;
use rdpscope::diagnose::rules;
use rdpscope::trace::VerdictId;
use std::path::Path;

/// The causes of the contract's section 5, in its order.
const CONTRACT: [&str; 66] = [
    "healthy",
    "dns-failure",
    "dns-mismatch",
    "tcp-refused",
    "tcp-filtered",
    "tcp-reset",
    "not-rdp",
    "rdp-silent",
    "tls-required",
    "tls-refused-by-server",
    "server-certificate-missing",
    "inconsistent-flags",
    "nla-required",
    "client-certificate-required",
    "nla-not-offered",
    "tls-version-mismatch",
    "tls-cipher-mismatch",
    "server-key-unusable",
    "tls-stalled",
    "certificate-expired",
    "certificate-not-yet-valid",
    "certificate-name-mismatch",
    "certificate-untrusted",
    "certificate-wrong-usage",
    "certificate-weak",
    "certificate-revoked",
    "certificate-rejected",
    "client-prompted",
    "nla-logon-failed",
    "nla-account-locked",
    "nla-account-disabled",
    "nla-password-expired",
    "nla-account-restricted",
    "nla-logon-type-denied",
    "nla-clock-skew",
    "nla-encryption-oracle",
    "nla-key-binding",
    "nla-ntlm-refused",
    "nla-no-authority",
    "authorization-denied",
    "licensing-failed",
    "server-denied",
    "session-limit",
    "session-taken",
    "server-shutdown",
    "idle-limit",
    "admin-disconnect",
    "protocol-error",
    "redirected-away",
    "udp-blocked",
    "udp-half-open",
    "gateway-unreachable",
    "gateway-not-a-gateway",
    "gateway-transport-blocked",
    "gateway-response-malformed",
    "gateway-auth-failed",
    "gateway-channel-binding",
    "gateway-policy-denied",
    "gateway-target-unreachable",
    "gateway-limit",
    "tls-inspected",
    "link-slow",
    "link-lossy",
    "idle-timeout",
    "client-closed",
    "server-closed",
];

fn id(name: &str) -> VerdictId {
    let mut known = VerdictId::ALL.iter().copied().filter(|id| id.as_str() == name);
    known.next().unwrap_or_else(|| panic!("{name} is no verdict"))
}

#[test]
fn every_cause_of_the_contract_has_a_rule() {
    for name in CONTRACT {
        let mut found = rules().filter(|rule| rule.id == id(name)).peekable();
        assert!(found.peek().is_some(), "{name} has no rule");
        assert!(found.all(|rule| !rule.needs.is_empty()), "{name} says not what it needs");
    }
    let beyond = |id: &&VerdictId| {
        let name = id.as_str();
        !CONTRACT.contains(&name) && name != "not-intercepted"
    };
    assert_eq!(VerdictId::ALL.iter().find(beyond), None, "the contract names it, and this list does not");
}

#[test]
fn every_fault_has_something_to_do_and_an_experiment_or_a_look_that_decides() {
    for name in CONTRACT.into_iter().filter(|name| id(name).is_fault()) {
        let of_id = || rules().filter(|rule| rule.id == id(name));
        assert!(of_id().any(|rule| !rule.fix.is_empty()), "{name} has nothing to do");
        for rule in of_id() {
            let decides = rule
                .next
                .iter()
                .any(|command| command.starts_with("rdpscope") || command.contains("Test-Net"));
            assert!(decides, "{name} ({}) has nothing that tells more", rule.needs);
        }
    }
}

/// A test of the rules asserts it as the verdict.
fn fires(name: &str, tests: &str, statuses: &str) -> bool {
    let variant = format!("{:?}", id(name));
    let forms =
        ["VerdictId::{},", "VerdictId::{})", ", {},", ", {})"].map(|form| form.replace("{}", &variant));
    // The causes of refused logons come from a table that a test goes through.
    let is_in_table = tests.contains("in STATUSES") && statuses.contains(&format!("    {variant} {{\n"));
    is_in_table || forms.iter().any(|form| tests.contains(form))
}

#[test]
fn every_cause_of_the_contract_fires_in_a_test_and_stands_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnose/tests");
    let mut tests = String::new();
    for folder in [folder.join("gateway"), folder] {
        for entry in std::fs::read_dir(folder).expect("the tests of the rules are there") {
            let path = entry.expect("an entry is read").path();
            if path.is_file() {
                tests += &std::fs::read_to_string(path).expect("a test is read");
            }
        }
    }
    let statuses = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnose/logon_status.rs");
    let statuses = std::fs::read_to_string(statuses).expect("the table is read");
    for name in CONTRACT {
        assert!(fires(name, &tests, &statuses), "no test fires {name}");
        let is_told = |cell: &super::Cell| {
            cell.expected.split(',').next() == Some(name)
                || cell.expected.split_once("; finding ").is_some_and(|(_, finding)| finding == name)
        };
        let stands = |row: &super::Row| row.columns().iter().any(|(_, cell)| is_told(cell));
        assert!(ROWS.iter().any(stands), "{name} is not in the table");
    }
}
