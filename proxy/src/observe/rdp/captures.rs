//! The decoders against sessions that were recorded elsewhere, in the folder that `RDP_CAPTURES` names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::wire::gcc::{ClientData, ServerCertificate};

fn captures() -> Option<PathBuf> {
    let folder = std::env::var_os("RDP_CAPTURES").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("left out: RDP_CAPTURES names no folder of captures");
    }
    folder
}

type Step = (Side, Vec<u8>);

/// One reassembled stream, a JSON line for each piece.
fn stream(path: &Path) -> Vec<Step> {
    let text = std::fs::read_to_string(path).unwrap();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let side = if line["from"] == "client" { Side::Client } else { Side::Server };
        (side, hex::decode(line["hex"].as_str().unwrap()).unwrap())
    };
    text.lines().map(step).collect()
}

/// Removes the first `lengths` bytes of each side.
fn without_prefix(steps: Vec<Step>, mut lengths: [usize; 2]) -> Vec<Step> {
    let cut = |(side, mut bytes): Step| {
        let left = &mut lengths[side.index()];
        let gone = (*left).min(bytes.len());
        *left -= gone;
        bytes.drain(..gone);
        (side, bytes)
    };
    steps.into_iter().map(cut).collect()
}

/// Bytes of the CredSSP messages at the start of what `side` sent inside TLS.
fn credssp_length(steps: &[Step], side: Side) -> usize {
    let sent: Vec<u8> = steps.iter().filter(|step| step.0 == side).flat_map(|step| step.1.clone()).collect();
    let mut at = 0;
    while sent[at] == 0x30 {
        let count = if sent[at + 1] < 0x80 { 0 } else { usize::from(sent[at + 1] & 0x7F) };
        let long =
            sent[at + 2..at + 2 + count].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        at += 2 + count + if count == 0 { usize::from(sent[at + 1]) } else { long };
    }
    at
}

/// The TCP conversation with `port` in a pcapng file made on the loopback interface, where nothing is lost.
fn loopback(path: &Path, port: u16) -> Vec<Step> {
    let bytes = std::fs::read(path).unwrap();
    let mut reader = pcap_file::pcapng::PcapNgReader::new(&bytes[..]).unwrap();
    let mut steps = Vec::new();
    let mut next = [None; 2];
    while let Some(block) = reader.next_block() {
        let Ok((pcap_file::pcapng::Block::EnhancedPacket(packet), _)) = block else { continue };
        let sliced = etherparse::SlicedPacket::from_ethernet(&packet.data).unwrap();
        let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { continue };
        let side = if tcp.destination_port() == port { Side::Client } else { Side::Server };
        let payload = tcp.payload();
        let expected = next[side.index()].get_or_insert(tcp.sequence_number());
        if !payload.is_empty() && tcp.sequence_number() == *expected {
            steps.push((side, payload.to_vec()));
        }
        let end = tcp.sequence_number().wrapping_add(payload.len() as u32 + u32::from(tcp.syn()));
        if end.wrapping_sub(*expected) < 1 << 31 {
            *expected = end;
        }
    }
    steps
}

fn tpkt_length(steps: &[Step], side: Side) -> usize {
    let first = &steps.iter().find(|step| step.0 == side).unwrap().1;
    tpkt::tpkt_header(first).unwrap().unwrap().0
}

/// Steps behind the X.224 request and confirm.
fn after_x224(steps: Vec<Step>) -> Vec<Step> {
    let lengths = [tpkt_length(&steps, Side::Client), tpkt_length(&steps, Side::Server)];
    without_prefix(steps, lengths)
}

struct Session {
    observer: RdpObserver,
    messages: Vec<(Side, RdpMessage)>,
}

impl Session {
    fn of(steps: &[Step], encrypted_transport: bool) -> Session {
        let mut session = Session { observer: RdpObserver::new(encrypted_transport), messages: Vec::new() };
        for (side, bytes) in steps {
            let mut out = Vec::new();
            session.observer.data(*side, bytes, &mut out);
            session.messages.extend(out.into_iter().map(|message| (*side, message)));
        }
        session
    }

