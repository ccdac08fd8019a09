use super::header::{LENGTH, LONGEST_PACKET};
use super::packets::LONGEST_HUNT;
use super::*;
use proptest::prelude::*;

/// A packet of `packet_type` with `body` behind its header.
fn packet(packet_type: u16, body: &[u8]) -> Vec<u8> {
    let length = (LENGTH + body.len()) as u32;
    [&packet_type.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), body].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    packet(header::DATA, &[&(bytes.len() as u16).to_le_bytes(), bytes].concat())
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

/// What is told, with the data of each packet in one piece.
fn read(mut packets: Packets, bytes: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let (mut told, mut inside) = (Vec::new(), Vec::new());
    for mut input in bytes.chunks(piece) {
        while let Some(found) = packets.next(&mut input) {
            match found {
                Found::Data(bytes) => inside.extend_from_slice(bytes),
                Found::Packet(packet) => told.push(packet.name().to_owned()),
                Found::Malformed(malformed) => told.push(malformed.to_string()),
                Found::Garbage { offset } => told.push(format!("garbage at {offset}")),
                Found::Lost => told.push("lost".to_owned()),
            }
        }
        assert!(input.is_empty());
    }
    assert_eq!(packets.come(), bytes.len() as u64);
    (told, inside)
}

fn told(bytes: &[u8]) -> Vec<String> {
    read(Packets::default(), bytes, usize::MAX).0
}

#[test]
fn each_packet_says_what_its_fields_say() {
    let decode = |packet_type, body: &[u8]| Packet::decode(&packet(packet_type, body)).unwrap();
    let Packet::HandshakeRequest { version, extended_auth, .. } = decode(1, &[1, 0, 0, 0, 6, 0]) else {
        panic!()
    };
    assert_eq!(version, "1.0");
    assert_eq!(extended_auth.names, ["HTTP_EXTENDED_AUTH_PAA", "HTTP_EXTENDED_AUTH_SSPI_NTLM"]);

    let with_cookie = [&[0x3f, 0, 0, 0, 1, 0, 0, 0][..], &counted(b"cookie")].concat();
    let create = decode(4, &with_cookie);
    let Packet::TunnelCreate { capabilities, paa_cookie_length, reauthentication } = create else { panic!() };
    assert!(capabilities.contains(UDP_TRANSPORT) && capabilities.names.len() == 6);
    assert_eq!((paa_cookie_length, reauthentication), (Some(6), false));
    let again = [&[0, 0, 0, 0, 3, 0, 0, 0][..], &[9; 8], &counted(b"cookie")].concat();
    let expected = Packet::TunnelCreate {
        capabilities: Flags::default(),
        paa_cookie_length: Some(6),
        reauthentication: true,
    };
    assert_eq!(decode(4, &again), expected);

    let consent = counted(&utf16("I agree"));
    let body = [
        &[1, 0, 0, 0, 0, 0, 0x17, 0, 0, 0, 7, 0, 0, 0, 0x20, 0, 0, 0][..],
        &[5; 16],
        &counted(b"cert"),
        &consent,
    ];
    let Packet::TunnelResponse { tunnel_id, capabilities, consent_message, .. } = decode(5, &body.concat())
    else {
        panic!()
    };
    assert_eq!((tunnel_id, consent_message.as_deref()), (Some(7), Some("I agree")));
    assert!(capabilities.unwrap().contains(UDP_TRANSPORT));

    let body = [&[1, 0][..], &counted(&utf16("PC")), &counted(b"healthy")].concat();
    let expected = Packet::TunnelAuth { client_name: "PC".to_owned(), statement_of_health_length: Some(7) };
    assert_eq!(decode(6, &body), expected);

    let body = [0xDA, 0x59, 7, 0x80, 3, 0, 0, 0, 1, 0, 0, 0, 30, 0, 0, 0];
    let answer = decode(7, &body);
    assert_eq!(answer.status().unwrap().name.as_deref(), Some("E_PROXY_RAP_ACCESSDENIED"));
    let Packet::TunnelAuthResponse { redirection, idle_timeout_minutes, .. } = answer else { panic!() };
    assert_eq!(redirection.unwrap().names, ["HTTP_TUNNEL_REDIR_DISABLE_DRIVE"]);
    assert_eq!(idle_timeout_minutes, Some(30));

    let body = [&[1, 1, 0x3d, 0x0d, 3, 0][..], &counted(&utf16("host")), &counted(&utf16("other"))].concat();
    let Packet::ChannelCreate { resources, alternatives, port, protocol } = decode(8, &body) else {
        panic!()
    };
    assert_eq!(
        (resources, alternatives, port, protocol),
        (vec!["host".to_owned()], vec!["other".to_owned()], 3389, 3)
    );

    let body = [&[0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0x3f, 0x0d][..], &counted(&[7; 1433])].concat();
    let expected = Packet::ChannelResponse {
        status: status::named(0),
        channel_id: Some(1),
        udp_port: Some(3391),
        udp_cookie_length: Some(1433),
    };
    assert_eq!(decode(9, &body), expected);
    assert_eq!(decode(0xB, &counted(&utf16("Hello"))), Packet::ServiceMessage { text: "Hello".to_owned() });
    assert_eq!(decode(0x77, &[]), Packet::Unknown { packet_type: 0x77, length: 8 });
}

