//! What a session leaves in the memory of the program: a password that has passed is not in it.

use crate::interception::credentials;
use crate::peers::{RIGHT, left_out};
use crate::support::left_out::say_left_out;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp};
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::Side;
use crate::support::scripted::bytes::{SSL, connection_confirm, connection_request};
use crate::support::scripted::rdp::{self, PASSWORD};
use crate::support::scripted::terminated::Trial;
use crate::support::scripted::{Conversation, Ends, listener};
use rustls::version::TLS13;
use tempfile::TempDir;

/// The password of [`RIGHT`].
const RIGHT_PASSWORD: &str = "Right-1234";
/// What it was started with, among other words: those stay where the system put them.
const ARGUMENT: &[u8] = b"\0--sessions\0";
/// Messages of the scripted session up to the Font Map: by then the password has long passed.
const UNTIL_ACTIVE: usize = 19;

/// Fails where this password stands in memory as clients send it. What must stand there shows that it is looked at.
fn assert_forgotten(rdpscope: &Rdpscope, password: &str) {
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    match rdpscope.found_in_memory(&[&password, ARGUMENT]) {
        Ok(found) => {
            assert!(found.contains(&ARGUMENT), "not even its arguments are in the memory that was read");
            assert!(!found.contains(&&password[..]), "the password is in memory");
        }
        Err(error) => say_left_out(&format!("nobody but root reads the memory of another process ({error})")),
    }
}

#[test]
fn of_a_password_inside_tls_nothing_stays() {
    let inside = Trial::new(&[]).negotiated(SSL).in_tls(&TLS13);
    let (rdpscope, mut client, mut server) = inside.apart();
    for (side, message) in rdp::session(0, 0).into_iter().take(UNTIL_ACTIVE) {
        let (from, to) = match side {
            Side::Client => (&mut client, &mut server),
            Side::Server => (&mut server, &mut client),
        };
        from.send(&message);
        assert_eq!(to.receive(message.len()), message);
    }
    rdpscope.wait_for(|line| line["type"] == "phase" && line["phase"] == "finalization");
    assert_forgotten(&rdpscope, PASSWORD);
    drop((client, server));
    rdpscope.finish().assert_nowhere(PASSWORD);
}

#[test]
fn of_a_password_without_tls_nothing_stays() {
    let listener = listener();
    let rdpscope = Rdpscope::start(listener.local_addr().expect("an address"), 1, &[]);
    let agreed = Conversation::new().client(connection_request("anna", 0)).server(connection_confirm(0));
    let session = agreed.send_all(rdp::session(0, 0).into_iter().take(UNTIL_ACTIVE));
    let ends = session.play_open(Ends::connect(rdpscope.address, &listener));
    rdpscope.wait_for(|line| line["type"] == "phase" && line["phase"] == "finalization");
    assert_forgotten(&rdpscope, PASSWORD);
    drop(ends);
    rdpscope.finish().assert_nowhere(PASSWORD);
}

/// rdpscope keeps the account that it was given in a file, as the next session needs it; what a client sends it forgets.
#[test]
fn of_a_logon_that_rdpscope_does_itself_nothing_stays_that_the_client_sent() {
    const CLIENT: FreeRdp = FreeRdp::Two;
    if left_out(&[&Xfreerdp::programs(CLIENT), &Shadow::programs(CLIENT)]) {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = credentials(folder.path(), RIGHT_PASSWORD);
    let shadow = Shadow::start(CLIENT, ShadowSecurity::Nla);
    let arguments = ["--cert", "fresh", "--nla", "terminate", "--credentials", &account];
    let rdpscope = Rdpscope::start(shadow.address, 2, &arguments);
    let run = Xfreerdp::new(CLIENT, &[&["/sec:nla"], &RIGHT[..]].concat()).run(rdpscope.address.port());
    assert!(run.active, "{}", run.tail());
    rdpscope.wait_for(|line| line["type"] == "verdict");
    assert_forgotten(&rdpscope, RIGHT_PASSWORD);
    rdpscope.signal(rustix::process::Signal::INT);
    rdpscope.finish().assert_nowhere(RIGHT_PASSWORD);
}
