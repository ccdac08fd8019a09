//! One profile for each rule, and profiles that have none.

use super::*;
use proptest::prelude::*;

/// What mstsc saves of a connection with its defaults.
const SAVED_BY_MSTSC: &str = "screen mode id:i:2\r\nuse multimon:i:0\r\ndesktopwidth:i:1920\r\ndesktopheight:i:1080\r\n\
    session bpp:i:32\r\nwinposstr:s:0,1,448,151,1248,751\r\ncompression:i:1\r\nkeyboardhook:i:2\r\naudiocapturemode:i:0\r\n\
    videoplaybackmode:i:1\r\nconnection type:i:7\r\nnetworkautodetect:i:1\r\nbandwidthautodetect:i:1\r\n\
    displayconnectionbar:i:1\r\nenableworkspacereconnect:i:0\r\nremoteappmousemoveinject:i:1\r\ndisable wallpaper:i:0\r\n\
    allow font smoothing:i:0\r\nallow desktop composition:i:0\r\ndisable full window drag:i:1\r\n\
    disable menu anims:i:1\r\ndisable themes:i:0\r\ndisable cursor setting:i:0\r\nbitmapcachepersistenable:i:1\r\n\
    full address:s:srv10.corp.example\r\naudiomode:i:0\r\nredirectprinters:i:1\r\nredirectlocation:i:0\r\n\
    redirectcomports:i:0\r\nredirectsmartcards:i:1\r\nredirectwebauthn:i:1\r\nredirectclipboard:i:1\r\n\
    redirectposdevices:i:0\r\nautoreconnection enabled:i:1\r\nauthentication level:i:2\r\nprompt for credentials:i:0\r\n\
    negotiate security layer:i:1\r\nremoteapplicationmode:i:0\r\nalternate shell:s:\r\nshell working directory:s:\r\n\
    gatewayhostname:s:\r\ngatewayusagemethod:i:4\r\ngatewaycredentialssource:i:4\r\ngatewayprofileusagemethod:i:0\r\n\
    promptcredentialonce:i:0\r\ngatewaybrokeringtype:i:0\r\nuse redirection server name:i:0\r\nrdgiskdcproxy:i:0\r\n\
    kdcproxyname:s:\r\nenablerdsaadauth:i:0\r\n";

fn found(bytes: &[u8]) -> Vec<(Severity, &'static str, Option<usize>)> {
    lint(&Profile::read(bytes)).into_iter().map(|it| (it.severity, it.id, it.line)).collect()
}

/// What is found beside that `full address` is there.
fn of(line: &str) -> Vec<(Severity, &'static str, Option<usize>)> {
    found(format!("full address:s:srv10\r\n{line}\r\n").as_bytes())
}

#[test]
fn there_is_nothing_wrong_with_what_mstsc_saves() {
    let wide: Vec<u8> = SAVED_BY_MSTSC.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let findings = lint(&Profile::read(&[b"\xff\xfe", &wide[..]].concat()));
    assert!(findings.iter().all(|it| it.severity == Severity::Note), "{findings:#?}");
    assert!(findings.iter().all(|it| it.id == "shared-with-the-server"), "{findings:#?}");
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let profile = "full address:s:anna:CANARY@srv 10\r\npassword 51 b:CANARY\r\n51:b:AB\r\nCANARY00112233\r\n\
                   gatewayaccesstoken s:CANARY\r\nclearpassword CANARY\r\ngatewayhostname:s:anna:CANARY@g w\r\n";
    let findings = lint(&Profile::read(profile.as_bytes()));
    assert!(findings.len() > 4 && !format!("{findings:?}").contains("CANARY"), "{findings:#?}");
}

