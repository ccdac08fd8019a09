//! The beginnings of the fuzz corpus: for each oracle some messages as peers send them, of our own making.

#[path = "seeds_others.rs"]
mod others;

use super::certificates::certificates;
use super::scripted::Side;
use super::scripted::bytes::{
    HYBRID, SSL, connection_confirm, connection_request, fatal_alert, negotiation_failure, preconnection_pdu,
};
use super::scripted::credssp as nla;
use super::scripted::rdp;
use super::scripted::tls::{Flights, Handshake, Trust};
use super::scripted::tunnel;
use rustls::version::{TLS12, TLS13};

/// Bytes of a TLS record before its fragment.
const RECORD_HEADER: usize = 5;
/// Bytes of a handshake message before its body.
const HANDSHAKE_HEADER: usize = 4;

/// An input for an oracle.
#[derive(Debug)]
pub(crate) struct Seed {
    /// Whose.
    pub(crate) target: &'static str,
    /// What it is, as a file name.
    pub(crate) name: String,
    /// It.
    pub(crate) bytes: Vec<u8>,
}

/// All of them.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target: &'static str, messages: Vec<(&str, Vec<u8>)>| {
        seeds.extend(messages.into_iter().map(|(name, bytes)| Seed { target, name: name.to_owned(), bytes }));
    };
    add("x224", x224());
    add(
        "preconnection",
        vec![("version-2", preconnection_pdu(7, "vm")), ("http", b"GET / HTTP/1.1\r\n".to_vec())],
    );
    add("tls_records", tls_records());
    add("client_hello", handshake_bodies());
    add(
        "certificate",
        vec![
            ("signed", certificates().signed.for_rustls().0[0].to_vec()),
            ("authority", certificates().authority_der.to_vec()),
        ],
    );
    add("mcs", mcs());
    add("rdp", rdp_bodies());
    add("rdpeudp", rdpeudp());
    add("credssp", authentication());
    add("session_observer", conversations());
    add("inside_observer", inner_conversations());
    add("udp_observer", flows());
    add("alter_gate", gates());
    add("rpc_observer", recorded_calls());
    add("http", http());
    add("websocket", websocket());
    add("tsgu", tsgu());
    add("gateway_observer", attempts());
    add("capture", captures());
    add("trace", traces());
    add("rdp_file", profiles());
    others::seeds().into_iter().for_each(|(target, messages)| add(target, messages));
    seeds
}

/// Captures: the beginning of a pcapng file, and sessions packed as the oracle unpacks them.
fn captures() -> Vec<(&'static str, Vec<u8>)> {
    const FIN: u8 = 2;
    let pack = |messages: &[(Side, Vec<u8>)]| {
        let mut packed = vec![1, 1, 0, 0, 0x81, 0, 0];
        let mut add = |side: Side, flags: u8, bytes: &[u8]| {
            packed.push(flags | if side == Side::Server { 0x80 } else { 0 });
            packed.extend((bytes.len() as u16).to_be_bytes());
            packed.extend(bytes);
        };
        messages.iter().for_each(|(side, bytes)| add(*side, 0, bytes));
        add(Side::Server, FIN, &[]);
        packed
    };
    let section = [
        &[0, 0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..],
        &[0xff; 8],
        &[28, 0, 0, 0],
    ];
    let refused = [(Side::Client, connection_request("anna", SSL)), (Side::Server, negotiation_failure(5))];
    let tls = [&refused[..1], &[(Side::Server, connection_confirm(SSL))], &handshake(&TLS12).1].concat();
    vec![
        ("pcapng", section.concat()),
        ("refused", pack(&refused)),
        ("in-clear", pack(&rdp::session(0, 0))),
        ("tls", pack(&tls)),
    ]
}

/// A recorded trace, and lines that are none.
fn traces() -> Vec<(&'static str, Vec<u8>)> {
    let recorded = include_bytes!("../../examples/traces/certificate-expired.jsonl").to_vec();
    vec![
        ("cut", recorded[..recorded.len() / 2].to_vec()),
        ("other-schema", b"{\"type\":\"trace\",\"schema\":2}\n{}\n".to_vec()),
    ]
}

