//! Builders of what stands above X.224 without encryption: MCS, GCC and the PDUs inside (MS-RDPBCGR 2.2.1, 2.2.8).

use super::Side;

/// The I/O channel.
pub(crate) const IO: u16 = 1003;
/// The message channel, for licensing's neighbours: auto-detection, multitransport, heartbeat.
pub(crate) const MESSAGE: u16 = 1008;

/// UTF-16LE.
pub(crate) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn short(length: usize) -> u16 {
    u16::try_from(length).expect("a message of a script is short")
}

/// A TPKT with an X.224 data TPDU around an MCS PDU.
pub(crate) fn packet(mcs: &[u8]) -> Vec<u8> {
    [&[3, 0], &short(mcs.len() + 7).to_be_bytes()[..], &[2, 0xf0, 0x80], mcs].concat()
}

/// A GCC user data block.
pub(crate) fn block(block_type: u16, body: &[u8]) -> Vec<u8> {
    [&block_type.to_le_bytes(), &short(body.len() + 4).to_le_bytes(), body].concat()
}

fn ber(tag: &[u8], content: &[u8]) -> Vec<u8> {
    [tag, &[0x82], &short(content.len()).to_be_bytes(), content].concat()
}

/// A message of MCS with a conference's, which begins with `conference` and carries the blocks (T.124 section 8.7).
fn connect(tag: u8, before: &[u8], conference: &[u8], blocks: &[Vec<u8>]) -> Vec<u8> {
    let blocks = blocks.concat();
    let connect_pdu = [conference, &per_length(blocks.len()), &blocks].concat();
    let gcc = [&[0, 5, 0, 0x14, 0x7c, 0, 1], &per_length(connect_pdu.len())[..], &connect_pdu].concat();
    ber(&[0x7f, tag], &[before, &ber(&[4], &gcc)].concat())
}

fn per_length(length: usize) -> [u8; 2] {
    (short(length) | 0x8000).to_be_bytes()
}

/// MCS Connect-Initial with core, security, network and multitransport data (2.2.1.3).
pub(crate) fn connect_initial(client_name: &str) -> Vec<u8> {
    let mut core = vec![0; 212];
    core[..4].copy_from_slice(&0x0008_0011_u32.to_le_bytes());
    core[4..8].copy_from_slice(&[0, 5, 0x20, 3]);
    let name = utf16(client_name);
    core[20..20 + name.len()].copy_from_slice(&name);
    let network = [&[1, 0, 0, 0], &b"rdpdr\0\0\0"[..], &[0, 0, 0, 0xc0]].concat();
    let blocks = [
        block(0xc001, &core),
        block(0xc002, &[0; 8]),
        block(0xc003, &network),
        block(0xc004, &[0x0d, 0, 0, 0, 0, 0, 0, 0]),
        block(0xc006, &[0; 4]),
        block(0xc00a, &[5, 1, 0, 0]),
    ];
    connect_initial_of(&blocks)
}

/// MCS Connect-Initial with these blocks.
pub(crate) fn connect_initial_of(blocks: &[Vec<u8>]) -> Vec<u8> {
    let target = domain_parameters(0x22, 2, 0, 0xffff);
    let minimum = domain_parameters(1, 1, 1, 0x420);
    let maximum = domain_parameters(0x7fff, 0x7c17, 0x7fff, 0xffff);
    let before = [&[4, 1, 1, 4, 1, 1, 1, 1, 0xff], &target[..], &minimum, &maximum].concat();
    connect(0x65, &before, b"\0\x08\0\x10\0\x01\xc0\0Duca", blocks)
}

/// DomainParameters with one priority, no throughput enforced, one provider and protocol version 2 (T.125 section 7).
fn domain_parameters(channels: u16, users: u16, tokens: u16, message_length: u32) -> Vec<u8> {
    let numbers = [channels.into(), users.into(), tokens.into(), 1, 0, 1, message_length, 2];
    let integers: Vec<u8> = numbers.into_iter().flat_map(integer).collect();
    [&[0x30, u8::try_from(integers.len()).unwrap()], &integers[..]].concat()
}