#[test]
fn each_line_is_told_what_is_wrong_with_it() {
    for (line, severity, id) in [
        ("hello", Severity::Warning, "no-setting"),
        ("full adress:s:srv11", Severity::Warning, "unknown-setting"),
        ("colordepthid:i:1", Severity::Note, "unknown-setting"),
        ("colordepthid:x:1", Severity::Warning, "unknown-type"),
        ("audiomode:i:0\r\naudiomode:i:1", Severity::Warning, "duplicate-setting"),
        ("audiomode:i:0\r\naudiomode:i:0", Severity::Note, "duplicate-setting"),
        (" audiomode:i:0", Severity::Error, "spaces-around-name"),
        ("audiomode: i:0", Severity::Error, "wrong-type"),
        ("audiomode:s:0", Severity::Error, "wrong-type"),
        ("audiomode:i:7", Severity::Error, "wrong-value"),
        ("audiomode:i:0x1", Severity::Error, "wrong-value"),
        ("server port:i:0", Severity::Error, "wrong-value"),
        ("desktopwidth:i:10", Severity::Error, "wrong-value"),
        ("username:s:me ", Severity::Warning, "spaces"),
        ("alternate full address:s:srv11", Severity::Warning, "two-machines"),
        ("alternate full address:s:srv 10", Severity::Error, "no-machine"),
        ("server port:i:3390", Severity::Note, "other-port"),
        ("gatewayhostname:s:gw", Severity::Note, "gateway-not-used"),
        ("gatewayhostname:s:gw\r\ngatewayusagemethod:i:1", Severity::Warning, "gateway-settings-ignored"),
        ("gatewayhostname:s:gw\r\ngatewayusagemethod:i:3", Severity::Warning, "gateway-not-used"),
        ("gatewayusagemethod:i:1\r\ngatewayprofileusagemethod:i:1", Severity::Error, "no-gateway"),
        ("gatewayhostname:s:https://gw/rpc", Severity::Error, "no-gateway"),
        ("gatewaycredentialssource:i:5", Severity::Warning, "no-cookie"),
        ("gatewayaccesstoken:s:canary", Severity::Warning, "secret-token"),
        ("rdgiskdcproxy:i:1", Severity::Warning, "kerberos-proxy-not-used"),
        ("kdcproxyname:s:kdc.corp.example", Severity::Note, "kerberos-proxy"),
        ("kdcproxyname:s:https://kdc.corp.example", Severity::Error, "no-kerberos-proxy"),
        ("authentication level:i:0", Severity::Warning, "server-not-checked"),
        ("authentication level:i:1", Severity::Note, "server-must-be-verified"),
        ("authentication level:i:3", Severity::Note, "server-not-required"),
        ("enablecredsspsupport:i:0", Severity::Warning, "no-nla"),
        ("negotiate security layer:i:0", Severity::Note, "no-negotiation"),
        ("password 51:b:0102", Severity::Warning, "saved-password"),
        ("password 51:b:xy", Severity::Error, "wrong-value"),
        ("username:s:CORP\\me\r\ndomain:s:OTHER", Severity::Warning, "two-domains"),
        ("loadbalanceinfo:s:tsv://x", Severity::Note, "brokered"),
        ("use redirection server name:i:1", Severity::Note, "name-of-the-broker"),
        ("remoteapplicationmode:i:1", Severity::Error, "no-program"),
        ("alternate shell:s:notepad.exe", Severity::Note, "other-shell"),
        ("drivestoredirect:s:*", Severity::Note, "shared-with-the-server"),
        ("signscope:s:Full Address", Severity::Error, "no-signature"),
        ("signscope:s:NoSuch\r\nsignature:s:AQABAA==", Severity::Error, "stale-signature"),
        ("signscope:s:Full Address\r\nsignature:s:AQABAA==", Severity::Error, "no-signature"),
    ] {
        assert!(of(line).iter().any(|it| (it.0, it.1) == (severity, id)), "{line}: {:?}", of(line));
    }
}

#[test]
fn what_goes_together_is_not_told() {
    for line in [
        "gatewayhostname:s:gw:443\r\ngatewayusagemethod:i:1\r\ngatewayprofileusagemethod:i:1\r\nrdgiskdcproxy:i:1",
        "alternate full address:s:SRV10:3389\r\nserver port:i:3389",
        "username:s:CORP\\me\r\ndomain:s:corp",
        "remoteapplicationmode:i:1\r\nremoteapplicationprogram:s:||word\r\nalternate shell:s:rdpinit.exe",
        "pcb:s:0A1B\r\nnegotiate security layer:i:0\r\nserver port:i:3389",
        "redirectclipboard:i:0\r\ndrivestoredirect:s:",
    ] {
        assert_eq!(of(line), [], "{line}");
    }
}

