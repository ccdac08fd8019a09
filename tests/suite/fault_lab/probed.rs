//! The faults as a probe finds them: against the same real servers, and against scripted ones that take any number of
//! connections.

use super::{Judged, keep};
use crate::network::PORT;
use crate::peers::left_out;
use crate::support::certificates::{
    Certificate, certificates, for_clients, issued_by, self_signed_for, signed_rsa, weak,
};
use crate::support::netns::{Network, SERVER_V4};
use crate::support::peers::{FreeRdp, Shadow, ShadowSecurity, Xrdp, XrdpSetup, free_port};
use crate::support::scripted::bytes::{SSL, connection_confirm, fatal_alert, negotiation_failure};
use crate::support::scripted::terminated::TlsEnd;
use crate::support::scripted::{credssp, listener, read_once};
use rdpscope::probe::{Settings, probe};
use rdpscope::relay::target::Target;
use rdpscope::trace::Record;
use rustls::version::TLS12;
use socket2::SockRef;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long a probe waits for an answer that may not come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for one that comes: xrdp has room for two that wait, and what it drops comes again after 1, 3 and 7 s.
const SURE_ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A name for what is probed where only an address could be.
const NAME: &str = "srv10.corp.example";
/// FILETIME of 1970.
const EPOCH: u64 = 116_444_736_000_000_000;
const HYBRID_EX: u32 = 8;

pub(super) fn settings(address: Option<SocketAddr>) -> Settings {
    let address = address.map(|address| Target { host: address.ip().to_string(), port: address.port() });
    // The side channel is another test's.
    Settings { address, answer_timeout: ANSWER_TIMEOUT, udp: false, ..Settings::default() }
}

pub(super) fn run(target: &Target, settings: &Settings) -> Judged {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime is made");
    let record: Record = runtime.block_on(probe(target, settings));
    let lines = rdpscope::report::probe::lines(&record, true);
    let lines: Vec<_> = lines.iter().map(|line| serde_json::to_value(line).expect("JSON")).collect();
    keep(&lines);
    Judged::of_record(&record)
}

/// Probes an address.
pub(super) fn address(address: SocketAddr) -> Judged {
    run(&Target { host: address.ip().to_string(), port: address.port() }, &settings(None))
}

/// Probes a server that answers.
fn answering(at: SocketAddr) -> Judged {
    let patient = Settings { answer_timeout: SURE_ANSWER_TIMEOUT, ..settings(None) };
    run(&Target { host: at.ip().to_string(), port: at.port() }, &patient)
}

/// Probes an address in the place of a name.
fn name(at: SocketAddr) -> Judged {
    let patient = Settings { answer_timeout: SURE_ANSWER_TIMEOUT, ..settings(Some(at)) };
    run(&Target { host: NAME.to_owned(), port: at.port() }, &patient)
}

pub(super) fn name_unknown() -> Option<Judged> {
    Some(run(&Target { host: "srv10.invalid".to_owned(), port: 3389 }, &settings(None)))
}

pub(super) fn nobody_listens() -> Option<Judged> {
    Some(address((Ipv4Addr::LOCALHOST, free_port()).into()))
}

fn xrdp_as(setup: &XrdpSetup<'_>) -> Option<Judged> {
    if left_out(&[&["xrdp", "openssl"]]) {
        return None;
    }
    let xrdp = Xrdp::start(setup);
    Some(answering(xrdp.address))
}

/// An xrdp with a security layer.
pub(super) fn xrdp_with(security_layer: &str) -> Option<Judged> {
    xrdp_as(&XrdpSetup { security_layer, ..Xrdp::setup() })
}

/// An xrdp that shows this certificate.
pub(super) fn xrdp_shows(certificate: &Certificate) -> Option<Judged> {
    xrdp_as(&XrdpSetup { certificate, ..Xrdp::setup() })
}

/// An xrdp with nothing newer than TLS 1.0.
pub(super) fn old_tls() -> Option<Judged> {
    if left_out(&[&["xrdp", "openssl"]]) {
        return None;
    }
    xrdp_as(&XrdpSetup {
        tls_versions: "TLSv1",
        certificate: signed_rsa(),
        old_openssl: true,
        ..Xrdp::setup()
    })
}

pub(super) fn short_key() -> Option<Judged> {
    if left_out(&[&["xrdp", "openssl"]]) {
        return None;
    }
    xrdp_as(&XrdpSetup { certificate: &weak()[1], old_openssl: true, ..Xrdp::setup() })
}

/// FreeRDP's server.
pub(super) fn shadow_with(security: ShadowSecurity) -> Option<Judged> {
    if left_out(&[&Shadow::programs(FreeRdp::Two)]) {
        return None;
    }
    let shadow = Shadow::start(FreeRdp::Two, security);
    Some(answering(shadow.address))
}

