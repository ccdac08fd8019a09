//! Flags that make no sense are refused with one sentence.

use crate::support::rdpscope::program;

fn refused(flags: &[&str]) -> String {
    let output = program().args(["proxy", "srv10"]).args(flags).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
    said
}

#[test]
fn what_needs_a_gateway_or_the_end_of_its_tls_says_so() {
    for flags in [
        &["--gateway-udp", "refuse"][..],
        &["--gateway-transport", "http"],
        &["--inner-cert", "fresh"],
        &["--inner-nla", "strip"],
        &["--gateway-credentials", "file"],
    ] {
        let said = refused(flags);
        assert!(said.contains("add --gateway HOST"), "{said}");
    }
    let through = ["--gateway", "gw", "--cert", "passthrough"];
    for (flags, why) in [
        (&["--tcp-only"][..], "only --gateway-udp refuse and --gateway-udp drop work there"),
        (&["--gateway-udp", "off"], "only --gateway-udp refuse and --gateway-udp drop work there"),
        (&["--gateway-transport", "http"], "leave --cert passthrough out"),
        (&["--inner-cert", "fresh"], "leave --cert passthrough out"),
    ] {
        let said = refused(&[&through[..], flags].concat());
        assert!(said.contains(why), "{said}");
    }
    assert!(refused(&["--gateway", "gw", "--nla", "strip"]).contains("NLA is inside the tunnel"));
    let stripped = ["--gateway", "gw", "--inner-nla", "strip"];
    assert!(refused(&stripped).contains("add --inner-cert with another mode than passthrough"));
    assert!(refused(&["--gateway", "gw", "--credentials", "file"]).contains("--inner-nla terminate"));
    let account = ["--gateway", "gw", "--gateway-credentials", "file"];
    assert!(refused(&account).contains("--inner-cert over RPC"));
    assert!(refused(&["--gateway", "gw:port"]).contains("has a port that is not a number"));
    assert!(
        refused(&["--gateway-transport", "smtp", "--gateway", "gw"]).contains("auto, websocket, http, rpc")
    );
}
