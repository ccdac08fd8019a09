//! The changes in sessions that were recorded elsewhere, in the folder that `RDP_CAPTURES` names.

use super::*;
use crate::wire::tpkt::TPKT_HEADER_LENGTH;
use ironrdp_pdu::mcs::{ConnectInitial, ConnectResponse};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The recorded sessions of which a Connect Initial is known, each by the start of its file names.
fn sessions() -> Option<(PathBuf, Vec<String>)> {
    let Some(folder) = std::env::var_os("RDP_CAPTURES").map(PathBuf::from) else {
        eprintln!("left out: RDP_CAPTURES names no folder of captures");
        return None;
    };
    let entries = std::fs::read_dir(folder.join("bytes")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> =
        names.filter_map(|name| Some(name.strip_suffix(".connect_initial.bin")?.to_owned())).collect();
    assert!(!names.is_empty());
    Some((folder, names))
}

/// One reassembled stream, a JSON line for each piece.
fn stream(path: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(path).unwrap();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let side = if line["from"] == "client" { Side::Client } else { Side::Server };
        (side, bytes(line["hex"].as_str().unwrap()))
    };
    text.lines().map(step).collect()
}

/// The gate behind the recorded negotiation, what went by in it, and the steps that the gate is for.
fn after_negotiation(folder: &Path, name: &str, alterations: Alterations) -> (Gate, Run, Vec<Step>) {
    let read = |kind: &str| std::fs::read(folder.join(format!("bytes/{name}.{kind}.bin"))).unwrap();
    let (mut gate, mut run) = (Gate::for_negotiation(alterations), Run::default());
    let tcp = stream(&folder.join(format!("streams/{name}.tcp.jsonl")));
    let tls = folder.join(format!("streams/{name}.tls.jsonl"));
    if !tls.exists() {
        return (gate, run, tcp);
    }
    run.feed(&mut gate, Side::Client, &read("x224_cr"));
    let confirm = read("x224_cc");
    run.feed(&mut gate, Side::Server, &confirm);
    assert!(gate.is_open(Side::Client) && gate.is_open(Side::Server), "{name}");
    let Ok(Some((Tpdu::ConnectionConfirm(confirm), _))) = x224::decode(&confirm) else { panic!("{name}") };
    (gate.inside_tls(confirm.selected_protocol), run, stream(&tls))
}

/// The MCS PDU of the first message that has one of this tag.
fn connect_pdu(messages: &[Vec<u8>], tag: u8) -> &[u8] {
    let header = [2, 0xF0, 0x80, 0x7F, tag];
    let found = messages.iter().find(|message| message.get(TPKT_HEADER_LENGTH..9) == Some(&header[..]));
    &found.unwrap()[DATA_HEADER_LENGTH..]
}

#[test]
fn udp_is_off_in_every_recorded_session_and_nothing_else_changed() {
    let Some((folder, names)) = sessions() else { return };
    for name in names {
        for chunk in [1, 1000, usize::MAX] {
            let (gate, negotiation, steps) = after_negotiation(&folder, &name, UDP);
            assert_eq!(negotiation.notes, []);
            let run = Run::of(gate, &steps, chunk);
            if chunk == 1 {
                eprintln!("{name}: {:?}", run.changes());
            }
            run.differs_only_as_recorded();
            assert_eq!(run.reasons(), []);

            let initial: ConnectInitial = ironrdp_core::decode(connect_pdu(&run.messages[0], 0x65)).unwrap();
            let initial = initial.conference_create_request.into_gcc_blocks();
            let offered = initial.multi_transport_channel.map(|channel| channel.flags.bits());
            assert_eq!(offered.unwrap_or_default(), 0, "{name}");
            let response: ConnectResponse =
                ironrdp_core::decode(connect_pdu(&run.messages[1], 0x66)).unwrap();
            let response = response.conference_create_response.into_gcc_blocks();
            let answered = response.multi_transport_channel.map(|channel| channel.flags.bits());
            assert_eq!(answered.unwrap_or_default(), 0, "{name}");
            let changed = [offered, answered].into_iter().flatten().count();
            assert!(run.altered().len() <= changed, "{name}");
        }
    }
}

