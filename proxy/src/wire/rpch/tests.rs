use super::encode::*;
use super::rpc::{Body, Header, Pdu};
use super::rts::Rts;
use super::tsproxy::{
    self, AUTHORIZE_TUNNEL, CREATE_CHANNEL, CREATE_TUNNEL, MAKE_TUNNEL_CALL, SEND_TO_SERVER, sent_to_server,
    status,
};
use crate::wire::Malformed;
use crate::wire::tsgu::Packet;

fn header(bytes: &[u8]) -> Header {
    Header::decode(bytes).expect("a header").expect("that is whole").0
}

fn decode(bytes: &[u8]) -> Pdu<'_> {
    Pdu::decode(header(bytes), bytes).expect("a PDU")
}

fn named(flags: u16, commands: &[Vec<u8>]) -> [Option<&'static str>; 2] {
    let rts = Rts::decode(&rts(flags, commands)).expect("an RTS PDU");
    [rts.name_from_client(), rts.name_from_gateway()]
}

#[test]
fn rts_pdus_are_named_by_their_flags_and_commands() {
    let command = |number: u32| longs(&[number]);
    let with = |number: u32| longs(&[number, 1]);
    let (destination, lifetime, window, timeout) = (with(13), with(4), with(0), with(2));
    let ack = [longs(&[1, 4096, 61440]), vec![0xaa; 16]].concat();
    let client = |flags, commands: &[Vec<u8>]| named(flags, commands)[0];
    let gateway = |flags, commands: &[Vec<u8>]| named(flags, commands)[1];
    assert_eq!(Rts::decode(&conn_a1(1)).expect("A1").name_from_client(), Some("CONN/A1"));
    assert_eq!(Rts::decode(&conn_b1(1)).expect("B1").name_from_client(), Some("CONN/B1"));
    assert_eq!(gateway(0, std::slice::from_ref(&timeout)), Some("CONN/A3"));
    assert_eq!(gateway(0, &[version(), window.clone(), timeout.clone()]), Some("CONN/C2"));
    let cookies = [version(), cookie(1), cookie(2), cookie(3)];
    assert_eq!(client(4, &cookies), Some("IN_R1/A1 or IN_R2/A1"));
    let replaced = [&cookies[..], std::slice::from_ref(&window)].concat();
    assert_eq!(client(4, &replaced), Some("OUT_R1/A3 or OUT_R2/A3"));
    assert_eq!(gateway(4, std::slice::from_ref(&destination)), Some("OUT_R1/A2 or OUT_R2/A2"));
    assert_eq!(gateway(0, std::slice::from_ref(&destination)), Some("IN_R2/A4"));
    assert_eq!(gateway(16, &[destination.clone(), version(), timeout.clone()]), Some("OUT_R1/A6"));
    assert_eq!(client(16, &[destination.clone(), cookie(3)]), Some("OUT_R1/A7"));
    assert_eq!(client(16, &[destination.clone(), cookie(3), version()]), Some("OUT_R2/A7"));
    assert_eq!(named(0, &[command(10)]), [Some("OUT_R1/A11"), Some("OUT_R1/A10")]);
    assert_eq!(gateway(32, &[command(10)]), Some("OUT_R2/B3"));
    assert_eq!(client(1, &[command(7)]), Some("OUT_R2/C1"));
    assert_eq!(named(1, &[]), [Some("Ping"); 2]);
    assert_eq!(named(64, &[]), [Some("Echo"); 2]);
    assert_eq!(client(2, &[with(5)]), Some("Keep-Alive"));
    assert_eq!(named(2, &[destination, ack]), [Some("FlowControlAckWithDestination"); 2]);
    assert_eq!(named(16, &[version(), cookie(1), cookie(2), lifetime, window]), [Some("CONN/A2"); 2]);
    let address = |kind: u32, length: usize| [longs(&[11, kind]), vec![0; length + 12]].concat();
    assert_eq!(named(0, &[address(0, 4), address(1, 16), longs(&[8, 2, 0x1234])[..10].to_vec()]), [None; 2]);
}