/// A profile with a gateway and half a signature, in each encoding.
fn profiles() -> Vec<(&'static str, Vec<u8>)> {
    let text = "full address:s:srv10.corp.example:3390\r\nauthentication level:i:2\r\nserver port:i:3390\r\n\
        gatewayhostname:s:gw.corp.example\r\ngatewayusagemethod:i:1\r\nusername:s:CORP\\walther\r\n\
        signscope:s:Full Address,Server Port\r\nsignature:s:AQABAAEAAAAFAAAAc3RhbGU=\r\n";
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    vec![
        ("ascii", text.as_bytes().to_vec()),
        ("utf-16", [b"\xff\xfe", &wide(u16::to_le_bytes)[..]].concat()),
        ("utf-16-without-mark", wide(u16::to_le_bytes)),
        ("utf-16-big-endian", [b"\xfe\xff", &wide(u16::to_be_bytes)[..]].concat()),
        ("latin", [text.as_bytes(), b"domain:s:caf\xe9\n"].concat()),
    ]
}

fn x224() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("request", connection_request("anna", SSL | HYBRID)),
        ("confirm", connection_confirm(HYBRID)),
        ("failure", negotiation_failure(5)),
        ("fast-path", vec![0, 0x80, 5, 0xaa, 0xbb]),
    ]
}

fn handshake(version: &'static rustls::SupportedProtocolVersion) -> (Handshake, Flights) {
    let mut handshake = Handshake::new(version, &certificates().signed, Trust::Anything);
    let flights = handshake.flights();
    (handshake, flights)
}

fn tls_records() -> Vec<(&'static str, Vec<u8>)> {
    let flights = handshake(&TLS12).1;
    vec![
        ("client-hello", flights[0].1.clone()),
        ("server-flight", flights[1].1.clone()),
        ("client-key-exchange", flights[2].1.clone()),
        ("alert", fatal_alert(48)),
    ]
}

/// The hello's of both sides and the server's certificates without their headers.
fn handshake_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let body = |flight: &[u8]| {
        let length = usize::from(u16::from_be_bytes([flight[7], flight[8]]));
        flight[RECORD_HEADER + HANDSHAKE_HEADER..][..length].to_vec()
    };
    let (old, new) = (handshake(&TLS12).1, handshake(&TLS13).1);
    vec![
        ("client-1.2", body(&old[0].1)),
        ("client-1.3", body(&new[0].1)),
        ("server-1.2", body(&old[1].1)),
        ("server-1.3", body(&new[1].1)),
    ]
}

fn mcs() -> Vec<(&'static str, Vec<u8>)> {
    const TPKT_AND_DATA: usize = 7;
    let (_, data) = rdp::send(Side::Server, rdp::IO, &[1, 2, 3]);
    vec![
        ("connect-initial", rdp::connect_initial("client")),
        ("connect-response", rdp::connect_response(2, 3)),
        ("channel-join-confirm", vec![0x3e, 0, 0, 6, 3, 0xeb, 3, 0xeb]),
        ("send-data", data[TPKT_AND_DATA..].to_vec()),
    ]
}

fn rdp_bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("client-info", rdp::client_info("EXAMPLE", "anna")),
        ("license", rdp::license_error(7)),
        ("redirection", rdp::redirection()),
        ("demand-active", rdp::demand_active()),
        ("confirm-active", rdp::confirm_active()),
        ("share-data", rdp::share_data(0x2f, &[0x0b, 0, 0, 0])),
        ("logon-error", vec![3, 0, 0, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ("auto-detect", vec![14, 0, 1, 0, 0x40, 8, 3, 0, 0, 0, 4, 0, 0, 0]),
    ]
}

/// SYN, or with `acknowledged` SYN+ACK, of version 2 without its padding.
fn syn(acknowledged: Option<u32>) -> Vec<u8> {
    let flags: u16 = if acknowledged.is_some() { 0x1005 } else { 0x1001 };
    let mut bytes = acknowledged.unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend([0, 64]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 0, 0, 9, 4, 208, 4, 208, 0, 1, 0, 2]);
    bytes
}

/// The client's first data: a DTLS record.
fn udp_data() -> Vec<u8> {
    let header = [0, 0, 0, 1, 0, 64, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2];
    [&header[..], &[0x16, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]].concat()
}

fn rdpeudp() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("syn", syn(None)),
        ("syn-ack", syn(Some(9))),
        ("data", udp_data()),
        ("version-3", vec![0x0c, 0x10, 1, 0, 0, 0, 0, 0xe0, 0, 2, 0, 0x16, 3, 3, 0, 1]),
    ]
}