/// An INTEGER, which is negative where its first bit is set.
fn integer(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
    let sign = if bytes[first] >= 0x80 { &[0][..] } else { &[] };
    let length = u8::try_from(sign.len() + bytes.len() - first).unwrap();
    [&[2, length], sign, &bytes[first..]].concat()
}

/// MCS Connect-Response with the channels and the classic encryption `method` at `level` (2.2.1.4).
pub(crate) fn connect_response(method: u8, level: u8) -> Vec<u8> {
    let blocks = [
        block(0x0c01, &[0x11, 0, 8, 0, 3, 0, 0, 0]),
        block(0x0c02, &[method, 0, 0, 0, level, 0, 0, 0]),
        block(0x0c03, &[0xeb, 3, 1, 0, 0xec, 3, 0, 0]),
        block(0x0c04, &MESSAGE.to_le_bytes()),
    ];
    let before = [&[0x0a, 1, 0, 2, 1, 0], &domain_parameters(0x22, 3, 0, 0xfff8)[..]].concat();
    connect(0x66, &before, b"\x14\x76\x0a\x01\x01\0\x01\xc0\0McDn", &blocks)
}

/// User data of `side` on a channel.
pub(crate) fn send(side: Side, channel_id: u16, payload: &[u8]) -> (Side, Vec<u8>) {
    let choice = if side == Side::Client { 0x64 } else { 0x68 };
    let [high, low] = channel_id.to_be_bytes();
    let length = (short(payload.len()) | 0x8000).to_be_bytes();
    (side, packet(&[&[choice, 0, 6, high, low, 0x70], &length[..], payload].concat()))
}

/// The same behind a basic security header (2.2.8.1.1.2.1).
pub(crate) fn secured(side: Side, channel_id: u16, flags: u16, body: &[u8]) -> (Side, Vec<u8>) {
    send(side, channel_id, &[&flags.to_le_bytes()[..], &[0, 0], body].concat())
}

/// A share control PDU (2.2.8.1.1.1.1).
pub(crate) fn share_control(pdu_type: u8, body: &[u8]) -> Vec<u8> {
    [&short(body.len() + 6).to_le_bytes()[..], &[0x10 | pdu_type, 0, 0xea, 3], body].concat()
}

/// A share data PDU (2.2.8.1.1.1.2).
pub(crate) fn share_data(pdu_type2: u8, body: &[u8]) -> Vec<u8> {
    let length = short(body.len()).to_le_bytes();
    let header = [&[0xea, 3, 1, 0, 0, 1], &length[..], &[pdu_type2, 0, 0, 0]].concat();
    share_control(7, &[&header, body].concat())
}

/// What every scripted client logs on with.
pub(crate) const PASSWORD: &str = "a secret";

/// The body of a Client Info PDU (2.2.1.11.1.1).
pub(crate) fn client_info(domain: &str, user: &str) -> Vec<u8> {
    let texts = [utf16(domain), utf16(user), utf16(PASSWORD), Vec::new(), Vec::new()];
    let mut body = [0x0409_u32.to_le_bytes(), 0x0001_073b_u32.to_le_bytes()].concat();
    texts.iter().for_each(|text| body.extend(short(text.len()).to_le_bytes()));
    texts.iter().for_each(|text| body.extend([&text[..], &[0, 0]].concat()));
    let address = utf16("192.0.2.7\0");
    body.extend([&[2, 0], &short(address.len()).to_le_bytes()[..], &address, &[2, 0, 0, 0]].concat());
    body.extend([0; 172 + 4 + 4 + 2]);
    body
}