#[test]
fn an_address_is_looked_at() {
    for (address, id) in [
        ("rdp://srv10", Some("no-machine")),
        ("srv10:99999", Some("no-machine")),
        ("srv 10", Some("no-machine")),
        ("2001:db8::1:3390", Some("ipv6-without-brackets")),
        ("[2001:db8::1]:3390", None),
        ("srv10.corp.example:3390", None),
    ] {
        let findings = found(format!("full address:s:{address}").as_bytes());
        assert_eq!(findings.first().map(|it| it.1), id, "{address}");
    }
    assert_eq!(found(b"audiomode:i:0")[0].1, "no-address");
    let two = found(b"full address:s:srv10:3389\r\nserver port:i:3390");
    assert_eq!(two, [(Severity::Warning, "two-ports", Some(2))]);
    let entra = found(b"full address:s:10.0.0.1\nenablerdsaadauth:i:1");
    assert_eq!(entra, [(Severity::Warning, "entra-needs-a-name", Some(1))]);
}

#[test]
fn encodings_that_clients_stumble_over_are_told() {
    let text = "full address:s:srv10\r\n";
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    assert_eq!(found(&[b"\xff\xfe", &wide(u16::to_le_bytes)[..]].concat()), []);
    assert_eq!(found(text.as_bytes()), []);
    for bytes in [
        wide(u16::to_le_bytes),
        wide(u16::to_be_bytes),
        [b"\xfe\xff", &wide(u16::to_be_bytes)[..]].concat(),
        [text.as_bytes(), "username:s:jürgen\r\n".as_bytes()].concat(),
        [text.as_bytes(), b"username:s:j\xfcrgen\r\n"].concat(),
    ] {
        assert_eq!(found(&bytes), [(Severity::Warning, "encoding", None)], "{bytes:?}");
    }
    let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    assert_eq!(found(&marked), [(Severity::Warning, "encoding", None)]);
}

#[test]
fn broken_bytes_are_told_with_their_line() {
    let zeros = found(b"full address:s:srv10\r\nusername:s:\0\0\0\0\r\n");
    assert_eq!(zeros, [(Severity::Error, "zero-bytes", Some(2))]);
    let text: Vec<u8> = "full address:s:srv10\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let odd = found(&[b"\xff\xfe", &text[..], b"x"].concat());
    assert_eq!(odd, [(Severity::Error, "broken-text", Some(2))]);
    assert_eq!(found(b"full address:s:srv10\raudiomode:i:0\r")[0].1, "line-ends");
    assert_eq!(found(b"full address:s:srv10\r\naudiomode:i:0\n")[0], (Severity::Note, "line-ends", None));
}

#[test]
fn what_is_no_profile_is_told_in_one_line() {
    for bytes in [&b""[..], b"MZ\x90\0\x03\0\0\0", b"%PDF-1.7\n%\xe2\xe3", b"\n\n\n"] {
        let findings = found(bytes);
        assert_eq!(findings.iter().filter(|it| it.1 == "no-profile").count(), 1, "{findings:?}");
    }
}

#[test]
fn no_secret_stands_in_a_finding() {
    let profile = "full address:s:srv10\r\npassword 51:b:CA11AB1E\r\npassword 51:s:CA11AB1E\r\npassword:s:CA11AB1E\r\n\
        gatewayaccesstoken:s:CA11AB1E\r\ngatewayaccesstoken:i:CA11AB1E\r\nloadbalanceinfo:s:CA11AB1E\r\n\
        loadbalanceinfo:b:CA11AB1E\r\n";
    let told = format!("{:?}", lint(&Profile::read(profile.as_bytes())));
    assert!(!told.contains("CA11AB1E"), "{told}");
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let profile = Profile::read(&bytes);
        for finding in lint(&profile) {
            prop_assert!(finding.line.is_none_or(|line| (1..=profile.lines().len()).contains(&line)));
            prop_assert!(!finding.text.contains(char::is_control), "{:?}", finding.text);
            let fix = finding.fix.unwrap_or_default();
            prop_assert!(!fix.contains(char::is_control), "{:?}", fix);
        }
    }

    #[test]
    fn any_settings_are_judged(lines in proptest::collection::vec(("[a-z 0-9]{0,24}", "[isbx]?", "\\PC{0,24}"), 0..12)) {
        let text: String = lines.iter().map(|(key, kind, value)| format!("{key}:{kind}:{value}\r\n")).collect();
        lint(&Profile::read(text.as_bytes()));
    }
}