/// For the session observer: the first byte chooses the X.224 exchange, see there.
fn conversation(beginning: u8, messages: &[(Side, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![beginning];
    for (side, message) in messages {
        let length = u16::try_from(message.len()).expect("a message is short");
        let side = if *side == Side::Client { 0 } else { 0x8000 };
        bytes.extend((side | length).to_be_bytes());
        bytes.extend(message);
    }
    bytes
}

fn conversations() -> Vec<(&'static str, Vec<u8>)> {
    let x224 = [(Side::Client, connection_request("anna", SSL)), (Side::Server, connection_confirm(SSL))];
    let (mut old, old_flights) = handshake(&TLS12);
    let (mut new, new_flights) = handshake(&TLS13);
    // Sizes as CredSSP and MCS have them, whatever is inside.
    let sizes = [(Side::Client, 64), (Side::Server, 200), (Side::Client, 500), (Side::Client, 450)];
    let inside = |handshake: &mut Handshake| {
        sizes.map(|(side, size)| handshake.application_data(side, &vec![0x30; size])).to_vec()
    };
    let (old_inside, new_inside) = (inside(&mut old), inside(&mut new));
    vec![
        ("x224-and-tls-1.2", conversation(0, &[&x224[..], &old_flights].concat())),
        ("hybrid-tls-1.2", conversation(3, &[old_flights, old_inside].concat())),
        ("hybrid-tls-1.3", conversation(4, &[new_flights, new_inside].concat())),
        ("session-in-clear", conversation(1, &rdp::session(0, 0))),
        ("classic-security", conversation(1, &rdp::session(2, 1))),
        ("refused", conversation(0, &[x224[0].clone(), (Side::Server, negotiation_failure(2))])),
        (
            "preconnection-and-http",
            conversation(
                0,
                &[
                    (Side::Client, preconnection_pdu(1, "vm")),
                    (Side::Server, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
                ],
            ),
        ),
    ]
}

/// For the gate: what is to be changed and in what, see there, then a conversation.
fn gates() -> Vec<(&'static str, Vec<u8>)> {
    const BOTH: u8 = 3;
    let gate = |inside: u8, messages: &[(Side, Vec<u8>)]| {
        [vec![BOTH | inside << 2], conversation(0, messages)].concat()
    };
    let request = || (Side::Client, connection_request("anna", SSL | HYBRID));
    let connect = rdp::session(0, 0)[..2].to_vec();
    let ts_request = |side| (side, vec![0x30, 5, 0xa0, 3, 2, 1, 6]);
    let credssp = [ts_request(Side::Client), ts_request(Side::Server), (Side::Server, vec![0; 4])];
    let rdstls = [
        (Side::Server, vec![1, 0, 1, 0, 1, 0, 1, 0]),
        (Side::Client, vec![1, 0, 2, 0, 2, 0, 7, 0, 0, 0, 2, 0, 3, 0]),
        (Side::Server, vec![1, 0, 4, 0, 1, 0, 0, 0, 0, 0]),
    ];
    let rdsaad = [(Side::Client, br#"{"rdp_assertion":"a"}"#.to_vec())];
    let in_clear =
        [(Side::Client, preconnection_pdu(1, "vm")), request(), (Side::Server, connection_confirm(0))];
    vec![
        ("negotiation", gate(0, &[request(), (Side::Server, connection_confirm(SSL))])),
        ("in-clear", gate(0, &[&in_clear[..], &connect].concat())),
        ("direct", gate(1, &[&credssp[..2], &[request()], &connect].concat())),
        ("ssl", gate(2, &connect)),
        ("rdstls", gate(4, &[&rdstls[..], &connect].concat())),
        ("hybrid-ex", gate(5, &[&credssp[..], &connect].concat())),
        ("rdsaad", gate(6, &[&rdsaad[..], &connect].concat())),
    ]
}

/// A moment, as FILETIME.
const FILETIME: u64 = 133_000_000_000_000_000;

fn authentication() -> Vec<(&'static str, Vec<u8>)> {
    let token = |token: &[u8]| nla::ts_request(6, &[nla::nego_token(token), nla::client_nonce()]);
    let [capabilities, request, response] = nla::rdstls_messages(0x52e);
    let [nonce, assertion, result] = nla::rdsaad_messages(-2_147_024_891);
    vec![
        ("ntlm-negotiate", token(&nla::spnego_init(&[nla::KERBEROS, nla::NTLM], &nla::ntlm_negotiate()))),
        ("ntlm-challenge", token(&nla::spnego_response(1, Some(nla::NTLM), &nla::ntlm_challenge(FILETIME)))),
        ("ntlm-authenticate", token(&nla::ntlm_authenticate("fs01"))),
        (
            "kerberos-request",
            token(&nla::spnego_init(&[nla::KERBEROS], &nla::kerberos_ap_req("EXAMPLE", "fs01"))),
        ),
        ("kerberos-reply", token(&nla::spnego_response(0, None, &nla::kerberos_ap_rep()))),
        ("kerberos-error", token(&nla::kerberos_error(37))),
        ("error", nla::ts_request(6, &[nla::error_code(0xc000_006d)])),
        ("credentials", nla::ts_request(2, &[nla::auth_info(), nla::pub_key_auth()])),
        ("token-alone", nla::spnego_init(&[nla::NTLM], &nla::ntlm_negotiate())),
        ("rdstls-capabilities", capabilities),
        ("rdstls-request", request),
        ("rdstls-response", response),
        ("rdsaad-nonce", nonce),
        ("rdsaad-request", assertion),
        ("rdsaad-result", result),
    ]
}

/// For the inside observer: the first byte chooses the selected protocol, see there.
fn inner_conversations() -> Vec<(&'static str, Vec<u8>)> {
    let request = |fields: &[Vec<u8>]| nla::ts_request(6, fields);
    let ntlm = [
        (Side::Client, request(&[nla::nego_token(&nla::ntlm_negotiate())])),
        (Side::Server, request(&[nla::nego_token(&nla::ntlm_challenge(FILETIME))])),
        (Side::Client, request(&[nla::nego_token(&nla::ntlm_authenticate("fs01")), nla::pub_key_auth()])),
        (Side::Server, request(&[nla::pub_key_auth()])),
        (Side::Client, request(&[nla::auth_info()])),
    ];
    let authorized = [(Side::Server, vec![0; 4])];
    let refused = [(Side::Server, request(&[nla::error_code(0xc000_006d)]))];
    let three = |[first, second, third]: [Vec<u8>; 3]| {
        [(Side::Server, first), (Side::Client, second), (Side::Server, third)]
    };
    let rdp = rdp::session(0, 0);
    let negotiated = [(Side::Client, connection_request("anna", 0)), (Side::Server, connection_confirm(0))];
    vec![
        ("direct", conversation(0, &[&negotiated[..], &rdp].concat())),
        ("direct-with-credssp", conversation(0, &[&ntlm[..], &rdp].concat())),
        ("ssl", conversation(1, &rdp)),
        ("hybrid", conversation(2, &[&ntlm[..], &rdp].concat())),
        ("hybrid-refused", conversation(2, &[&ntlm[..3], &refused].concat())),
        ("rdstls", conversation(3, &[&three(nla::rdstls_messages(0))[..], &rdp].concat())),
        ("hybrid-ex", conversation(4, &[&ntlm[..], &authorized, &rdp].concat())),
        ("rdsaad", conversation(5, &[&three(nla::rdsaad_messages(0))[..], &rdp].concat())),
    ]
}

/// For the UDP observer: side and seconds, length, datagram.
fn flows() -> Vec<(&'static str, Vec<u8>)> {
    let datagram = |side_and_seconds: u8, bytes: &[u8]| {
        [&[side_and_seconds, u8::try_from(bytes.len()).expect("a datagram is short")], bytes].concat()
    };
    let opened = [datagram(0, &syn(None)), datagram(0x80, &syn(Some(9))), datagram(1, &udp_data())].concat();
    vec![
        ("opened-and-silent", [opened, datagram(0xc0, &udp_data())].concat()),
        ("unanswered", [datagram(0, &syn(None)), datagram(9, &syn(None))].concat()),
        ("other", datagram(0, &[0x16, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1])),
    ]
}

/// What two versions of FreeRDP said to a gateway over RPC: a connection, a side and a PDU a line.
fn recorded_calls() -> Vec<(&'static str, Vec<u8>)> {
    let steps = |text: &str| {
        let step = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [connection, side, pdu] = words[..] else { panic!("{line} is no PDU") };
            let pdu = hex::decode(pdu).expect("a PDU is written in hex");
            let top = u8::from(side == "server") << 7 | u8::from(connection == "2") << 6;
            [&[top | (pdu.len() >> 8) as u8, pdu.len() as u8], &pdu[..]].concat()
        };
        text.lines().map(step).collect::<Vec<_>>()
    };
    let (second, third) = (
        steps(include_str!("../../proxy/src/observe/gateway/rpc/tests/freerdp-2.txt")),
        steps(include_str!("../../proxy/src/observe/gateway/rpc/tests/freerdp-3.txt")),
    );
    vec![
        ("freerdp-2", second.concat()),
        ("freerdp-3", third.concat()),
        ("freerdp-2-channels", second[..4].concat()),
        ("freerdp-3-to-the-pipe", third[..18].concat()),
        ("no-rpc", b"\xc0\x0fHTTP/1.1 503 RPC".to_vec()),
    ]
}

/// Heads, and bodies in chunks.
fn http() -> Vec<(&'static str, Vec<u8>)> {
    let chunks = [tunnel::chunk(b"one"), b"3;name=value\r\ntwo\r\n0\r\nTrailer: x\r\n\r\n".to_vec()].concat();
    vec![
        ("request", tunnel::upgrade(&tunnel::ntlm(Some(true)))),
        ("response", tunnel::unauthorized(true)),
        ("chunks", chunks),
    ]
}

fn websocket() -> Vec<(&'static str, Vec<u8>)> {
    let fragments = [
        tunnel::frame(0x02, b"one", true),
        tunnel::frame(0x89, b"ping", true),
        tunnel::frame(0x80, &[7; 300], true),
    ];
    vec![
        ("fragments", fragments.concat()),
        ("close", tunnel::frame(0x88, &[3, 0xe8], false)),
        ("long", [&[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3][..], b"abc"].concat()),
    ]
}

/// The packets of both sides, the client's with something before the first.
fn tsgu() -> Vec<(&'static str, Vec<u8>)> {
    let (client, server): (Vec<_>, Vec<_>) = tunnel::tunnel().into_iter().unzip();
    let rest = [tunnel::data(b"rdp"), tunnel::keepalive(), tunnel::close(false, 0x8007_59DA)].concat();
    vec![
        ("client", [client.concat(), rest.clone()].concat()),
        ("server", [server.concat(), rest].concat()),
        ("preamble", [vec![0xab; 10], server[0].clone()].concat()),
    ]
}

/// For the gateway observer: connection and side, and the length, in two bytes; see there.
fn attempts() -> Vec<(&'static str, Vec<u8>)> {
    let step = |connection: u8, side: Side, bytes: Vec<u8>| {
        let side = if side == Side::Client { 0 } else { 0x80 };
        [&[side | connection << 5 | (bytes.len() >> 8) as u8, bytes.len() as u8][..], &bytes].concat()
    };
    let both = |client: u8, server: u8, wrap: fn(Side, &[u8]) -> Vec<u8>| {
        let mut steps = Vec::new();
        for (request, answer) in tunnel::tunnel() {
            steps.push(step(client, Side::Client, wrap(Side::Client, &request)));
            steps.push(step(server, Side::Server, wrap(Side::Server, &answer)));
        }
        let x224 = tunnel::data(&connection_request("anna", 0));
        steps.push(step(client, Side::Client, wrap(Side::Client, &x224)));
        steps.push(step(server, Side::Server, wrap(Side::Server, &tunnel::data(&connection_confirm(0)))));
        steps.concat()
    };
    let websocket = [
        step(0, Side::Client, tunnel::upgrade(&tunnel::ntlm(None))),
        step(0, Side::Server, tunnel::unauthorized(true)),
        step(0, Side::Client, tunnel::upgrade(&tunnel::ntlm(Some(true)))),
        step(0, Side::Server, tunnel::switching()),
        both(0, 0, |side, bytes| tunnel::frame(0x82, bytes, side == Side::Client)),
    ];
    let channels = |headers: &str, wrap: fn(Side, &[u8]) -> Vec<u8>| {
        let heads = [
            step(0, Side::Client, tunnel::request("RDG_OUT_DATA", "")),
            step(0, Side::Server, [tunnel::granted(headers), wrap(Side::Server, &[0xab; 10])].concat()),
            step(1, Side::Client, tunnel::request("RDG_IN_DATA", "Transfer-Encoding: chunked\r\n")),
            step(1, Side::Server, tunnel::granted("Content-Length: 0\r\n")),
        ];
        [heads.concat(), both(1, 0, wrap)].concat()
    };
    let plain = |side: Side, bytes: &[u8]| match side {
        Side::Client => tunnel::chunk(bytes),
        Side::Server => bytes.to_vec(),
    };
    let rpc = [
        step(0, Side::Client, tunnel::request("RPC_OUT_DATA", "Content-Length: 76\r\n")),
        step(0, Side::Server, tunnel::granted("Content-Length: 1073741824\r\n")),
    ];
    vec![
        ("websocket", websocket.concat()),
        ("two-connections", channels("", plain)),
        ("chunks", channels("Transfer-Encoding: chunked\r\n", |_, bytes| tunnel::chunk(bytes))),
        ("unannounced-chunks", channels("", |_, bytes| tunnel::chunk(bytes))),
        ("rpc", rpc.concat()),
        ("http2", step(2, Side::Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec())),
    ]
}