    fn names(&self) -> Vec<String> {
        let name = |message| serde_json::to_value(message).unwrap()["event"].as_str().unwrap().to_owned();
        self.messages.iter().map(|(_, message)| name(message)).collect()
    }

    fn count(&self, name: &str) -> u64 {
        self.names().iter().filter(|seen| *seen == name).count() as u64
    }

    fn client_data(&self) -> &ClientData {
        let find = |message: &'_ RdpMessage| matches!(message, RdpMessage::ConnectInitial(_));
        match &self.messages.iter().find(|(_, message)| find(message)).unwrap().1 {
            RdpMessage::ConnectInitial(data) => data,
            _ => unreachable!(),
        }
    }

    fn connect_response(&self) -> &ConnectResponse {
        let response = self.messages.iter().find_map(|(_, message)| match message {
            RdpMessage::ConnectResponse(response) => Some(response),
            _ => None,
        });
        response.unwrap()
    }

    fn agrees_with(&self, truth: &Value) {
        let (data, initial) = (self.client_data(), &truth["connect_initial"]);
        let core = data.core.as_ref().unwrap();
        assert_eq!(initial["client_build"], core.client_build);
        assert_eq!(initial["client_name"], core.client_name.as_str());
        assert_eq!(initial["desktop"][0], core.desktop_width);
        assert_eq!(initial["desktop"][1], core.desktop_height);
        assert_eq!(initial["keyboard_layout"], core.keyboard_layout);
        let version = format!("{}.{}", core.version.value >> 16, core.version.value & 0xFFFF);
        assert_eq!(initial["rdp_version"], version);
        let channels = &data.network.as_ref().unwrap().channels;
        let channels: Vec<_> = channels.iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(initial["channels"], serde_json::json!(channels));
        assert_eq!(data.faults, []);

        let response = self.connect_response();
        let security = response.data.security.as_ref().unwrap();
        assert_eq!(truth["connect_response"]["encryption_method"], security.encryption_method.value);
        assert_eq!(truth["connect_response"]["encryption_level"], security.encryption_level.value);
        assert_eq!((response.result.value, response.data.faults.len()), (0, 0));

        assert_eq!(truth["erectDomainRequest"], self.count("erect_domain_request"));
        assert_eq!(truth["attachUserRequest"], self.count("attach_user_request"));
        assert_eq!(truth["attachUserConfirm"], self.count("attach_user_confirm"));
        assert_eq!(truth["channelJoinRequest"], self.count("channel_join_request"));
        assert_eq!(truth["channelJoinConfirm"], self.count("channel_join_confirm"));
        assert_eq!(truth["disconnectProviderUltimatum"], self.count("disconnect_provider_ultimatum"));
    }
}

/// Every conversation of the truth with a Connect-Initial seen in `place`, by the name of its stream.
fn conversations(folder: &Path, place: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.join("truth")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let truth: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        for conversation in truth["conversations"].as_array().unwrap() {
            if conversation["rdp"]["connect_initial"]["seen_in"] == place {
                found.push((format!("{name}.{}", conversation["stream"]), conversation.clone()));
            }
        }
    }
    found
}

#[test]
fn sessions_in_clear_agree_with_what_another_decoder_saw() {
    let Some(folder) = captures() else { return };
    let found = conversations(&folder, "clear");
    assert!(!found.is_empty());
    for (name, truth) in found {
        let steps = after_x224(stream(&folder.join(format!("streams/{name}.tcp.jsonl"))));
        let session = Session::of(&steps, false);
        eprintln!("{name}: {:?}", session.names());
        session.agrees_with(&truth["rdp"]);
        assert_eq!(session.count("security_exchange"), 1);
        let encrypted_info = session.messages.iter().any(|(side, message)| {
            *side == Side::Client
                && matches!(message, RdpMessage::Encrypted { flags, .. } if flags.value & 0x48 == 0x48)
        });
        assert!(encrypted_info, "the Client Info PDU is noticed though it cannot be read");
        let certificate = &session.connect_response().data.security.as_ref().unwrap().certificate;
        assert_eq!(*certificate, Some(ServerCertificate::Proprietary { modulus_bits: Some(512) }));
    }
}

