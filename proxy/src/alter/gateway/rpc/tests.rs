use super::*;
use crate::wire::rpch::encode::{
    SIGNED, Trailer, conn_a1, conn_b1, context, cookie, longs, pdu, request, response, rts, send_to_server,
    shorts, version,
};
use crate::wire::rpch::tsproxy::{CREATE_TUNNEL, MAKE_TUNNEL_CALL};
use proptest::prelude::{any, prop, proptest};

/// The connections of the two channels.
const OUT: Lane = 0;
const IN: Lane = 1;

const CREATE: &[u8] = &[1; 40];
const WINDOW: u32 = 0x1_0000;
const PRIVATE: Trailer<'static> = Some((9, 6, &[0xa5; 16]));

/// Numbers what each side signs.
#[derive(Debug, Default)]
struct Counting([u8; 2]);

impl Signatures for Counting {
    fn token(&mut self, from: Side, signed: &[u8]) -> Token {
        assert_eq!(signed.len() % 4, 0);
        self.0[from.index()] += 1;
        let mut token = [0xa5; 16];
        // The first that the client signs is as [`SIGNED`] has it.
        if from == Side::Server || self.0[0] > 1 {
            token[0] = self.0[from.index()];
        }
        token
    }
}

#[derive(Debug)]
struct Account(Result<(), &'static str>);

impl CallKeys for Account {
    fn signatures(&self, authenticate: &[u8]) -> Result<Box<dyn Signatures>, String> {
        assert_eq!(authenticate, b"NTLMSSP3");
        self.0.map(|()| Box::<Counting>::default() as Box<dyn Signatures>).map_err(str::to_owned)
    }
}

fn take(
    tunnel: &mut RpcTunnel,
    from: Side,
    bytes: &[u8],
    keys: Option<&dyn CallKeys>,
) -> Result<Vec<Split>, String> {
    let mut out = Vec::new();
    let (header, _) = Header::decode(bytes).unwrap().expect("a header");
    assert_eq!(header.length(), bytes.len());
    let begins_out =
        Rts::decode(bytes).is_ok_and(|rts| rts::is_rts(&header) && rts.receive_window().is_some());
    let lane = if from == Side::Server || begins_out { OUT } else { IN };
    tunnel.take((lane, from), (header, bytes), keys, &mut out).map(|()| out)
}

/// The same of an RTS PDU on this connection, which goes on as it is.
fn passes(tunnel: &mut RpcTunnel, lane: Lane, from: Side, bytes: &[u8]) {
    let (mut out, (header, _)) = (Vec::new(), Header::decode(bytes).unwrap().expect("a header"));
    tunnel.take((lane, from), (header, bytes), None, &mut out).unwrap();
    assert_eq!(out, [Split::Other(bytes.to_vec())]);
}

/// What goes on of what `from` sends; the RDP in it.
fn pass(tunnel: &mut RpcTunnel, from: Side, bytes: &[u8]) -> Vec<Split> {
    take(tunnel, from, bytes, None).unwrap()
}

fn bind(trailer: Trailer<'_>) -> Vec<u8> {
    pdu(rpc::BIND, 3, 1, &[&shorts(&[4088, 4000])[..], &[0; 8]].concat(), trailer)
}

fn conn_c2() -> Vec<u8> {
    rts(0, &[version(), longs(&[0, WINDOW]), longs(&[2, 120_000])])
}

fn begun(trailer: Trailer<'_>, keys: Option<&dyn CallKeys>) -> Result<RpcTunnel, String> {
    let mut tunnel = RpcTunnel::default();
    for (from, bytes) in [
        (Side::Client, conn_a1(1)),
        (Side::Client, conn_b1(1)),
        (Side::Server, conn_c2()),
        (Side::Client, bind(trailer.map(|(who, level, _)| (who, level, &b"NTLMSSP1"[..])))),
        (Side::Server, pdu(rpc::BIND_ACK, 3, 1, &[&shorts(&[4088, 4088])[..], &[0; 8]].concat(), None)),
        (
            Side::Client,
            pdu(rpc::AUTH_3, 3, 1, &[0; 4], trailer.map(|(who, level, _)| (who, level, &b"NTLMSSP3"[..]))),
        ),
    ] {
        assert_eq!(take(&mut tunnel, from, &bytes, keys)?, [Split::Other(bytes)]);
    }
    let create = request(3, 2, CREATE_TUNNEL, CREATE, trailer);
    assert_eq!(take(&mut tunnel, Side::Client, &create, keys)?, [Split::Other(create)]);
    Ok(tunnel)
}

fn read(bytes: &[u8]) -> Vec<Pdu<'_>> {
    let mut rest = bytes;
    let mut pdus = Vec::new();
    while let Some((header, _)) = Header::decode(rest).unwrap() {
        let (pdu, behind) = rest.split_at(header.length());
        pdus.push(Pdu::decode(header, pdu).unwrap());
        rest = behind;
    }
    pdus
}

