//! The faults as `rdpscope proxy` meets them.

use super::{Judged, keep};
use crate::network::{PATIENCE_WITH_TLS, TARGET, attempt, until_the_client_hello};
use crate::peers::{RIGHT, checked_certificate, directly_and_through, left_out};
use crate::support::certificates::{Certificate, certificates, for_clients, issued_by, signed_rsa};
use crate::support::netns::Network;
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xfreerdp, Xrdp, XrdpSetup, free_port};
use crate::support::rdpscope::Rdpscope;
use crate::support::scripted::Side::{self, Client, Server};
use crate::support::scripted::bytes::{
    HYBRID, SSL, connection_confirm, connection_request, fatal_alert, negotiation_failure,
};
use crate::support::scripted::credssp;
use crate::support::scripted::rdp;
use crate::support::scripted::terminated::Trial;
use crate::support::scripted::tls::{Handshake, Trust};
use crate::support::scripted::{Conversation, Ends, listener, read_once};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use std::net::SocketAddr;
use std::time::Duration;

const CLIENT: FreeRdp = FreeRdp::Two;
/// The MCS channel of everything but the message channel.
const IO: u16 = 1003;
/// Messages of the scripted session up to the Font Map, with which it is active.
const UNTIL_ACTIVE: usize = 19;
/// Longer than a server takes for an answer, by which silence is told from slowness.
const SILENCE: Duration = Duration::from_secs(6);
/// How long a message takes on a slow way: the whole session takes longer than clients wait for a server that hangs.
const SLOW_STEP: Duration = Duration::from_millis(600);
/// The shortest silence after which a cut looks like a connection that was forgotten.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(61);
/// Any FILETIME; clocks are another test's.
const SOME_TIME: u64 = 0x01dd_0000_0000_0000;

fn played(conversation: &Conversation) -> Option<Judged> {
    Some(Judged::of_session(&conversation.through_rdpscope()))
}

fn asked() -> Conversation {
    Conversation::new().client(connection_request("alice", SSL | HYBRID))
}

fn agreed_on_tls() -> Conversation {
    Conversation::new().client(connection_request("alice", SSL)).server(connection_confirm(SSL))
}

fn client_hello() -> Vec<u8> {
    Handshake::new(&TLS13, &certificates().signed, Trust::Anything).client_hello()
}

fn xfreerdp(arguments: &[&str]) -> Xfreerdp {
    Xfreerdp::new(CLIENT, &[arguments, &RIGHT].concat())
}

fn without_xrdp() -> bool {
    left_out(&[&Xfreerdp::programs(CLIENT), &["xrdp", "openssl"]])
}

fn without_shadow() -> bool {
    left_out(&[&Xfreerdp::programs(CLIENT), &Shadow::programs(CLIENT)])
}

/// xfreerdp with `arguments` to `server`.
fn between(server: SocketAddr, options: &[&str], arguments: &[&str]) -> Judged {
    let rdpscope = Rdpscope::start(server, 1, options);
    let run = xfreerdp(arguments).run(rdpscope.address.port());
    println!("{}", run.summary());
    Judged::of_session(&rdpscope.finish())
}