/// Something on the network before a server that is there: a rule of nftables.
pub(super) fn network(rule: &str) -> Option<Judged> {
    let network = Network::new()?;
    network.fault(rule);
    let listener = network.listener();
    let _server = Serving::start(listener, agree_on_tls_and(|_| ()));
    let target = SocketAddr::from((SERVER_V4.parse::<Ipv4Addr>().expect("an address"), PORT));
    Some(network.at_client(|| address(target)))
}

/// A scripted server that does the same on every connection, until it is dropped.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
}

impl Serving {
    pub(super) fn start(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Serving {
        let address = listener.local_addr().expect("a listener has an address");
        let serve = Arc::new(serve);
        // It ends with the test process; each connection ends with the probe.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Serving { address }
    }
}

fn served(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Option<Judged> {
    Some(address(Serving::start(listener(), serve).address))
}

/// Reads the request; false where the client has gone.
pub(super) fn is_asked(stream: &mut TcpStream) -> bool {
    matches!(read_once(stream, &mut [0; 512]), Ok(1..))
}

/// Waits for the client's end.
fn hold(mut stream: TcpStream) {
    while is_asked(&mut stream) {}
}

/// It answers every request with these bytes.
pub(super) fn answers(bytes: impl Into<Vec<u8>>) -> Option<Judged> {
    let bytes = bytes.into();
    served(move |mut stream| {
        if is_asked(&mut stream) {
            // A client that has gone takes nothing, which is its business.
            let _ = stream.write_all(&bytes);
        }
    })
}

pub(super) fn refuses(code: u32) -> Option<Judged> {
    answers(negotiation_failure(code))
}

pub(super) fn says_nothing() -> Option<Judged> {
    served(hold)
}

pub(super) fn cuts_at_the_request() -> Option<Judged> {
    served(|mut stream| {
        is_asked(&mut stream);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket takes its options");
    })
}

/// Agrees on TLS, reads the ClientHello and does this.
fn agree_on_tls_and(
    then: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        if is_asked(&mut stream)
            && stream.write_all(&connection_confirm(SSL)).is_ok()
            && is_asked(&mut stream)
        {
            then(&mut stream);
        }
    }
}

pub(super) fn drops_client_hello() -> Option<Judged> {
    served(agree_on_tls_and(|_| ()))
}

pub(super) fn alert(description: u8) -> Option<Judged> {
    served(agree_on_tls_and(move |stream| {
        let _ = stream.write_all(&fatal_alert(description));
    }))
}

pub(super) fn for_other_uses() -> Option<Judged> {
    xrdp_shows(&for_clients())
}

/// A certificate of something that inspects TLS.
pub(super) fn inspected() -> Option<Judged> {
    xrdp_shows(&issued_by("FortiGate CA", &["localhost"]))
}

/// A certificate for another name than the one that was typed, issued by an authority.
pub(super) fn for_another_name() -> Option<Judged> {
    if left_out(&[&["xrdp"]]) {
        return None;
    }
    let xrdp = Xrdp::start(&XrdpSetup { certificate: &certificates().wrong_name, ..Xrdp::setup() });
    Some(name(xrdp.address))
}

/// A server with NLA that answers the first message of it with this.
fn nla(certificate: Certificate, answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let serve = move |mut stream: TcpStream| {
        if !is_asked(&mut stream) || stream.write_all(&connection_confirm(HYBRID_EX)).is_err() {
            return;
        }
        let mut end = TlsEnd::server(stream, &TLS12, &certificate);
        if end.handshake().is_ok() {
            end.next();
            end.send(&answer());
            end.next();
        }
    };
    Serving::start(listener(), serve).address
}

/// A challenge of `fs01.corp.example`, whose clock is this far ahead.
fn challenge(version: u8, ahead: i64) -> Vec<u8> {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let filetime = EPOCH + now.saturating_add_signed(ahead) * 10_000_000;
    credssp::ts_request(version, &[credssp::nego_token(&credssp::ntlm_challenge(filetime))])
}

fn own_certificate() -> Certificate {
    issued_by("corp", &["fs01.corp.example"])
}

pub(super) fn clock_is_wrong() -> Option<Judged> {
    Some(answering(nla(own_certificate(), || challenge(6, -3_600))))
}

pub(super) fn old_credssp() -> Option<Judged> {
    Some(answering(nla(own_certificate(), || challenge(3, 0))))
}

pub(super) fn nla_refused(status: u32) -> Option<Judged> {
    let refusal = move || credssp::ts_request(6, &[credssp::error_code(status)]);
    Some(answering(nla(own_certificate(), refusal)))
}

/// The machine that answers is not the one that was named; its certificate is the one that Windows made for it.
pub(super) fn another_machine() -> Option<Judged> {
    Some(name(nla(self_signed_for("fs01.corp.example"), || challenge(6, 0))))
}

/// The same, named as it calls itself.
pub(super) fn windows_like() -> Option<Judged> {
    Some(answering(nla(own_certificate(), || challenge(6, 0))))
}