#[test]
fn an_rts_pdu_that_breaks_off_is_told_and_an_unknown_command_ends_it() {
    let whole = conn_b1(1);
    for length in 0..whole.len() {
        assert!(Rts::decode(&whole[..length]).is_err(), "{length} of {}", whole.len());
    }
    assert_eq!(Rts::decode(&whole).expect("B1").virtual_connection(), Some([1; 16]));
    let unknown =
        Rts::decode(&rts(0, &[version(), longs(&[77, 1, 2]), version()])).expect("what can be read");
    let names: Vec<_> = unknown.commands.iter().map(|command| command.name()).collect();
    assert_eq!(names, ["Version", "Unknown"]);
    let many = Rts::decode(&rts(0, &vec![longs(&[7]); 1000])).expect("a thousand commands");
    assert!(many.commands.len() <= 16 && many.virtual_connection().is_none());
}

#[test]
fn what_is_no_rpc_is_told_with_its_first_wrong_byte() {
    let wrong = |bytes: &[u8]| Header::decode(bytes).expect_err("no RPC");
    let at = |offset, reason| Malformed::new("RPC PDU", offset, reason);
    assert_eq!(wrong(b"HTTP"), at(0, "not of version 5"));
    assert_eq!(wrong(&[5, 2]), at(1, "not of version 5.0 or 5.1"));
    assert_eq!(wrong(&[5, 0, 0, 3, 0]), at(4, "not little endian"));
    let mut short = request(3, 1, 1, &[], None);
    short[8..10].copy_from_slice(&[0, 0]);
    assert_eq!(wrong(&short), at(8, "shorter than its header"));
    short[8..10].copy_from_slice(&[24, 0]);
    short[10] = 1;
    assert_eq!(wrong(&short), at(10, "shorter than its trailer"));
    assert_eq!(
        Header::decode(&[5, 0, 0, 3, 0x10, 0, 0, 0, 0, 0]),
        Ok(None),
        "a length of which half is there"
    );
}

#[test]
fn a_trailer_is_taken_off_the_stub_and_its_token_is_a_length() {
    let bytes = request(3, 9, SEND_TO_SERVER, b"stub!", SIGNED);
    let pdu = decode(&bytes);
    assert_eq!(pdu.body, Body::Request { opnum: SEND_TO_SERVER, stub: b"stub!" });
    assert_eq!((pdu.header.call_id, pdu.header.name()), (9, Some("request")));
    let security = pdu.security.expect("a trailer");
    assert_eq!(security.authentication.name.as_deref(), Some("RPC_C_AUTHN_WINNT"));
    assert_eq!(security.level.name.as_deref(), Some("RPC_C_AUTHN_LEVEL_PKT_INTEGRITY"));
    assert_eq!((security.token_length, security.hides_stub()), (16, false));

    let hidden = response(3, 9, b"....", Some((9, 6, &[1; 8])));
    assert!(decode(&hidden).security.is_some_and(|security| security.hides_stub()));
    let mut padded = bytes.clone();
    let padding_at = padded.len() - 16 - 6;
    padded[padding_at] = 200;
    let reason =
        Pdu::decode(header(&padded), &padded).expect_err("padding that is longer than the body").reason;
    assert_eq!(reason, "more padding than body");
}

#[test]
fn the_object_of_a_request_is_no_part_of_its_stub_and_a_fault_has_a_status() {
    let with_object = request(0x83, 1, CREATE_TUNNEL, &[&[4; 16][..], b"stub"].concat(), None);
    assert_eq!(decode(&with_object).body, Body::Request { opnum: CREATE_TUNNEL, stub: b"stub" });
    assert_eq!(decode(&fault(1, 5)).body, Body::Fault { status: 5 });
    let Body::BindNak { reason } = decode(&pdu(13, 3, 1, &[8, 0, 0], None)).body else {
        panic!("a bind_nak")
    };
    assert_eq!(reason.name.as_deref(), Some("AUTHENTICATION_TYPE_NOT_RECOGNIZED"));
}

