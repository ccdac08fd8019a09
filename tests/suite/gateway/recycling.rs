//! Channels of RPC over HTTP that others replace while the session runs (MS-RPCH 3.2.1.5.3): one attempt, in which all bytes
//! arrive as they were sent and the session inside goes on.

use super::bad_input::{From, RPC_IN, passes};
use super::inner::account;
use super::{attempt, connections, left_out};
use crate::support::gateway::{PASSWORD, Setup, Tunnel, USER};
use crate::support::peers::FreeRdp;
use crate::support::rdpscope::Finished;
use std::collections::BTreeSet;
use tempfile::TempDir;

/// Bytes of an OUT channel of a gateway that is in a hurry.
const LIFETIME: u32 = 600;

/// A session over RPC whose OUT channel is replaced in its midst. FreeRDP changes channels and then stumbles over itself: it
/// reads the first PDU of the new one behind the last of the old, so that no desktop is to be had from it.
fn replaced(flags: &[&str]) -> Option<Finished> {
    if left_out(FreeRdp::Two) {
        return None;
    }
    let tunnel = Tunnel { channel_lifetime: Some(LIFETIME), ..Tunnel::default() };
    let (_, finished) = attempt(Setup { tunnel, ..Setup::default() }, flags, "rpc");
    let session = finished.session();
    session.assert_reached(&["gateway-tunnel", "gateway-channel", "x224"]);
    let replaced = session.event("channel_replaced");
    assert_eq!((&replaced["role"], &replaced["predecessor"]), (&"rpc_out".into(), &2.into()), "{replaced}");
    assert_eq!(replaced["connection"], 3, "{replaced}");
    let names: Vec<_> = session.events_named("rts").iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["OUT_R1/A2 or OUT_R2/A2", "OUT_R2/A6", "OUT_R2/A7", "OUT_R2/C1", "OUT_R2/B3"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert_eq!(session.end()["closed_by"], "client", "the old channel's end is nobody's leave:\n{session}");
    assert!(session.events_named("observation_stopped").is_empty(), "{session}");
    finished.assert_nowhere(PASSWORD);
    Some(finished)
}

/// On which connections something was changed.
fn rewritten_on(finished: &Finished) -> BTreeSet<u64> {
    let altered = finished.session().lines().iter().filter(|line| line["type"] == "altered");
    altered.filter_map(|line| line["connection"].as_u64()).collect()
}

#[test]
fn freerdp_changes_its_out_channel() {
    let Some(finished) = replaced(&[]) else { return };
    assert_eq!(rewritten_on(&finished), BTreeSet::new(), "{}", finished.session());
}

#[test]
fn tls_inside_that_is_terminated_goes_on_in_the_channel_that_replaces_another() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = account(&folder, USER, PASSWORD);
    let flags = ["--inner-cert", "fresh", "--gateway-credentials", &account];
    let Some(finished) = replaced(&flags) else { return };
    assert!(finished.session().events_named("not_altered").is_empty(), "{}", finished.session());
    assert_eq!(rewritten_on(&finished), BTreeSet::from([1, 2, 3]), "{}", finished.session());
}

fn longs(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// A PDU of connection-oriented RPC (C706 12.6.3.1).
fn pdu(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + body.len()).expect("a PDU is short").to_le_bytes();
    [&[5, 0, kind, flags, 0x10, 0, 0, 0][..], &length, &[0, 0], &call.to_le_bytes(), body].concat()
}

fn rts(flags: u16, commands: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(commands.len()).expect("a few").to_le_bytes();
    pdu(20, 3, 0, &[&flags.to_le_bytes()[..], &count, &commands.concat()].concat())
}

fn cookie(byte: u8) -> Vec<u8> {
    [longs(&[3]), vec![byte; 16]].concat()
}

/// TsProxySendToServer with some bytes of RDP (MS-TSGU 2.2.9.3).
fn sent(call: u32, rdp: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rdp.len()).expect("it is short");
    let counts = [length + 4, 1, length].map(u32::to_be_bytes).concat();
    pdu(0, 3, call, &[&longs(&[0, 9 << 16])[..], &[7; 20], &counts, rdp].concat())
}

const RPC_OUT: &[u8] =
    b"RPC_OUT_DATA /rpc/rpcproxy.dll?localhost:3388 HTTP/1.1\r\nHost: gw\r\nContent-Length: 120\r\n\r\n";