#[test]
fn every_recorded_connect_pdu_loses_the_flags_it_is_given() {
    let Some((folder, names)) = sessions() else { return };
    let mut changed = 0;
    for name in names {
        for (kind, side, tag) in
            [("initial", Side::Client, [0x0A, 0xC0]), ("response", Side::Server, [0x08, 0x0C])]
        {
            let mut recorded =
                std::fs::read(folder.join(format!("bytes/{name}.connect_{kind}.bin"))).unwrap();
            let block = recorded.windows(4).position(|window| window == [tag[0], tag[1], 8, 0]);
            let Some(flags) = block.map(|block| block + 4) else { continue };
            recorded[flags..flags + 4].copy_from_slice(&[5, 3, 0, 0]);
            let steps = [(side, recorded.clone())];
            let run = Run::of(Gate::for_negotiation(UDP).inside_tls(Some(1)), &steps, 11);
            let [change] = run.altered()[..] else { panic!("{name}: {:?}", run.notes) };
            assert_eq!((change.offset, change.before.as_str()), (flags, "05030000"), "{name}");
            recorded[flags..flags + 4].fill(0);
            assert_eq!(run.output(side), recorded, "{name}");
            changed += 1;
        }
    }
    assert!(changed > 0);
}

#[test]
fn recorded_requests_are_stripped_and_given_back() {
    let Some((folder, names)) = sessions() else { return };
    let mut given_back = 0;
    for name in names {
        let (gate, negotiation, mut steps) = after_negotiation(&folder, &name, STRIP);
        negotiation.differs_only_as_recorded();
        let Some(change) = negotiation.altered().first().copied().cloned() else { continue };
        assert_eq!(change.after, "01000000", "{name}");
        let stripped = negotiation.output(Side::Client);
        let Ok(Some((Tpdu::ConnectionRequest(request), _))) = x224::decode(&stripped) else {
            panic!("{name}")
        };
        assert_eq!(request.requested_protocol_names, ["SSL"], "{name}");

        // The recorded server repeats what was asked; one behind the gate repeats what it was asked.
        let recorded = steps.clone();
        let response = Run::of(Gate::for_negotiation(BOTH).inside_tls(Some(8)), &steps, usize::MAX);
        let pdu = connect_pdu(&response.messages[1], 0x66);
        let mcs::McsPdu::ConnectResponse(connect) = mcs::decode(pdu).unwrap() else { panic!("{name}") };
        let blocks = gcc::server_blocks(pdu, &connect).unwrap().blocks;
        let at = gcc::client_requested_protocols_offset(&blocks).unwrap() + DATA_HEADER_LENGTH;
        for (_, bytes) in steps.iter_mut().filter(|(side, _)| *side == Side::Server) {
            let header = bytes.windows(5).position(|window| window == [2, 0xF0, 0x80, 0x7F, 0x66]);
            if let Some(start) = header.map(|header| header - TPKT_HEADER_LENGTH) {
                assert_eq!(bytes[start + at..][..4], super::bytes(&change.before), "{name}");
                bytes[start + at..][..4].copy_from_slice(&super::bytes(&change.after));
            }
        }
        let run = Run::of(gate, &steps, 100);
        run.differs_only_as_recorded();
        let sent: Vec<u8> =
            recorded.into_iter().filter(|step| step.0 == Side::Server).flat_map(|step| step.1).collect();
        assert_eq!(run.altered().len(), 1, "{name}");
        assert!(run.output(Side::Server) == sent, "{name}: the client sees what it would have seen");
        given_back += 1;
    }
    assert!(given_back > 0);
}

#[test]
fn recorded_credssp_goes_on_one_message_at_a_time() {
    let Some((folder, names)) = sessions() else { return };
    for name in names {
        let (gate, _, steps) = after_negotiation(&folder, &name, NONE);
        let run = Run::of(gate, &steps, 3);
        run.differs_only_as_recorded();
        for number in 1..20 {
            for side in [Side::Client, Side::Server] {
                let path = folder.join(format!("bytes/{name}.ts_request_{number}.{side}.bin"));
                let Ok(message) = std::fs::read(path) else { continue };
                assert!(run.messages[side.index()].contains(&message), "{name}: TSRequest {number}");
            }
        }
    }
}
