//! Profiles that lead through rdpscope.

use super::*;
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};

const DIRECT: &[u8] =
    b"audiomode:i:0\r\nfull address:s:srv10.corp.example\nusername:s:caf\xe9\r\nsignscope:s:Full \
    Address\r\nsignature:s:AQAB\r\nserver port:i:3390";

#[test]
fn the_profile_is_written_beside_and_the_rest_stays() {
    let folder = Folder::with("srv10.rdp", DIRECT);
    let ran = rdp(&["retarget", text(&folder.path("srv10.rdp"))]);
    assert_eq!((ran.exit_code, &ran.stderr[..]), (Some(0), ""));
    assert_eq!(folder.read("srv10.rdp"), DIRECT);
    assert_eq!(
        folder.read("srv10-rdpscope.rdp"),
        b"audiomode:i:0\r\nfull address:s:127.0.0.1:13389\nusername:s:caf\xe9\r\nserver port:i:13389"
    );
    for told in [
        "\n  rdpscope proxy srv10.corp.example:3390\n",
        "line 2: full address:s:srv10.corp.example\n    is now full address:s:127.0.0.1:13389\n",
        "line 5: signature:s:AQAB\n    is taken out\n",
        "TERMSRV/127.0.0.1",
        "--name srv10.corp.example",
    ] {
        assert!(ran.stdout.contains(told), "{told}:\n{}", ran.stdout);
    }
    rdp(&["retarget", text(&folder.path("srv10.rdp"))]).assert_refused(3, "exists already: add --force");
    let again = folder.path("srv10-rdpscope.rdp");
    rdp(&["retarget", text(&again)]).assert_refused(3, "leads to 127.0.0.1:13389 already");
}

#[test]
fn a_profile_is_changed_itself_only_when_that_is_said() {
    let folder = Folder::with("srv10.rdp", DIRECT);
    let path = folder.path("srv10.rdp");
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .expect("rights are set");
    rdp(&["retarget", text(&path), "-o", text(&path), "--force"]).assert_refused(2, "--in-place");
    assert_eq!(folder.read("srv10.rdp"), DIRECT);
    let ran = rdp(&["retarget", text(&path), "--in-place", "--through", "[::1]:3391"]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    assert!(folder.read("srv10.rdp").windows(10).any(|part| part == b"[::1]:3391"));
    assert_eq!(folder.names(), ["srv10.rdp"], "nothing is left beside it");
    #[cfg(unix)]
    {
        let rights = std::fs::metadata(&path).expect("the file is there").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&rights) & 0o777, 0o640, "as before");
    }
}

#[test]
fn a_profile_with_a_gateway_leads_through_it() {
    let profile =
        b"full address:s:srv10\r\ngatewayhostname:s:gw.corp.example:4443\r\ngatewayusagemethod:i:1\r\n\
        gatewayprofileusagemethod:i:1\r\n";
    let folder = Folder::with("gw.rdp", profile);
    let ran = rdp(&["retarget", text(&folder.path("gw.rdp")), "--name", "gw.corp.example", "--json"]);
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    let lines = json(&ran);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(line["type"], "retargeted");
    assert_eq!(line["hosts"], "127.0.0.1 gw.corp.example");
    assert_eq!(
        line["command"],
        "rdpscope proxy srv10 --gateway gw.corp.example:4443 --address ADDRESS --ca-out ca.pem"
    );
    assert_eq!(line["changes"].as_array().map(Vec::len), Some(1));
    assert_eq!(line["changes"][0]["after"], "gatewayhostname:s:gw.corp.example:13443");
}

#[test]
fn what_makes_no_way_is_refused() {
    let folder = Folder::with("srv10.rdp", b"full address:s:srv 10\r\n");
    let path = folder.path("srv10.rdp");
    rdp(&["retarget", text(&path)]).assert_refused(3, "has the character ' '");
    rdp(&["retarget", text(&path), "--through", "0.0.0.0:13389"])
        .assert_refused(2, "that a client can reach");
    rdp(&["retarget", text(&path), "--name", "10.0.0.1"]).assert_refused(2, "not a machine's name");
    rdp(&["retarget", "-"]).assert_refused(2, "add -o FILE");
    assert_eq!(folder.names(), ["srv10.rdp"]);
}

/// The command that is printed leads to the target that the profile named.
#[test]
fn the_command_that_is_printed_relays_to_the_profiles_target() {
    let server = listener();
    let address = server.local_addr().expect("it is bound");
    let folder = Folder::with("srv10.rdp", format!("full address:s:{address}\r\n").as_bytes());
    let ran = rdp(&["retarget", text(&folder.path("srv10.rdp")), "--through", "127.0.0.1:1", "--json"]);
    let command = json(&ran)[0]["command"].as_str().expect("a command").to_owned();
    let target = command.strip_prefix("rdpscope proxy ").and_then(|rest| rest.split(' ').next());
    let target = target.and_then(|target| target.parse().ok()).expect("a target");
    let relay = Rdpscope::start(target, 1, &["--udp", "off"]);
    let conversation = Conversation::new()
        .client(connection_request("walther", SSL))
        .server(negotiation_failure(5))
        .finish(Server);
    conversation.play(Ends::connect(relay.address, &server));
    relay.finish().session().assert_confirmed("nla-required");
}