fn numbers(bytes: &[u8]) -> Vec<(u32, u8)> {
    read(bytes).iter().map(|pdu| (pdu.header.call_id, pdu.header.flags)).collect()
}

fn bytes_of(splits: Vec<Split>) -> Vec<u8> {
    let [Split::Other(bytes)] = &splits[..] else { panic!("{splits:?}") };
    bytes.clone()
}

#[test]
fn calls_with_rdp_end_here_and_others_go_on_under_other_numbers() {
    let mut tunnel = begun(None, None).unwrap();
    assert!(tunnel.ends_calls());
    let answer = response(3, 2, &longs(&[0]), None);
    assert_eq!(pass(&mut tunnel, Side::Server, &answer), [Split::Other(answer)]);
    let pipe = request(3, 3, SETUP_RECEIVE_PIPE, &context(), None);
    assert_eq!(pass(&mut tunnel, Side::Client, &pipe), [Split::Other(pipe)]);

    let stub = send_to_server(&[b"Cookie", b": a"]);
    let (first, last) = stub.split_at(30);
    assert_eq!(pass(&mut tunnel, Side::Client, &request(1, 4, SEND_TO_SERVER, first, None)), []);
    let whole = pass(&mut tunnel, Side::Client, &request(2, 4, SEND_TO_SERVER, last, None));
    assert_eq!(whole, [Split::Data(b"Cookie: a".to_vec())]);
    assert_eq!(numbers(&tunnel.take_drafts(Side::Server)), [(4, 3)], "it is answered here");

    let ours = tunnel.wrap(Side::Client, &[7; 5000]);
    assert_eq!(numbers(&ours), [(4, 3), (5, 3)], "one has no room for it");
    let carried: Vec<u8> = read(&ours)
        .iter()
        .flat_map(|pdu| match &pdu.body {
            Body::Request { opnum: SEND_TO_SERVER, stub } => tsproxy::sent_to_server(stub).unwrap().concat(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(carried, [7; 5000]);
    assert_eq!(pass(&mut tunnel, Side::Server, &response(3, 4, &longs(&[0]), None)), [], "ours are answered");
    assert_eq!(pass(&mut tunnel, Side::Server, &response(3, 5, &longs(&[0]), None)), []);

    let asked = bytes_of(pass(&mut tunnel, Side::Client, &request(3, 5, MAKE_TUNNEL_CALL, &context(), None)));
    assert_eq!(numbers(&asked), [(6, 3)]);
    let told = bytes_of(pass(&mut tunnel, Side::Server, &response(3, 6, &[0; 8], None)));
    assert_eq!(numbers(&told), [(5, 3)]);
    assert_eq!(tunnel.take_rewritten(Side::Client, IN), [1, 2]);
}

#[test]
fn the_receive_pipe_is_written_anew_and_ends_behind_the_last_rdp() {
    let mut tunnel = begun(None, None).unwrap();
    pass(&mut tunnel, Side::Client, &request(3, 3, SETUP_RECEIVE_PIPE, &context(), None));
    for flags in [1, 0] {
        let came = pass(&mut tunnel, Side::Server, &response(flags, 3, b"from the target", None));
        assert_eq!(came, [Split::Data(b"from the target".to_vec())]);
    }
    assert_eq!(numbers(&tunnel.wrap(Side::Server, &[1; 4500])), [(3, 1), (3, 0)]);
    assert_eq!(numbers(&tunnel.wrap(Side::Server, b"more")), [(3, 0)]);
    let end = pass(&mut tunnel, Side::Server, &response(2, 3, &longs(&[0]), None));
    assert_eq!(end, [Split::End(Vec::new())]);
    assert_eq!(numbers(&tunnel.wrap(Side::Server, b"last")), [(3, 0)]);
    assert_eq!(numbers(&tunnel.take_behind(Side::Server)), [(3, 2)]);

    let mut silent = begun(None, None).unwrap();
    pass(&mut silent, Side::Client, &request(3, 3, SETUP_RECEIVE_PIPE, &context(), None));
    pass(&mut silent, Side::Server, &response(1, 3, b"from the target", None));
    pass(&mut silent, Side::Server, &response(2, 3, &longs(&[0]), None));
    assert_eq!(numbers(&silent.take_behind(Side::Server)), [(3, 3)], "nothing of it was written before");
}

#[test]
fn what_is_signed_is_signed_in_the_order_in_which_it_is_written() {
    let mut tunnel = begun(SIGNED, Some(&Account(Ok(())))).unwrap();
    let tokens = |bytes: &[u8]| -> Vec<u8> {
        let starts: Vec<usize> = read(bytes)
            .iter()
            .scan(0, |at, pdu| {
                *at += pdu.header.length();
                Some(*at - 16)
            })
            .collect();
        starts.into_iter().map(|at| bytes[at]).collect()
    };
    pass(&mut tunnel, Side::Client, &request(3, 3, SETUP_RECEIVE_PIPE, &context(), SIGNED));
    pass(&mut tunnel, Side::Client, &request(3, 4, SEND_TO_SERVER, &send_to_server(&[b"a"]), SIGNED));
    assert_eq!(tokens(&tunnel.wrap(Side::Client, &[7; 5000])), [3, 4]);
    let asked =
        bytes_of(pass(&mut tunnel, Side::Client, &request(3, 5, MAKE_TUNNEL_CALL, &context(), SIGNED)));
    assert_eq!(tokens(&asked), [5]);
    let told = bytes_of(pass(&mut tunnel, Side::Server, &response(3, 2, &longs(&[0]), SIGNED)));
    assert_eq!(tokens(&told), [1]);
    let close = pass(&mut tunnel, Side::Client, &request(3, 6, CLOSE_CHANNEL, &context(), SIGNED));
    assert_eq!(close, [Split::End(Vec::new())]);
    assert_eq!(tokens(&tunnel.wrap(Side::Client, b"last")), [6]);
    assert_eq!(tokens(&tunnel.take_behind(Side::Client)), [7], "behind the last RDP");
    assert_eq!(tokens(&tunnel.take_drafts(Side::Server)), [2]);
}

#[test]
fn why_calls_cannot_be_rewritten_is_a_sentence_and_all_goes_on_as_it_is() {
    let wrong = Trailer::Some((10, 5, &[0; 16]));
    for (trailer, account, told) in [
        (SIGNED, None, "signs its calls to the gateway with a key that only those two know"),
        (SIGNED, Some(Account(Err("an older NTLM"))), "an older NTLM; --gateway-transport"),
        (wrong, Some(Account(Ok(()))), "another password"),
        (PRIVATE, Some(Account(Ok(()))), "RPC_C_AUTHN_LEVEL_PKT_PRIVACY"),
    ] {
        let keys = account.as_ref().map(|account| account as &dyn CallKeys);
        let reason = begun(trailer, keys).err().expect("it cannot be rewritten");
        assert!(reason.contains(told) && reason.contains("--gateway-transport"), "{reason}");
    }
    let mut tunnel = RpcTunnel::default();
    take(&mut tunnel, Side::Client, &bind(SIGNED), None).unwrap();
    let mut out = Vec::new();
    let create = request(3, 2, CREATE_TUNNEL, CREATE, SIGNED);
    let (header, _) = Header::decode(&create).unwrap().expect("a header");
    assert!(tunnel.take((IN, Side::Client), (header, &create), None, &mut out).is_err());
    assert_eq!(out, [Split::Other(create)]);
    let call = request(3, 3, SEND_TO_SERVER, &send_to_server(&[b"a"]), SIGNED);
    assert_eq!(pass(&mut tunnel, Side::Client, &call), [Split::Other(call)]);
    assert!(tunnel.is_open());
}

#[test]
fn either_window_is_kept_and_no_side_hears_of_the_others() {
    let ack = |received: u32| {
        let command = [longs(&[1, received, WINDOW]), vec![0xcc; 16]].concat();
        rts(2, &[longs(&[13, 0]), command])
    };
    let mut tunnel = begun(None, None).unwrap();
    pass(&mut tunnel, Side::Client, &request(3, 3, SETUP_RECEIVE_PIPE, &context(), None));
    pass(&mut tunnel, Side::Client, &request(3, 4, SEND_TO_SERVER, &send_to_server(&[b"a"]), None));
    for side in [Side::Client, Side::Server] {
        let room = tunnel.room(side);
        assert!((40_000..WINDOW as usize).contains(&room), "{side}: {room}");
        let written = tunnel.wrap(side, &vec![0; room]);
        assert!(written.len() < WINDOW as usize);
        assert_eq!(tunnel.room(side), 0);
        assert_eq!(pass(&mut tunnel, side.opposite(), &ack(written.len() as u32)), [], "it is for us");
        assert!(tunnel.room(side) > 0);
    }
    for _ in 0..10 {
        pass(&mut tunnel, Side::Server, &response(0, 3, &[0; 4000], None));
    }
    tunnel.taken(Side::Server);
    let told = tunnel.take_drafts(Side::Client);
    let told = Rts::decode(&told).unwrap();
    assert!(told.sends_up_to().is_some_and(|(_, up_to)| up_to > 40_000 + WINDOW), "{told:?}");
    tunnel.taken(Side::Server);
    assert!(tunnel.take_drafts(Side::Client).is_empty(), "not twice");
}

const NEW: Lane = 2;

fn ack_of(channel: u8, received: u32) -> Vec<u8> {
    rts(2, &[longs(&[13, 0]), [longs(&[1, received, WINDOW]), vec![channel; 16]].concat()])
}

#[test]
fn an_out_channel_is_left_behind_its_last_pdu_and_its_window_with_it() {
    for last in [rts(0, &[longs(&[10])]), rts(0x20, &[longs(&[10])])] {
        let mut tunnel = begun(None, None).unwrap();
        pass(&mut tunnel, Side::Client, &request(3, 3, SETUP_RECEIVE_PIPE, &context(), None));
        pass(&mut tunnel, Side::Server, &response(1, 3, b"from the target", None));
        let room = tunnel.room(Side::Server);
        tunnel.wrap(Side::Server, &vec![0; room]);
        let a3 = rts(4, &[version(), cookie(1), cookie(0xaa), cookie(0xdd), longs(&[0, WINDOW])]);
        passes(&mut tunnel, NEW, Side::Client, &a3);
        passes(&mut tunnel, IN, Side::Client, &rts(0x10, &[longs(&[13, 1]), cookie(0xdd), version()]));
        assert!(
            tunnel.is_carried_by(Side::Server, OUT) && tunnel.room(Side::Server) == 0,
            "it is yet to end"
        );
        passes(&mut tunnel, OUT, Side::Server, &last);
        assert!(tunnel.is_carried_by(Side::Server, NEW) && !tunnel.is_carried_by(Side::Server, OUT));
        assert_eq!(tunnel.room(Side::Server), room, "a new window");
        pass(&mut tunnel, Side::Client, &ack_of(0xaa, 0));
        assert_eq!(tunnel.room(Side::Server), room, "about the channel before");
        tunnel.wrap(Side::Server, &vec![0; room]);
        pass(&mut tunnel, Side::Client, &ack_of(0xdd, WINDOW));
        assert!(tunnel.room(Side::Server) > 0);
        assert_eq!(tunnel.take_rewritten(Side::Server, OUT)[0], 1);
        assert_eq!(tunnel.take_rewritten(Side::Server, NEW)[0], 0);
        assert!(tunnel.is_carried_by(Side::Client, IN));
    }
}

#[test]
fn an_in_channel_is_left_behind_its_last_pdu_and_its_window_with_it() {
    let same_proxy = rts(0, &[longs(&[13, 0])]);
    let another = rts(0, &[longs(&[13, 0]), version(), longs(&[0, 2 * WINDOW]), longs(&[2, 120_000])]);
    for (a4, times) in [(same_proxy, 1), (another, 2)] {
        let mut tunnel = begun(None, None).unwrap();
        pass(&mut tunnel, Side::Client, &request(3, 4, SEND_TO_SERVER, &send_to_server(&[b"a"]), None));
        let room = tunnel.room(Side::Client);
        tunnel.wrap(Side::Client, &vec![0; room]);
        passes(&mut tunnel, NEW, Side::Client, &rts(4, &[version(), cookie(1), cookie(0xbb), cookie(0xdd)]));
        passes(&mut tunnel, OUT, Side::Server, &a4);
        assert!(tunnel.is_carried_by(Side::Client, IN) && tunnel.room(Side::Client) == 0, "it is yet to end");
        passes(&mut tunnel, IN, Side::Client, &rts(0, &[cookie(0xdd)]));
        assert!(tunnel.is_carried_by(Side::Client, NEW));
        assert!(tunnel.room(Side::Client) >= times * room, "{times}");
        assert_eq!(pass(&mut tunnel, Side::Server, &ack_of(0xbb, 0)), [], "about the channel before");
        assert!(tunnel.room(Side::Client) >= times * room, "{times}");
        let stub = send_to_server(&[b"b"]);
        let next = request(3, 5, SEND_TO_SERVER, &stub, None);
        let (mut out, (header, _)) = (Vec::new(), Header::decode(&next).unwrap().expect("a header"));
        tunnel.take((NEW, Side::Client), (header, &next), None, &mut out).unwrap();
        assert_eq!(out, [Split::Data(b"b".to_vec())]);
    }
}

proptest! {
    #[test]
    fn pdus_are_cut_in_any_pieces(
        lengths in prop::collection::vec(0_usize..300, 1..20),
        pieces in prop::collection::vec(1_usize..100, 1..20),
        garbage in any::<bool>(),
    ) {
        let sent: Vec<Vec<u8>> = lengths.iter().map(|length| response(3, 1, &vec![7; *length], None)).collect();
        let all = [sent.concat(), if garbage { vec![9; 40] } else { Vec::new() }].concat();
        let (mut cutter, mut got, mut behind) = (Cutter::default(), Vec::new(), None);
        let mut rest = &all[..];
        for length in pieces.iter().cycle() {
            if rest.is_empty() || behind.is_some() {
                break;
            }
            let (piece, others) = rest.split_at((*length).min(rest.len()));
            rest = others;
            behind = cutter.cut(piece, |_, pdu| got.push(pdu.to_vec())).err();
        }
        assert_eq!(got, sent);
        assert_eq!(behind.is_some(), garbage);
        if let Some((left, _)) = behind {
            assert_eq!([left, rest.to_vec()].concat(), [9; 40]);
        }
    }
}