#[test]
fn decrypted_sessions_become_active_and_show_their_error_info() {
    let Some(folder) = captures() else { return };
    let found = conversations(&folder, "tls");
    assert!(!found.is_empty());
    for (name, truth) in found {
        let steps = stream(&folder.join(format!("streams/{name}.tls.jsonl")));
        let mut lengths = [credssp_length(&steps, Side::Client), credssp_length(&steps, Side::Server)];
        if truth["x224_selected_protocol"] == 8 {
            // The Early User Authorization Result stands between CredSSP and MCS.
            lengths[Side::Server.index()] += 4;
        }
        let session = Session::of(&without_prefix(steps, lengths), true);
        eprintln!("{name}: {:?}", session.names());
        session.agrees_with(&truth["rdp"]);
        assert_eq!((session.observer.phase(), session.count("client_info")), (Phase::Active, 1));
        assert_eq!(session.count("malformed"), 0);
        let codes = session.messages.iter().filter_map(|(_, message)| match message {
            RdpMessage::SetErrorInfo(info) => Some(format!("{:#010x}", info.error_info)),
            _ => None,
        });
        let expected = truth["derived"]["set_error_info"].as_array().cloned().unwrap_or_default();
        assert_eq!(codes.collect::<Vec<_>>(), expected);
        let core = session.client_data().core.as_ref().unwrap();
        assert_eq!(truth["x224_selected_protocol"], core.server_selected_protocol.unwrap());
        assert_eq!(
            truth["x224_requested_protocols"],
            session.connect_response().data.core.as_ref().unwrap().client_requested_protocols.unwrap()
        );
        let json = serde_json::to_string(&session.messages).unwrap();
        assert_eq!(serde_json::from_str::<Vec<(Side, RdpMessage)>>(&json).unwrap(), session.messages);
    }
}

#[test]
fn a_session_without_any_encryption_is_read_to_its_end() {
    let Some(folder) = captures() else { return };
    let steps = after_x224(loopback(&folder.join("lab/shadow-rdp-security.pcapng"), 13395));
    let session = Session::of(&steps, false);
    eprintln!("{:?}", session.names());
    assert_eq!((session.observer.phase(), session.count("malformed")), (Phase::Active, 0));
    for name in ["client_info", "license", "demand_active", "confirm_active", "font_list", "font_map"] {
        assert_eq!(session.count(name), 1, "{name}");
    }
    assert_eq!((session.count("channel_join_request"), session.count("encrypted")), (7, 0));
    assert_eq!(session.observer.counts(Side::Server).fast_path_pdus, 3);
    assert!(session.observer.counts(Side::Server).channel_pdus > 10);
}

#[test]
fn a_session_under_rc4_shows_its_kinds_and_its_licensing() {
    let Some(folder) = captures() else { return };
    let steps = after_x224(loopback(&folder.join("lab/xrdp-rdp-security-rdesktop.pcapng"), 13390));
    let session = Session::of(&steps, false);
    eprintln!("{:?}", session.names());
    assert_eq!((session.observer.phase(), session.count("malformed")), (Phase::Active, 0));
    assert_eq!((session.count("security_exchange"), session.count("channel_join_confirm")), (1, 7));
    let security = session.connect_response().data.security.as_ref().unwrap();
    assert_eq!(security.encryption_level.name.as_deref(), Some("ENCRYPTION_LEVEL_HIGH"));
}

fn pdu(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    bytes[tpkt::TPKT_HEADER_LENGTH..].strip_prefix(&X224_DATA).unwrap().to_vec()
}

fn messages(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("bytes")).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(kind)).collect();
    assert!(!found.is_empty());
    found
}