/// The body of a Demand Active PDU with general and bitmap capabilities (2.2.1.13.1.1).
pub(crate) fn demand_active() -> Vec<u8> {
    let mut body = vec![1, 0, 1, 0, 4, 0, 36, 0];
    body.extend(b"RDP\0\x02\0\0\0");
    body.extend([1, 0, 8, 0, 1, 0, 3, 0]);
    body.extend([2, 0, 16, 0, 32, 0, 1, 0, 1, 0, 1, 0, 0, 5, 0x20, 3]);
    body.extend([0; 4]);
    body
}

/// The body of a Confirm Active PDU that answers it (2.2.1.13.2.1).
pub(crate) fn confirm_active() -> Vec<u8> {
    let demand = demand_active();
    [&demand[..4], &[0xea, 3], &demand[4..]].concat()
}

/// A license that is a License Error PDU: `STATUS_VALID_CLIENT` is 7 (2.2.1.12.1.3).
pub(crate) fn license_error(error_code: u8) -> Vec<u8> {
    vec![0xff, 3, 16, 0, error_code, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0]
}

/// A redirection packet with a target address, a routing token and a name (2.2.13.1).
pub(crate) fn redirection() -> Vec<u8> {
    let field = |bytes: &[u8]| [&u32::from(short(bytes.len())).to_le_bytes(), bytes].concat();
    let fields = [
        field(&utf16("192.0.2.8\0")),
        field(b"Cookie: msts=1.2.0\r\n"),
        field(&utf16("host.example.test\0")),
    ]
    .concat();
    let flags = 0x1_u32 | 0x2 | 0x100;
    [&[0, 4], &short(fields.len() + 12).to_le_bytes()[..], &[2, 0, 0, 0], &flags.to_le_bytes(), &fields]
        .concat()
}

/// A whole session in clear behind the X.224 exchange, from Connect-Initial to the ultimatum.
pub(crate) fn session(method: u8, level: u8) -> Vec<(Side, Vec<u8>)> {
    use Side::{Client, Server};
    vec![
        (Client, packet(&connect_initial("client"))),
        (Server, packet(&connect_response(method, level))),
        (Client, packet(&[4, 1, 0, 1, 0])),
        (Client, packet(&[0x28])),
        (Server, packet(&[0x2e, 0, 0, 6])),
        (Client, packet(&[0x38, 0, 6, 3, 0xeb])),
        (Server, packet(&[0x3e, 0, 0, 6, 3, 0xeb, 3, 0xeb])),
        secured(Client, IO, 0x40, &client_info("EXAMPLE", "anna")),
        secured(Server, MESSAGE, 0x1000, &[6, 0, 1, 0, 1, 0x10]),
        secured(Client, MESSAGE, 0x2000, &[6, 1, 1, 0, 0, 0]),
        secured(Server, IO, 0x80, &license_error(7)),
        secured(Server, MESSAGE, 0x02, &[[9, 0, 0, 0, 1, 0, 0, 0].as_slice(), &[0x5a; 16]].concat()),
        secured(Client, MESSAGE, 0x04, &[9, 0, 0, 0, 4, 0x40, 0, 0x80]),
        send(Server, IO, &share_control(1, &demand_active())),
        send(Client, IO, &share_control(3, &confirm_active())),
        send(Client, IO, &share_data(0x1f, &[1, 0, 0xea, 3])),
        send(Client, IO, &share_data(0x14, &[4, 0, 0, 0, 0, 0, 0, 0])),
        send(Client, IO, &share_data(0x27, &[0; 8])),
        send(Server, IO, &[share_data(0x1f, &[1, 0, 0xea, 3]), share_data(0x28, &[0; 8])].concat()),
        (Server, vec![0, 0x80, 5, 0xaa, 0xbb]),
        (Client, vec![4, 3, 0x55]),
        secured(Server, MESSAGE, 0x4000, &[0, 30, 3, 5]),
        send(Server, IO, &share_data(0x26, &[2, 0, 0, 0])),
        send(Server, IO, &share_control(10, &[&[0, 0], &redirection()[..]].concat())),
        send(Server, IO, &share_data(0x2f, &[0x0b, 0, 0, 0])),
        (Server, packet(&[0x21, 0x80])),
    ]
}