/// xfreerdp to an xrdp that is in order.
pub(super) fn works(options: &[&str]) -> Option<Judged> {
    if without_xrdp() {
        return None;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    Some(between(xrdp.address, options, &["/sec:tls"]))
}

/// xfreerdp with NLA to a shadow server that is in order.
pub(super) fn works_with_nla() -> Option<Judged> {
    if without_shadow() {
        return None;
    }
    let shadow = Shadow::start(CLIENT, ShadowSecurity::Nla);
    Some(between(shadow.address, &[], &["/sec:nla"]))
}

/// A session in clear, then the client's end: with RST, as mstsc ends one after the server's ultimatum.
pub(super) fn session_ends_like_mstsc() -> Option<Judged> {
    let logoff = rdp::send(Server, IO, &rdp::share_data(0x2f, &[0, 0, 0, 0]));
    let ultimatum = (Server, rdp::packet(&[0x21, 0x80]));
    played(&session_in_clear().send_all([logoff, ultimatum]).reset(Client))
}

/// A session on a way on which every message takes long, and that comes to its desktop all the same.
pub(super) fn slow_but_works() -> Option<Judged> {
    let messages = rdp::session(0, 0).into_iter().take(UNTIL_ACTIVE);
    let agreed = Conversation::new().client(connection_request("anna", 0)).server(connection_confirm(0));
    let conversation = messages.fold(agreed, |it, message| it.silence(SLOW_STEP).send_all([message]));
    played(&conversation.silence(SLOW_STEP).reset(Client))
}

/// A client that waits for its user to type the password, then goes on.
pub(super) fn password_is_typed() -> Option<Judged> {
    let mut handshake = Handshake::new(&TLS12, &certificates().signed, Trust::Authority);
    let conversation = agreed_on_tls().silence(Duration::from_secs(4)).send_all(handshake.flights());
    let up = handshake.application_data(Client, &[0x5a; 500]);
    let down = handshake.application_data(Server, &[0xa5; 16_000]);
    // So much that it must be a session.
    let conversation = (0..13).fold(conversation.send_all([up]), |it, _| it.send_all([down.clone()]));
    played(&conversation.reset(Client))
}

/// A user who closes the question for the password.
pub(super) fn logon_is_cancelled() -> Option<Judged> {
    played(&agreed_on_tls().silence(Duration::from_secs(3)).finish(Client))
}

/// A client that connects and leaves, as mstsc does first and monitoring always.
pub(super) fn connects_and_leaves() -> Option<Judged> {
    played(&Conversation::new().finish(Client))
}

/// A client that leaves after the server's certificate, and comes back to get further.
pub(super) fn asks_and_comes_back() -> Option<Judged> {
    let listener = listener();
    let rdpscope = Rdpscope::start(listener.local_addr().expect("an address"), 2, &[]);
    agreed_on_tls().finish(Client).play(Ends::connect(rdpscope.address, &listener));
    let flights = Handshake::new(&TLS12, &certificates().signed, Trust::Authority).flights();
    // Nobody answers a question at once.
    let answered = Conversation::new().silence(Duration::from_secs(1));
    let again = answered.client(connection_request("alice", SSL)).server(connection_confirm(SSL));
    again.send_all(flights).finish(Client).play(Ends::connect(rdpscope.address, &listener));
    let finished = rdpscope.finish();
    let [first, _] = &finished.sessions[..] else { panic!("two sessions: {}", finished.stderr) };
    keep(first.lines());
    Some(Judged::of_line(first.verdict()))
}

/// A target that does not resolve.
pub(super) fn name_unknown() -> Option<Judged> {
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1"];
    let rdpscope = Rdpscope::start_as(crate::support::rdpscope::program(), "srv10.invalid", &arguments);
    let mut client = std::net::TcpStream::connect(rdpscope.address).expect("rdpscope listens");
    client.set_read_timeout(Some(SILENCE)).expect("a socket takes its options");
    // It is cut, now or when the name is known not to be there.
    let _ = read_once(&mut client, &mut [0; 64]);
    drop(client);
    Some(Judged::of_session(&rdpscope.finish()))
}

/// Something on the network between rdpscope and a server that is there: a rule of nftables.
pub(super) fn network(rule: &str) -> Option<Judged> {
    let network = Network::new()?;
    network.fault(rule);
    let _listener = network.listener();
    Some(Judged::of_session(&attempt(&network, TARGET)))
}

/// The same with a rule about the ClientHello, until the client gives up or is cut.
pub(super) fn network_in_tls(rule: &str) -> Option<Judged> {
    let network = Network::new()?;
    network.fault(rule);
    let listener = network.listener();
    let (rdpscope, client, server) = until_the_client_hello(&network, &listener);
    client.set_read_timeout(Some(PATIENCE_WITH_TLS)).expect("a socket takes its options");
    // Silence or a cut, as the rule has it.
    let _ = read_once(&mut &client, &mut [0; 64]);
    drop(client);
    let finished = rdpscope.finish();
    drop(server);
    Some(Judged::of_session(&finished))
}

/// Nobody listens.
pub(super) fn nobody_listens() -> Option<Judged> {
    if left_out(&[&Xfreerdp::programs(CLIENT)]) {
        return None;
    }
    Some(between(([127, 0, 0, 1], free_port()).into(), &[], &["/sec:tls"]))
}

/// The server answers the request with these bytes and leaves.
pub(super) fn answers(bytes: &[u8]) -> Option<Judged> {
    played(&asked().server(bytes).finish(Server))
}

/// It refuses with a code.
pub(super) fn refuses(code: u32) -> Option<Judged> {
    answers(&negotiation_failure(code))
}

/// It takes the connection and says nothing.
pub(super) fn says_nothing() -> Option<Judged> {
    played(&asked().silence(SILENCE).finish(Client))
}

/// It cuts the connection at the request.
pub(super) fn cuts_at_the_request() -> Option<Judged> {
    played(&asked().reset(Server))
}

/// A real server and a client that insists on what that does not have.
pub(super) fn xrdp_with(security_layer: &str, client: &str) -> Option<Judged> {
    if without_xrdp() {
        return None;
    }
    let xrdp = Xrdp::start(&XrdpSetup { security_layer, ..Xrdp::setup() });
    let (_, finished) = directly_and_through(xrdp.address, &[], |port| xfreerdp(&[client]).run(port));
    Some(Judged::of_session(&finished))
}

/// The same with FreeRDP's server.
pub(super) fn shadow_with(security: ShadowSecurity, client: &str) -> Option<Judged> {
    if without_shadow() {
        return None;
    }
    let shadow = Shadow::start(CLIENT, security);
    Some(between(shadow.address, &[], &[client]))
}

/// The server answers the ClientHello with an alert.
pub(super) fn alert(description: u8) -> Option<Judged> {
    played(&agreed_on_tls().client(client_hello()).server(fatal_alert(description)).finish(Server))
}

/// The server drops the ClientHello.
pub(super) fn drops_client_hello() -> Option<Judged> {
    played(&agreed_on_tls().client(client_hello()).finish(Server))
}

/// The client says by an alert in clear what it has against the certificate.
pub(super) fn refused_by_alert(certificate: &Certificate) -> Option<Judged> {
    let flights = Handshake::new(&TLS12, certificate, Trust::Authority).flights();
    played(&agreed_on_tls().send_all(flights).finish(Client))
}

/// The client leaves after the server's flight in clear, or says this alert.
pub(super) fn refused_after_flight(certificate: &Certificate, alert: Option<u8>) -> Option<Judged> {
    let flights = Handshake::new(&TLS12, certificate, Trust::Anything).flights();
    let until_certificate = flights.into_iter().take(2);
    let conversation = agreed_on_tls().send_all(until_certificate);
    let conversation = match alert {
        Some(description) => conversation.client(fatal_alert(description)),
        None => conversation,
    };
    played(&conversation.finish(Client))
}

pub(super) fn revoked() -> Option<Judged> {
    refused_after_flight(&certificates().signed, Some(44))
}

pub(super) fn for_other_uses() -> Option<Judged> {
    refused_after_flight(&for_clients(), None)
}

pub(super) fn inspected() -> Option<Judged> {
    refused_after_flight(&issued_by("FortiGate CA", &["localhost"]), Some(48))
}

/// xfreerdp that trusts one authority alone meets this certificate.
pub(super) fn xfreerdp_refuses(certificate: &Certificate, tls_versions: &str) -> Option<Judged> {
    if without_xrdp() {
        return None;
    }
    let setup = XrdpSetup { tls_versions, certificate, ..Xrdp::setup() };
    Some(Judged::of_session(&checked_certificate(CLIENT, &setup).1))
}

/// A current client and a server with nothing newer than TLS 1.0.
pub(super) fn old_tls() -> Option<Judged> {
    if without_xrdp() {
        return None;
    }
    let setup =
        XrdpSetup { tls_versions: "TLSv1", certificate: signed_rsa(), old_openssl: true, ..Xrdp::setup() };
    let xrdp = Xrdp::start(&setup);
    Some(between(xrdp.address, &[], &["/sec:tls"]))
}

/// NLA in TLS that rdpscope terminates with the server's own key, up to the server's status.
pub(super) fn nla_status(status: u32) -> Option<Judged> {
    nla(6, &credssp::ts_request(6, &[credssp::error_code(status)]))
}

/// The same with a server that speaks an older CredSSP and refuses this client's.
pub(super) fn nla_versions_apart() -> Option<Judged> {
    nla(3, &credssp::ts_request(3, &[credssp::error_code(0xc000_00bb)]))
}

fn nla(server_version: u8, answer: &[u8]) -> Option<Judged> {
    let ntlm = |version, message: &[u8]| credssp::ts_request(version, &[credssp::nego_token(message)]);
    let authenticate = credssp::nego_token(&credssp::ntlm_authenticate("localhost"));
    let exchange: [(Side, Vec<u8>); 4] = [
        (Client, ntlm(6, &credssp::ntlm_negotiate())),
        (Server, ntlm(server_version, &credssp::ntlm_challenge(SOME_TIME))),
        (Client, credssp::ts_request(6, &[authenticate, credssp::pub_key_auth()])),
        (Server, answer.to_vec()),
    ];
    let mut inside = Trial::new(&[]).negotiated(HYBRID).in_tls(&TLS13);
    for (side, message) in exchange {
        let (from, to) = match side {
            Client => (&mut inside.client, &mut inside.server),
            Server => (&mut inside.server, &mut inside.client),
        };
        from.send(&message);
        assert_eq!(to.receive(message.len()), message);
    }
    inside.server.finish();
    Some(Judged::of_session(&inside.finish()))
}

/// A session with the old RDP security and no encryption, up to the desktop.
pub(super) fn session_in_clear() -> Conversation {
    let agreed = Conversation::new().client(connection_request("anna", 0)).server(connection_confirm(0));
    agreed.send_all(rdp::session(0, 0).into_iter().take(UNTIL_ACTIVE))
}

/// Such a session in which nothing moves until a box on the way has forgotten it and answers with RST.
pub(super) fn forgotten() -> Option<Judged> {
    played(&session_in_clear().silence(FORGOTTEN_AFTER).reset(Server))
}

/// Such a session that the server ends for a reason that it names.
pub(super) fn error_info(code: u32) -> Option<Judged> {
    let reason = rdp::send(Server, IO, &rdp::share_data(0x2f, &code.to_le_bytes()));
    played(&session_in_clear().send_all([reason]).finish(Server))
}

/// Such a session that a broker sends elsewhere.
pub(super) fn redirected() -> Option<Judged> {
    let packet = rdp::share_control(10, &[&[0, 0], &rdp::redirection()[..]].concat());
    played(&session_in_clear().send_all([rdp::send(Server, IO, &packet)]).finish(Client))
}

/// A client that leaves right after a handshake that hides everything.
pub(super) fn leaves_after(version: &'static SupportedProtocolVersion) -> Option<Judged> {
    let flights = Handshake::new(version, &certificates().signed, Trust::Authority).flights();
    played(&agreed_on_tls().send_all(flights).finish(Client))
}

/// A server that leaves in the middle of NLA, whose reason is inside TLS.
pub(super) fn wrong_password_behind_tls() -> Option<Judged> {
    if without_shadow() {
        return None;
    }
    let shadow = Shadow::start(CLIENT, ShadowSecurity::Nla);
    let rdpscope = Rdpscope::start(shadow.address, 1, &[]);
    let client = Xfreerdp::new(CLIENT, &["/sec:nla", crate::peers::WRONG[0], crate::peers::WRONG[1]]);
    println!("{}", client.run(rdpscope.address.port()).summary());
    Some(Judged::of_session(&rdpscope.finish()))
}

/// Error info 0xB has the id of the table and is no fault, 0xC is one where it comes at once: exit code, sentence and what
/// to do follow that.
#[test]
fn a_user_who_leaves_is_no_fault_and_a_logoff_at_once_is_one() {
    for (code, exit_code, words) in [
        (0x1, 1, "An administrator disconnected the session"),
        (0xb, 0, "the user disconnected the session from inside it"),
        (0xc, 1, "sooner than a user does it: a logon that ends by itself"),
    ] {
        let reason = rdp::send(Server, IO, &rdp::share_data(0x2f, &u32::to_le_bytes(code)));
        let finished = session_in_clear().send_all([reason]).finish(Server).through_rdpscope();
        let session = finished.session();
        session.assert_confirmed("admin-disconnect");
        assert_eq!(finished.exit_code, Some(exit_code), "{session}");
        let verdict = session.verdict();
        assert!(verdict["summary"].as_str().is_some_and(|said| said.contains(words)), "{verdict}");
        assert_eq!(verdict["by_user"] == true, exit_code == 0, "{verdict}");
        assert_eq!(verdict["fix"].as_array().map(Vec::is_empty), Some(exit_code == 0), "{verdict}");
    }
}