#[test]
fn statuses_are_named_in_both_forms() {
    let name = |value| status(value).name;
    assert_eq!(name(0x8007_59db).as_deref(), Some("E_PROXY_NAP_ACCESSDENIED"));
    assert_eq!(name(0x0000_59dd).as_deref(), Some("E_PROXY_TS_CONNECTFAILED"));
    assert_eq!(name(0x8007_071a).as_deref(), Some("RPC_S_CALL_CANCELLED"));
    assert_eq!(name(0x8008_0005), None, "of another facility");
}

#[test]
fn the_tunnel_is_opened_in_the_words_of_the_packets_over_http() {
    let opened = tsproxy::request(CREATE_TUNNEL, &create_tunnel(0x1f)).expect("a call").expect("a packet");
    let Packet::TunnelCreate { capabilities, paa_cookie_length: None, reauthentication: false } = opened
    else {
        panic!("{opened:?}")
    };
    assert_eq!((capabilities.value, capabilities.names.len()), (0x1f, 5));

    for again in [false, true] {
        let stub = create_tunnel_with_cookie(b"odd cookie", again);
        let with_cookie = tsproxy::request(CREATE_TUNNEL, &stub).expect("a call").expect("a packet");
        let Packet::TunnelCreate { capabilities, paa_cookie_length, reauthentication } = with_cookie else {
            panic!("{with_cookie:?}")
        };
        assert_eq!((capabilities.value, paa_cookie_length, reauthentication), (0x3f, Some(10), again));
    }
}

#[test]
fn the_answer_to_the_tunnel_has_its_message_behind_its_certificates() {
    for certificates in [None, Some("certificates")] {
        let stub = tunnel_response(certificates, Some("Only for work."));
        let answer = tsproxy::response(CREATE_TUNNEL, &stub).expect("an answer").expect("a packet");
        let Packet::TunnelResponse { server_version, status, tunnel_id, capabilities, consent_message } =
            answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!((server_version, status.value, tunnel_id), (0x0101, 0, Some(0x17)));
        assert_eq!(capabilities.map(|capabilities| capabilities.value), Some(0x1f));
        assert_eq!(consent_message.as_deref(), Some("Only for work."));
    }
    let refused = [longs(&[0]), vec![0; 20], longs(&[0, 0x8007_59f9])].concat();
    let answer = tsproxy::response(CREATE_TUNNEL, &refused).expect("an answer").expect("a packet");
    let Packet::TunnelResponse { status, tunnel_id: None, capabilities: None, consent_message: None, .. } =
        answer
    else {
        panic!("{answer:?}")
    };
    assert_eq!(status.name.as_deref(), Some("E_PROXY_UNSUPPORTED_AUTHENTICATION_METHOD"));
}

#[test]
fn authorization_tells_the_client_and_what_it_may() {
    let asked = tsproxy::request(AUTHORIZE_TUNNEL, &authorize_tunnel("lab-client", b"healthy"));
    let expected =
        Packet::TunnelAuth { client_name: "lab-client".to_owned(), statement_of_health_length: Some(7) };
    assert_eq!(asked, Ok(Some(expected)));

    let stub = authorize_response([0, 0, 1, 0, 0, 1, 1, 0], 30);
    let answer = tsproxy::response(AUTHORIZE_TUNNEL, &stub).expect("an answer").expect("a packet");
    let Packet::TunnelAuthResponse { status, redirection, idle_timeout_minutes } = answer else {
        panic!("{answer:?}")
    };
    let redirection = redirection.expect("redirection flags");
    assert_eq!((status.value, redirection.value, idle_timeout_minutes), (0, 0x9, Some(30)));
    assert_eq!(redirection.names, ["HTTP_TUNNEL_REDIR_DISABLE_DRIVE", "HTTP_TUNNEL_REDIR_DISABLE_CLIPBOARD"]);

    let denied = tsproxy::response(AUTHORIZE_TUNNEL, &longs(&[0, 0x8007_59db])).expect("an answer");
    let Some(Packet::TunnelAuthResponse { status, redirection: None, .. }) = denied else {
        panic!("{denied:?}")
    };
    assert_eq!(status.name.as_deref(), Some("E_PROXY_NAP_ACCESSDENIED"));
}

