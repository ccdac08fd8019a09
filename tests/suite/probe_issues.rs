//! What rdp-sec-check lists as issues of a server, a probe says of the same real servers. That tool is not packaged; what
//! it found here was compared by hand, and this keeps the outcome.

use crate::support::certificates::signed_rsa;
use crate::support::left_out::left_out_without;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xrdp, XrdpSetup};
use rdpscope::probe::{Settings, probe};
use rdpscope::trace::Record;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// WEAK_RDP_ENCRYPTION_SUPPORTED.
const WEAK: &str = "weak-rdp-encryption";
/// NULL_RDP_ENCRYPTION_SUPPORTED.
const NONE: &str = "rdp-not-encrypted";
/// FIPS_SUPPORTED_BUT_NOT_MANDATED.
const FIPS: &str = "fips-not-required";
/// SSL_SUPPORTED_BUT_NOT_MANDATED_MITM and ONLY_RDP_SUPPORTED_MITM.
const OLD: &str = "rdp-security";
/// NLA_NOT_SUPPORTED_DOS.
const OFF: &str = "nla-off";
/// NLA_SUPPORTED_BUT_NOT_MANDATED_DOS.
const OPTIONAL: &str = "nla-not-required";

fn probed(server: SocketAddr) -> Record {
    let target = server.to_string().parse().expect("it is a target");
    let settings = Settings { udp: false, tls: false, ..Settings::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime is made").block_on(probe(&target, &settings))
}

/// Fails unless exactly these are found, and this level of encryption.
#[track_caller]
fn assert_issues(server: SocketAddr, issues: &[&str], level: Option<&str>) {
    let record = probed(server);
    let known = [WEAK, NONE, FIPS, OLD, OFF, OPTIONAL];
    let found: BTreeSet<&str> = record.findings.iter().map(|finding| finding.id.as_str()).collect();
    let found: BTreeSet<&str> = found.into_iter().filter(|id| known.contains(id)).collect();
    assert_eq!(found, issues.iter().copied().collect(), "{:#?}", record.findings);
    let classic = record.probe.expect("a probe has its line").classic;
    assert_eq!(classic.and_then(|classic| classic.level).as_deref(), level);
}

#[test]
fn of_classic_security_with_each_encryption() {
    if left_out_without(&["xrdp", "openssl"]) || !Xrdp::can_do_classic_security() {
        return;
    }
    for (crypt_level, issues, level) in [
        ("none", &[OLD, OFF, NONE][..], "ENCRYPTION_LEVEL_NONE"),
        ("low", &[OLD, OFF, WEAK], "ENCRYPTION_LEVEL_LOW"),
        ("medium", &[OLD, OFF, WEAK], "ENCRYPTION_LEVEL_CLIENT_COMPATIBLE"),
        ("high", &[OLD, OFF], "ENCRYPTION_LEVEL_HIGH"),
        ("fips", &[OLD, OFF], "ENCRYPTION_LEVEL_FIPS"),
    ] {
        let setup = XrdpSetup { crypt_level, certificate: signed_rsa(), ..Xrdp::setup() };
        assert_issues(Xrdp::start(&setup).address, issues, Some(level));
    }
}

#[test]
fn of_servers_with_and_without_network_level_authentication() {
    for (version, security, issues, level) in [
        (FreeRdp::Two, ShadowSecurity::Nla, &[][..], None),
        (FreeRdp::Three, ShadowSecurity::Nla, &[], None),
        (FreeRdp::Two, ShadowSecurity::Tls, &[OFF], None),
        (FreeRdp::Two, ShadowSecurity::Any, &[OLD, OFF, NONE], Some("ENCRYPTION_LEVEL_NONE")),
        (FreeRdp::Three, ShadowSecurity::AnyWithLogon, &[OLD, OPTIONAL, NONE], Some("ENCRYPTION_LEVEL_NONE")),
        // The verdict says that NLA and TLS are refused.
        (FreeRdp::Three, ShadowSecurity::Rdp, &[OLD, NONE], Some("ENCRYPTION_LEVEL_NONE")),
    ] {
        if !left_out_without(&Shadow::programs(version)) {
            let shadow = Shadow::start_with(version, security, signed_rsa());
            assert_issues(shadow.address, issues, level);
        }
    }
}