#[test]
fn fields_that_are_announced_and_missing_are_left_out() {
    let short = |packet_type, body: &[u8]| Packet::decode(&packet(packet_type, body));
    let Ok(Packet::ChannelResponse { channel_id: None, udp_port: None, udp_cookie_length: None, .. }) =
        short(9, &[0, 0, 0, 0, 7, 0, 0, 0])
    else {
        panic!()
    };
    let Ok(Packet::TunnelCreate { paa_cookie_length: None, .. }) = short(4, &[0, 0, 0, 0, 3, 0, 0, 0, 1])
    else {
        panic!()
    };
    assert_eq!(short(9, &[0, 0]).unwrap_err().structure, "HTTP_CHANNEL_RESPONSE");
    assert!(Packet::decode(&[1, 0, 0]).is_err());
}

#[test]
fn data_passes_through_and_what_stands_behind_it_does_not() {
    let padded = packet(header::DATA, &[3, 0, b'a', b'b', b'c', 9, 9]);
    let bytes = [padded, data(b"def"), data(b""), packet(header::KEEPALIVE, &[])].concat();
    let (told, inside) = read(Packets::default(), &bytes, 1);
    assert_eq!(told, ["data", "data", "data", "keepalive"]);
    assert_eq!(inside, b"abcdef");
    let mut packets = Packets::default();
    let bytes = data(b"secret");
    let mut input = &bytes[..DATA_HEAD];
    assert_eq!(packets.next(&mut input), Some(Found::Packet(Packet::Data { length: 6 })));
    assert_eq!(packets.payload_ahead(), 6);
    packets.skip(6);
    assert!(packets.is_at_boundary());
}

#[test]
fn lengths_that_cannot_be_are_named_and_the_next_packet_is_found() {
    let keepalive = packet(header::KEEPALIVE, &[]);
    let with_length = |packet_type: u16, length: u32| {
        [&packet_type.to_le_bytes()[..], &[0, 0], &length.to_le_bytes(), &[0xee; 9], &keepalive].concat()
    };
    assert_eq!(
        told(&with_length(header::TUNNEL_AUTH, 0)),
        ["HTTP_TUNNEL_AUTH_PACKET: packetLength is less than its header at byte 4", "keepalive"]
    );
    assert_eq!(told(&with_length(header::DATA, 7)).len(), 2);
    for length in [u32::MAX, LONGEST_PACKET + 1] {
        assert_eq!(
            told(&with_length(header::DATA, length)),
            ["HTTP_DATA_PACKET: packetLength is more than any packet's at byte 4", "keepalive"]
        );
    }
    let past = packet(header::DATA, &[9, 0, b'a']);
    let (seen, inside) = read(Packets::default(), &[past, keepalive.clone()].concat(), 2);
    assert_eq!(seen, ["HTTP_DATA_PACKET: cbDataLen goes past the packet at byte 8", "keepalive"]);
    assert_eq!(inside, b"a");
    let without_count = packet(header::DATA, &[1]);
    assert_eq!(
        told(&[without_count, keepalive].concat()),
        ["HTTP_DATA_PACKET: ends too early at byte 8", "keepalive"]
    );
}

#[test]
fn what_stands_before_the_first_packet_is_counted() {
    let response = packet(header::HANDSHAKE_RESPONSE, &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    for preamble in [&[][..], &[0xAB, 0xCD].repeat(5), &[2; 100], &[2, 0, 0, 0]] {
        let mut packets = Packets::with_preamble();
        let bytes = [preamble, &response].concat();
        let mut input = &bytes[..];
        assert!(matches!(packets.next(&mut input), Some(Found::Packet(Packet::HandshakeResponse { .. }))));
        assert_eq!(packets.preamble(), Some(preamble.len() as u64));
    }
    let page = vec![b'<'; LONGEST_HUNT as usize + 1];
    assert_eq!(read(Packets::with_preamble(), &page, usize::MAX).0, ["lost"]);
}

#[test]
fn garbage_between_packets_is_named_and_a_direction_of_it_is_given_up() {
    let keepalive = packet(header::KEEPALIVE, &[]);
    let bytes = [&keepalive[..], b"\r\n1c\r\n", &keepalive].concat();
    assert_eq!(told(&bytes), ["keepalive", "garbage at 8", "keepalive"]);
    let broken = [b"0123456789", &keepalive[..]].concat().repeat(30);
    assert_eq!(told(&broken).last().map(String::as_str), Some("lost"));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same(
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), 0_u8..0x12, any::<u8>()], 0..200),
        piece in 1_usize..20,
        hunts in any::<bool>(),
    ) {
        let packets = || if hunts { Packets::with_preamble() } else { Packets::default() };
        prop_assert_eq!(read(packets(), &bytes, piece), read(packets(), &bytes, usize::MAX));
    }

    #[test]
    fn any_bytes_are_read_as_a_packet(packet_type in 0_u16..0x13, body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _either = Packet::decode(&packet(packet_type, &body));
    }
}