#[test]
fn the_channel_names_its_target() {
    let stub = create_channel(&["odd", "target.example"], &["10.0.0.7"], 3390);
    let asked = tsproxy::request(CREATE_CHANNEL, &stub);
    let expected = Packet::ChannelCreate {
        resources: vec!["odd".to_owned(), "target.example".to_owned()],
        alternatives: vec!["10.0.0.7".to_owned()],
        port: 3390,
        protocol: 3,
    };
    assert_eq!(asked, Ok(Some(expected)));
    let answer = |status: u32| {
        let stub = [context(), longs(&[5, status])].concat();
        tsproxy::response(CREATE_CHANNEL, &stub).expect("an answer").expect("a packet")
    };
    let Packet::ChannelResponse { channel_id: Some(5), udp_port: None, .. } = answer(0) else {
        panic!("{:?}", answer(0))
    };
    let Packet::ChannelResponse { status, channel_id: None, .. } = answer(0x8007_59dd) else {
        panic!("{:?}", answer(0x8007_59dd))
    };
    assert_eq!(status.name.as_deref(), Some("E_PROXY_TS_CONNECTFAILED"));
}

#[test]
fn messages_are_told_and_a_reauthentication_without_its_context() {
    let said = |kind| tsproxy::response(MAKE_TUNNEL_CALL, &tunnel_call_response(kind, "Down at noon."));
    let expected = Packet::ServiceMessage { text: "Down at noon.".to_owned() };
    assert_eq!(said(2), Ok(Some(expected.clone())));
    assert_eq!(said(1), Ok(Some(expected)));
    assert_eq!(said(3), Ok(Some(Packet::ReauthMessage)));
    assert_eq!(tsproxy::response(MAKE_TUNNEL_CALL, &longs(&[0, 0])), Ok(None), "a call that was cancelled");
}

#[test]
fn data_for_the_target_comes_in_up_to_three_buffers() {
    let buffers: [&[u8]; 3] = [b"one", b"", b"three"];
    assert_eq!(sent_to_server(&send_to_server(&buffers)), Ok(buffers.to_vec()));
    let mut too_long = send_to_server(&[b"one"]);
    too_long[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(sent_to_server(&too_long).map_err(|malformed| malformed.reason), Err("ends too early"));
    let mut too_many = send_to_server(&[b"one"]);
    too_many[24..28].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        sent_to_server(&too_many).map_err(|malformed| malformed.reason),
        Err("more than three buffers")
    );
}

/// Every stub, cut anywhere and with any four bytes set: an answer, and no panic.
#[test]
fn any_stub_is_survived() {
    let requests = [
        (CREATE_TUNNEL, create_tunnel(1)),
        (CREATE_TUNNEL, create_tunnel_with_cookie(&[1; 40], true)),
        (AUTHORIZE_TUNNEL, authorize_tunnel("client", &[1; 9])),
        (CREATE_CHANNEL, create_channel(&["a", "b"], &["c"], 1)),
        (SEND_TO_SERVER, send_to_server(&[b"one", b"two"])),
    ];
    let responses = [
        (CREATE_TUNNEL, tunnel_response(Some("chain"), Some("text"))),
        (AUTHORIZE_TUNNEL, authorize_response([1; 8], 5)),
        (MAKE_TUNNEL_CALL, tunnel_call_response(2, "text")),
        (MAKE_TUNNEL_CALL, tunnel_call_response(3, "")),
    ];
    for (opnum, stub) in requests.iter().chain(&responses) {
        for place in 0..stub.len() {
            let mut changed = stub.clone();
            let end = (place + 4).min(stub.len());
            changed[place..end].fill(0xff);
            for bytes in [&stub[..place], &changed] {
                let _any = (
                    tsproxy::request(*opnum, bytes),
                    tsproxy::response(*opnum, bytes),
                    sent_to_server(bytes),
                );
            }
        }
    }
}