#[test]
fn connect_initials_read_like_ironrdp_reads_them() {
    let Some(folder) = captures() else { return };
    for path in messages(&folder, ".connect_initial.bin") {
        let pdu = pdu(&path);
        let McsPdu::ConnectInitial(connect) = mcs::decode(&pdu).unwrap() else { panic!("{path:?}") };
        let ours = gcc::client_data(&pdu, &connect).unwrap();
        let theirs = ironrdp_core::decode::<ironrdp_pdu::mcs::ConnectInitial>(&pdu).unwrap();
        let theirs = theirs.conference_create_request.gcc_blocks();
        let core = ours.core.as_ref().unwrap();
        let optional = &theirs.core.optional_data;
        assert_eq!(core.version.value, theirs.core.version.0);
        assert_eq!(core.client_name, theirs.core.client_name);
        assert_eq!(core.client_build, theirs.core.client_build);
        assert_eq!(core.keyboard_type, theirs.core.keyboard_type.0);
        assert_eq!(
            (core.desktop_width, core.desktop_height),
            (theirs.core.desktop_width, theirs.core.desktop_height)
        );
        assert_eq!(
            core.early_capability_flags.as_ref().map(|flags| flags.value),
            optional.early_capability_flags.map(|flags| flags.bits().into())
        );
        assert_eq!(
            core.server_selected_protocol,
            optional.server_selected_protocol.map(|protocol| protocol.bits())
        );
        assert_eq!(core.desktop_scale_factor, optional.desktop_scale_factor);
        assert_eq!(core.device_scale_factor, optional.device_scale_factor);
        assert_eq!(
            ours.security.unwrap().encryption_methods.value,
            theirs.security.encryption_methods.bits(),
        );
        let options = theirs.channel_names().unwrap_or_default();
        let ours_options = ours.network.map(|network| network.channels).unwrap_or_default();
        assert_eq!(
            ours_options.iter().map(|channel| channel.options.value).collect::<Vec<_>>(),
            options.iter().map(|channel| channel.options.bits()).collect::<Vec<_>>()
        );
        assert_eq!(
            ours.multitransport_flags.map(|flags| flags.value),
            theirs.multi_transport_channel.as_ref().map(|channel| channel.flags.bits())
        );
        assert_eq!(ours.message_channel, theirs.message_channel.is_some());
        assert_eq!(
            ours.cluster.map(|cluster| cluster.redirected_session_id.unwrap_or_default()),
            theirs.cluster.as_ref().map(|cluster| cluster.redirected_session_id)
        );
    }
}

#[test]
fn connect_responses_read_like_ironrdp_reads_them() {
    let Some(folder) = captures() else { return };
    for path in messages(&folder, ".connect_response.bin") {
        let pdu = pdu(&path);
        let McsPdu::ConnectResponse(connect) = mcs::decode(&pdu).unwrap() else { panic!("{path:?}") };
        let ours = gcc::server_data(&pdu, &connect).unwrap();
        let theirs = ironrdp_core::decode::<ironrdp_pdu::mcs::ConnectResponse>(&pdu).unwrap();
        let theirs = theirs.conference_create_response.gcc_blocks();
        let core = ours.core.as_ref().unwrap();
        assert_eq!(core.version.value, theirs.core.version.0);
        let requested =
            theirs.core.optional_data.client_requested_protocols.map(|protocols| protocols.bits());
        assert_eq!(core.client_requested_protocols, requested);
        let network = ours.network.as_ref().unwrap();
        assert_eq!(
            (network.io_channel_id, &network.channel_ids),
            (theirs.network.io_channel, &theirs.network.channel_ids)
        );
        let security = ours.security.as_ref().unwrap();
        assert_eq!(security.encryption_method.value, theirs.security.encryption_method.bits());
        assert_eq!(
            security.server_random_length.is_some_and(|length| length > 0),
            theirs.security.server_random.is_some()
        );
        assert_eq!(
            ours.message_channel_id,
            theirs.message_channel.as_ref().map(|channel| channel.mcs_message_channel_id)
        );
        assert_eq!(
            ours.multitransport_flags.as_ref().map(|flags| flags.value),
            theirs.multi_transport_channel.as_ref().map(|channel| channel.flags.bits())
        );
        let at = gcc::client_requested_protocols_offset(&ours.blocks).map(|at| pdu[at..at + 4].to_vec());
        assert_eq!(at, core.client_requested_protocols.map(|value| value.to_le_bytes().to_vec()));
    }
}