const GRANTED: &[u8] =
    b"HTTP/1.1 200 Success\r\nContent-Type: application/rpc\r\nContent-Length: 1073741824\r\n\r\n";
/// X.224 Connection Request and Confirm (MS-RDPBCGR 2.2.1.1, 2.2.1.2).
const REQUEST: [u8; 19] = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 1, 0, 0, 0];
const CONFIRM: [u8; 19] = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0];

/// An IN channel that is replaced at the same proxy and an OUT channel that is at another, in the middle of two PDUs of RDP.
#[test]
fn rdp_goes_on_in_the_channels_that_replace_others() {
    const WINDOW: u32 = 0x1_0000;
    let (client, gateway) = (From::Client, From::Gateway);
    let version = || longs(&[6, 1]);
    let (old_out, old_in, new_in, new_out) = (0, 1, 2, 3);
    let b1 = [
        version(),
        cookie(1),
        cookie(0xbb),
        longs(&[4, 0x4000_0000]),
        longs(&[5, 300_000]),
        [longs(&[12]), vec![2; 16]].concat(),
    ];
    let setup_pipe = pdu(0, 3, 8, &[&longs(&[20, 8 << 16])[..], &[7; 20]].concat());
    let piece = |flags: u8, rdp: &[u8]| pdu(2, flags, 8, &[&longs(&[0, 0]), rdp].concat());
    let steps = [
        (
            old_out,
            client,
            [RPC_OUT, &rts(0, &[version(), cookie(1), cookie(0xaa), longs(&[0, WINDOW])])].concat(),
        ),
        (old_out, gateway, [GRANTED, &rts(0, &[longs(&[2, 120_000])])].concat()),
        (old_in, client, [RPC_IN, &rts(0, &b1)].concat()),
        (old_out, gateway, rts(0, &[version(), longs(&[0, WINDOW]), longs(&[2, 120_000])])),
        (old_in, client, setup_pipe),
        (old_in, client, sent(9, &REQUEST[..7])),
        // IN_R2/A1, A4 and A5.
        (new_in, client, [RPC_IN, &rts(4, &[version(), cookie(1), cookie(0xbb), cookie(0xbc)])].concat()),
        (old_out, gateway, rts(0, &[longs(&[13, 0])])),
        (old_in, client, rts(0, &[cookie(0xbc)])),
        (new_in, client, sent(10, &REQUEST[7..])),
        (old_out, gateway, piece(1, &CONFIRM[..5])),
        // OUT_R1/A2, A3, A6, A7, A10 and A11.
        (old_out, gateway, rts(4, &[longs(&[13, 0])])),
        (
            new_out,
            client,
            [RPC_OUT, &rts(4, &[version(), cookie(1), cookie(0xaa), cookie(0xab), longs(&[0, WINDOW])])]
                .concat(),
        ),
        (new_out, gateway, GRANTED.to_vec()),
        (old_out, gateway, rts(0x10, &[longs(&[13, 0]), version(), longs(&[2, 120_000])])),
        (new_in, client, rts(0x10, &[longs(&[13, 1]), cookie(0xab)])),
        (old_out, gateway, rts(0, &[longs(&[10])])),
        (new_out, client, rts(0, &[longs(&[10])])),
        (new_out, gateway, piece(0, &CONFIRM[5..])),
    ];
    for size in [usize::MAX, 3] {
        let finished = passes(&[], size, &steps);
        let session = finished.session();
        assert_eq!(connections(session).len(), 4, "{session}");
        let replaced: Vec<_> = session.events_named("channel_replaced");
        let replaced: Vec<_> =
            replaced.iter().map(|it| (&it["role"], &it["connection"], &it["predecessor"])).collect();
        assert_eq!(
            replaced,
            [(&"rpc_in".into(), &3.into(), &2.into()), (&"rpc_out".into(), &4.into(), &1.into())]
        );
        let names: Vec<_> = session.events_named("rts").iter().filter_map(|it| it["name"].as_str()).collect();
        for name in [
            "IN_R1/A1 or IN_R2/A1",
            "IN_R2/A4",
            "IN_R1/A5 or IN_R2/A5",
            "OUT_R1/A2 or OUT_R2/A2",
            "OUT_R1/A3 or OUT_R2/A3",
            "OUT_R1/A6",
            "OUT_R1/A7",
            "OUT_R1/A10",
            "OUT_R1/A11",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        for whole in ["connection_request", "connection_confirm"] {
            assert_eq!(session.events_named(whole).len(), 1, "{whole}:\n{session}");
        }
    }
}
