//! What a probe finds of gateways, and of boxes before them: without credentials, and with few connections.

use crate::cli::run;
use crate::support::certificates::certificates;
use crate::support::gateway::udp::UdpSide;
use crate::support::gateway::{Gateway, Http, InChannel, Logon, RPC_PATH, Setup, Upgrade};
use crate::support::left_out::left_out_without;
use crate::support::peers::{Haproxy, Nginx, free_port};
use base64::prelude::{BASE64_STANDARD, Engine};
use rdpscope::probe::Settings;
use rdpscope::probe::gateway::probe;
use rdpscope::relay::target::Target;
use rdpscope::trace::{
    Confidence, GatewayCheck, GatewayRequest, GatewayTunnelFailure, Phase, Record, Transport, Verdict,
    VerdictId,
};
use rdpscope::wire::tsgu::Packet;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// How long a probe waits for an answer here: nothing on this machine takes longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What it is called, how it is made, and what it comes out as.
type Fault = (&'static str, fn(&mut Http), VerdictId);

const NTLM_NEGOTIATE: &[u8] = b"NTLMSSP\0\x01";

/// Everything but TLS versions and UDP, which have tests of their own.
fn settings() -> Settings {
    Settings { answer_timeout: ANSWER_TIMEOUT, tls: false, udp: false, ..Settings::default() }
}

fn probed_with(address: SocketAddr, settings: &Settings) -> Record {
    let gateway = Target { host: "localhost".to_owned(), port: address.port() };
    let settings = Settings { address: address.to_string().parse().ok(), ..settings.clone() };
    let behind = ["srv10.corp.example", "srv11.corp.example:3390"].map(|it| it.parse().expect("a target"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let record = runtime.expect("a runtime is made").block_on(probe(&gateway, &behind, &settings));
    let found = record.probe.as_ref().expect("a probe has its line");
    assert!(found.connections <= settings.most_connections_to_gateway(1), "{found:?}");
    assert!(found.flaky.is_empty(), "{:?}", found.flaky);
    record
}

fn probed(address: SocketAddr) -> Record {
    probed_with(address, &settings())
}

fn check(record: &Record) -> &GatewayCheck {
    record.probe.as_ref().and_then(|probe| probe.gateway.as_deref()).expect("a gateway was probed")
}

fn verdict(record: &Record) -> &Verdict {
    record.verdict.as_ref().expect("it ends with a verdict")
}

fn found(record: &Record) -> Vec<&str> {
    record.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// Fails where `record` is not judged so, or does not name `culprit`.
fn assert_judged(record: &Record, id: VerdictId, culprit: &str) {
    let verdict = verdict(record);
    assert_eq!(verdict.id, id, "{}\n{:?}", verdict.summary, verdict.evidence);
    let told = format!("{} {:?}", verdict.summary, verdict.evidence);
    assert!(told.contains(culprit), "{culprit} is not in {told}");
}

fn gateway(change: impl FnOnce(&mut Setup<'_>)) -> Gateway {
    let mut setup = Setup::default();
    change(&mut setup);
    Gateway::start(setup)
}

/// One that asks nobody who he is.
fn open(change: impl FnOnce(&mut Http)) -> Gateway {
    let mut http = Http::default();
    change(&mut http);
    gateway(|setup| {
        setup.logon = Logon { schemes: Vec::new(), ..Logon::default() };
        setup.http = http;
    })
}

/// Fails where a request brought more than the first message of NTLM.
fn assert_no_credentials(gateway: &Gateway) {
    let requests = gateway.requests();
    assert!(!requests.is_empty());
    for head in requests {
        for line in head.lines().filter(|line| line.to_ascii_lowercase().starts_with("authorization:")) {
            let token = line.rsplit(' ').next().and_then(|token| BASE64_STANDARD.decode(token).ok());
            assert!(token.is_some_and(|token| token.starts_with(NTLM_NEGOTIATE)), "{line}");
        }
        assert!(!head.contains("RDG-User-Id"), "{head}");
    }
}

#[test]
fn a_gateway_that_asks_for_a_logon_is_healthy_and_names_itself() {
    let gateway = gateway(|_| ());
    let record = probed(gateway.address);
    assert_judged(&record, VerdictId::Healthy, "Negotiate, NTLM");
    let check = check(&record);
    let logon = check.logon.as_ref().expect("it asks for one");
    assert_eq!(
        (&logon.schemes[..], logon.stayed_open),
        (&["Negotiate", "NTLM"].map(str::to_owned)[..], Some(true))
    );
    assert!(logon.challenge.is_some() && logon.failure.is_none(), "{logon:?}");
    assert!(check.tunnels.is_empty(), "{:?}", check.tunnels);
    for request in [GatewayRequest::Websocket, GatewayRequest::OutChannel, GatewayRequest::InChannel] {
        let answer = check.request(request).and_then(|it| it.response()).expect("it is answered");
        assert_eq!(answer.status, 401, "{request:?}");
    }
    assert_eq!(check.behind, ["srv10.corp.example:3389", "srv11.corp.example:3390"]);
    let probe = record.probe.as_ref().expect("a probe has its line");
    assert!(
        probe.left_out.iter().any(|it| it.check.contains("srv11.corp.example:3390")),
        "{:?}",
        probe.left_out
    );
    assert!(probe.certificate.as_ref().is_some_and(|certificate| certificate.name_matches));
    let ids = found(&record);
    assert!(ids.contains(&"gateway-kdc-proxy") && ids.contains(&"gateway-rpc-available"), "{ids:?}");
    assert_eq!(
        record.summary.as_ref().and_then(|summary| summary.transport),
        Some(Transport::GatewayWebsocket)
    );
    assert!(record.phase(Phase::GatewayTls).is_some() && record.phase(Phase::GatewayHttp).is_some());
    assert!(verdict(&record).ruled_out.contains(&VerdictId::GatewayNotAGateway));
    assert_no_credentials(&gateway);
}

#[test]
fn a_tunnel_that_needs_no_logon_is_followed_to_its_capabilities() {
    let gateway = open(|_| ());
    let record = probed(gateway.address);
    assert_judged(&record, VerdictId::Healthy, "tunnel");
    let tunnels = &check(&record).tunnels;
    assert_eq!(tunnels.len(), 3, "{tunnels:?}");
    let [others @ .., rpc] = &tunnels[..] else { panic!("{tunnels:?}") };
    assert_eq!((rpc.transport, &rpc.failure), (Transport::GatewayRpc, &None), "{rpc:?}");
    assert_eq!(rpc.pdus, ["CONN/A3", "CONN/C2", "bind_ack"]);
    for tunnel in others {
        assert_eq!((&tunnel.failure, &tunnel.reframed[..]), (&None, &[][..]), "{tunnel:?}");
        let names: Vec<&str> = tunnel.packets.iter().map(Packet::name).collect();
        assert_eq!(names, ["handshake_response", "tunnel_response"]);
    }
    assert!(found(&record).contains(&"gateway-tunnel-without-logon"));
    assert_no_credentials(&gateway);
}

/// Where nothing newer is left, the bind is how far one comes.
#[test]
fn a_gateway_that_has_only_rpc_is_followed_to_its_challenge() {
    let gateway = open(|http| http.paths = vec![RPC_PATH]);
    let record = probed(gateway.address);
    let tunnels = &check(&record).tunnels;
    let rpc =
        tunnels.iter().find(|tunnel| tunnel.transport == Transport::GatewayRpc).expect("RPC is granted");
    assert_eq!((&rpc.failure, rpc.packets.len()), (&None, 0), "{rpc:?}");
    assert_eq!(rpc.pdus, ["CONN/A3", "CONN/C2", "bind_ack"]);
    assert!(!found(&record).contains(&"gateway-rpc-broken"));
    assert_no_credentials(&gateway);
}

/// A box that lets only one of the two methods pass.
#[test]
fn an_in_channel_of_rpc_that_is_refused_is_told() {
    let gateway = open(|http| http.refused_methods = vec![("RPC_IN_DATA", 405)]);
    let record = probed(gateway.address);
    let tunnels = &check(&record).tunnels;
    let rpc =
        tunnels.iter().find(|tunnel| tunnel.transport == Transport::GatewayRpc).expect("RPC is granted");
    let refused = GatewayTunnelFailure::NotGranted { method: "RPC_IN_DATA".to_owned(), status: 405 };
    assert_eq!((&rpc.failure, &rpc.pdus[..]), (&Some(refused), &["CONN/A3".to_owned()][..]));
    assert!(found(&record).contains(&"gateway-rpc-broken"), "{:?}", found(&record));
}

#[test]
fn extended_authentication_and_a_cookie_lead_into_the_tunnel_without_a_logon() {
    let extended = gateway(|setup| setup.logon.extended = true);
    let record = probed(extended.address);
    assert_judged(&record, VerdictId::Healthy, "SSPI_NTLM");
    let names = |record: &Record| -> Vec<Vec<&'static str>> {
        check(record).tunnels.iter().map(|it| it.packets.iter().map(Packet::name).collect()).collect()
    };
    assert_eq!(names(&record), vec![["handshake_response", "extended_auth_msg"]; 2]);
    assert_no_credentials(&extended);

    let cookie = gateway(|setup| setup.logon.token = Some("unknown".to_owned()));
    let record = probed(cookie.address);
    assert_judged(&record, VerdictId::Healthy, "");
    assert!(check(&record).tunnels.iter().all(|tunnel| tunnel.scheme.as_deref() == Some("PAA")));
    assert_eq!(names(&record), vec![["handshake_response", "tunnel_response"]; 2]);
}

#[test]
fn an_expired_certificate_is_the_gateways() {
    let gateway = gateway(|setup| setup.certificate = &certificates().expired);
    let record = probed(gateway.address);
    assert_judged(&record, VerdictId::CertificateExpired, "The gateway localhost");
    assert_eq!(verdict(&record).phase, Phase::GatewayTls);
    assert!(
        verdict(&record).fix.iter().all(|fix| !fix.text.contains("target")),
        "{:?}",
        verdict(&record).fix
    );
}

#[test]
fn basic_is_told() {
    let gateway = gateway(|setup| setup.logon.schemes = vec!["Negotiate", "Basic"]);
    let record = probed(gateway.address);
    assert_judged(&record, VerdictId::Healthy, "Basic");
    assert!(found(&record).contains(&"gateway-basic-offered"));
    assert_no_credentials(&gateway);
}

#[test]
fn each_fault_of_http_is_found() {
    let via = |http: &mut Http| http.fields = vec![("Via".to_owned(), "1.1 filter".to_owned())];
    let faults: [Fault; 7] = [
        ("closes", |http| http.silent = true, VerdictId::GatewayTransportBlocked),
        ("swallows", |http| http.upgrade = Upgrade::Unanswered, VerdictId::GatewayTransportBlocked),
        ("is dead behind 101", |http| http.upgrade = Upgrade::Dead, VerdictId::GatewayTransportBlocked),
        ("holds bytes", |http| http.held_until = 4096, VerdictId::GatewayResponseMalformed),
        ("hangs", |http| http.in_channel = InChannel::Unanswered, VerdictId::GatewayResponseMalformed),
        (
            "chunks",
            |http| (http.chunked, http.upgrade) = (true, Upgrade::Ignored),
            VerdictId::GatewayResponseMalformed,
        ),
        ("has no path", |http| http.paths = Vec::new(), VerdictId::GatewayNotAGateway),
    ];
    for (fault, change, id) in faults {
        let gateway = open(|http| {
            via(http);
            change(http);
        });
        let culprit = if fault == "closes" { "" } else { "1.1 filter" };
        println!("{fault}");
        assert_judged(&probed(gateway.address), id, culprit);
    }
}

#[test]
fn one_transport_less_is_worth_a_note_and_no_fault() {
    for upgrade in [Upgrade::Ignored, Upgrade::Refused(400)] {
        let record = probed(open(|http| http.upgrade = upgrade).address);
        assert_judged(&record, VerdictId::Healthy, "");
        assert!(found(&record).contains(&"gateway-websocket-unavailable"), "{:?}", found(&record));
    }
    if !left_out_without(&["haproxy", "nginx"]) {
        let behind = open(|_| ());
        let haproxy =
            Haproxy { frontend: &[Haproxy::NO_UPGRADE], ..Haproxy::default() }.start(behind.address);
        assert_judged(&probed(haproxy.address), VerdictId::Healthy, "");
        // Whether it keeps to one connection under NTLM nobody knows without credentials.
        let asking = gateway(|_| ());
        let record = probed(Nginx::default().start(asking.address).address);
        assert_judged(&record, VerdictId::Healthy, "nginx");
        assert_eq!(verdict(&record).confidence, Confidence::Likely);
        assert!(found(&record).contains(&"gateway-front"), "{:?}", found(&record));
    }
    let record = probed(open(|http| http.chunked = true).address);
    assert_judged(&record, VerdictId::Healthy, "");
    assert!(found(&record).contains(&"gateway-out-channel-chunked"), "{:?}", found(&record));
}

#[test]
fn clean_boxes_are_no_fault_and_broken_ones_are_named() {
    if left_out_without(&["haproxy", "nginx"]) {
        return;
    }
    let asking = gateway(|_| ());
    let clean = Haproxy::default().start(asking.address);
    assert_judged(&probed(clean.address), VerdictId::Healthy, "");
    assert_no_credentials(&asking);
    let closing = Haproxy { frontend: &[Haproxy::CLOSE, Haproxy::VIA], ..Haproxy::default() };
    let closing = closing.start(asking.address);
    assert_judged(&probed(closing.address), VerdictId::GatewayResponseMalformed, "1.1 box");

    let open = open(|_| ());
    for (lines, id) in [
        (&[Nginx::METHODS_403][..], VerdictId::GatewayTransportBlocked),
        // A web server answers the same to methods that it does not know.
        (&[Nginx::METHODS_405][..], VerdictId::GatewayNotAGateway),
        (&[Nginx::UPGRADE, Nginx::DIRECT_REQUESTS][..], VerdictId::GatewayResponseMalformed),
        (&[Nginx::UPGRADE, Nginx::DIRECT_RESPONSES][..], VerdictId::GatewayResponseMalformed),
        (&[Nginx::DIRECT_RESPONSES, Nginx::DIRECT_REQUESTS][..], VerdictId::GatewayResponseMalformed),
    ] {
        let nginx = Nginx { location: lines, ..Nginx::default() }.start(open.address);
        println!("{lines:?}");
        assert_judged(&probed(nginx.address), id, "nginx");
    }
    let refusing = Haproxy { frontend: &[Haproxy::METHODS_405], ..Haproxy::default() }.start(open.address);
    let record = probed(refusing.address);
    assert_judged(&record, VerdictId::GatewayTransportBlocked, "behind it answers Microsoft-HTTPAPI/2.0");
    let buffering = Haproxy { frontend: &[Haproxy::BUFFERED_REQUESTS, Haproxy::VIA], ..Haproxy::default() };
    let buffering = buffering.start(open.address);
    assert_judged(&probed(buffering.address), VerdictId::GatewayResponseMalformed, "1.1 box");
    let only = Haproxy { bind: Haproxy::ONLY_HTTP_2, ..Haproxy::default() }.start(open.address);
    let record = probed(only.address);
    assert_judged(
        &record,
        VerdictId::GatewayTransportBlocked,
        "behind it RDG_OUT_DATA is served, 200 in HTTP/2",
    );
    let verdict = record.verdict.as_ref().expect("it ends with a verdict");
    assert_eq!((verdict.confidence, verdict.alternatives.len()), (Confidence::Confirmed, 0), "{verdict:?}");
}

#[test]
fn what_is_no_gateway_at_all() {
    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
    assert_judged(&probed(nobody), VerdictId::GatewayUnreachable, "refused");
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever is gone needs no greeting.
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n");
        }
    });
    let record = probed_with(address, &Settings { tls: true, ..settings() });
    assert_judged(&record, VerdictId::GatewayNotAGateway, "no TLS");
}

#[test]
fn the_side_channel_answers_or_is_told_to_be_silent() {
    let gateway = gateway(|_| ());
    for (answers, id) in [(true, "gateway-udp-answers"), (false, "udp-blocked")] {
        let side = UdpSide::start(answers);
        let settings = Settings { udp: true, side_channel_port: side.address.port(), ..settings() };
        let record = probed_with(gateway.address, &settings);
        assert!(found(&record).contains(&id), "{:?}: {:?}", found(&record), check(&record).udp);
        let conversations = record.probe.as_ref().map(|probe| probe.conversations);
        assert_eq!(conversations, Some(settings.most_conversations_with_gateway()));
    }
}

#[test]
fn the_command_says_what_it_did_not_ask() {
    let gateway = gateway(|_| ());
    let address = gateway.address.to_string();
    let short = ["--no-tls", "--no-udp", "--rounds", "1"];
    let base = ["probe", "srv10", "srv11", "--gateway", &address];
    let text = run(&[&base[..], &short].concat());
    assert_eq!(text.exit_code, Some(0), "{}{}", text.stdout, text.stderr);
    assert!(text.stderr.contains("nothing behind it"), "{}", text.stderr);
    println!("{}", text.stdout);
    for told in ["RDG_OUT_DATA (WebSocket): 401", "offers Negotiate, NTLM", "srv10:3389, srv11:3389 behind"] {
        assert!(text.stdout.contains(told), "{told} is not in\n{}", text.stdout);
    }
    let json = run(&[&base[..], &short, &["--json"]].concat());
    let lines: Vec<Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    for line in lines.iter().filter(|line| line["type"] != "comparison") {
        assert!(line["target"] == address.as_str() || line["type"] == "probe", "{line}");
    }
    let probe = lines.iter().find(|line| line["type"] == "probe").expect("there is one");
    assert_eq!(probe["gateway"]["behind"], serde_json::json!(["srv10:3389", "srv11:3389"]));
    let csv = run(&[&base[..], &short, &["--csv"]].concat());
    let mut table = csv::Reader::from_reader(csv.stdout.as_bytes());
    let header = table.headers().expect("a header").clone();
    let row = table.records().next().expect("a row").expect("it is as long as the header");
    let cell = |name: &str| &row[header.iter().position(|known| known == name).expect("a column")];
    assert_eq!(cell("target"), address);
    assert_eq!(cell("gateway_behind"), "srv10:3389 srv11:3389");
    let answered = ["websocket", "out", "in", "rpc_out", "rpc_in"].map(|it| cell(&format!("gateway_{it}")));
    assert_eq!(answered, ["401"; 5], "{}", csv.stdout);
    assert_eq!(cell("gateway_logon"), "Negotiate NTLM");
    assert_eq!((cell("gateway_tunnels"), cell("gateway_udp")), ("", ""), "neither was there to be asked for");
    assert_eq!(gateway.requests().iter().filter(|head| head.starts_with("OPTIONS")).count(), 3, "once a run");
}
