//! Sessions that others recorded, and those of the lab, with what is known of them.

// The reader of capture files belongs to all test programs; the observer of UDP has it, too.
#[allow(clippy::duplicate_mod)]
#[path = "../../../../tests/support/pcap.rs"]
mod pcap;

use super::script::Script;
use super::{Diagnosis, may_also_be};
use crate::trace::{Confidence, How, Side, VerdictId};
use pcap::Transport;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// One conversation of the ground truth, its bytes, and its end.
fn stream(folder: &Path, name: &str, index: usize) -> Script {
    let text = |file: String| std::fs::read_to_string(folder.join(file)).unwrap();
    let truth: Value = serde_json::from_str(&text(format!("truth/{name}.json"))).unwrap();
    let conversation = &truth["conversations"][index];
    let mut script = Script::connected_at(truth["first_frame_utc"].as_str().unwrap());
    for line in text(format!("streams/{name}.{index}.tcp.jsonl")).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let from = if line["from"] == "client" { Side::Client } else { Side::Server };
        let bytes = hex::decode(line["hex"].as_str().unwrap()).unwrap();
        script = script.at(line["t_us"].as_u64().unwrap_or_default()).bytes(from, &bytes);
    }
    for end in conversation["end_of_stream"].as_str().unwrap().split(", ") {
        script = match end {
            "client FIN" => script.end(Side::Client, How::Fin),
            "client RST" => script.end(Side::Client, How::Reset),
            "server FIN" => script.end(Side::Server, How::Fin),
            "server RST" => script.end(Side::Server, How::Reset),
            _ => script,
        };
    }
    script
}

/// Every TCP conversation of a capture file with a server on `port`, in the order in which they began.
fn conversations(file: &Path, port: u16) -> Vec<Script> {
    let mut order = Vec::new();
    let mut conversations: BTreeMap<SocketAddr, Conversation> = BTreeMap::new();
    for packet in pcap::packets(file) {
        let from_client = packet.destination.port() == port;
        if !from_client && packet.source.port() != port {
            continue;
        }
        let client = if from_client { packet.source } else { packet.destination };
        if !conversations.contains_key(&client) {
            order.push(client);
        }
        let side = if from_client { Side::Client } else { Side::Server };
        conversations.entry(client).or_default().packet(side, &packet);
    }
    order.iter().filter_map(|client| conversations.remove(client)).map(|it| it.script.unwrap()).collect()
}

/// A TCP connection put together again. What arrives out of order waits.
struct Conversation {
    script: Option<Script>,
    next: [Option<u32>; 2],
    early: [BTreeMap<u32, Vec<u8>>; 2],
    ended: [bool; 2],
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation {
            script: Some(Script::connected()),
            next: [None; 2],
            early: Default::default(),
            ended: [false; 2],
        }
    }
}

impl Conversation {
    fn packet(&mut self, from: Side, packet: &pcap::Packet) {
        let Transport::Tcp { sequence, syn, fin, rst } = packet.transport else { return };
        let side = from.index();
        let next = *self.next[side].get_or_insert(if syn { sequence.wrapping_add(1) } else { sequence });
        if !packet.payload.is_empty() && sequence.wrapping_sub(next) < u32::MAX / 2 {
            self.early[side].insert(sequence, packet.payload.clone());
        }
        let mut script = self.script.take().unwrap().at(packet.t_us);
        while let Some(bytes) = self.next[side].and_then(|next| self.early[side].remove(&next)) {
            self.next[side] = self.next[side].map(|next| next.wrapping_add(bytes.len() as u32));
            script = script.bytes(from, &bytes);
        }
        if (fin || rst) && !std::mem::replace(&mut self.ended[side], true) {
            script = script.end(from, if rst { How::Reset } else { How::Fin });
        }
        self.script = Some(script);
    }
}

/// Fails unless the session has this verdict.
#[track_caller]
fn assert_session(what: &str, diagnosis: &Diagnosis, id: VerdictId, confidence: Confidence) {
    let verdict = &diagnosis.verdict;
    assert_eq!((verdict.id, verdict.confidence), (id, confidence), "{what}: {verdict:#?}");
    // They were recorded without rdpscope: there is nothing to be done to it.
    let told = verdict.fix.iter().map(|fix| fix.text.as_str()).find(|text| text.contains("out rdpscope"));
    assert_eq!(told, None, "{what}");
}

#[test]
fn recorded_sessions_have_the_verdict_that_is_known_of_them() {
    let Some(folder) = pcap::folder("recorded_sessions_have_the_verdict_that_is_known_of_them") else {
        return;
    };
    let likely = Confidence::Likely;
    for (name, index, id, confidence) in [
        ("awakecoding-wireshark-rdp__freerdp-test.pcapng", 0, VerdictId::Healthy, likely),
        ("awakecoding-wireshark-rdp__rdp-nla-kerberos-auth1.pcapng", 0, VerdictId::Healthy, likely),
        ("awakecoding-wireshark-rdp__rdp-no-nla-accepted1.pcapng", 0, VerdictId::Healthy, likely),
        // The server ended it with an error info that only a key would show; so far it looked like any other.
        ("awakecoding-wireshark-rdp__rdp-restricted-admin-rejected1.pcapng", 0, VerdictId::Healthy, likely),
        (
            "microsoft-prot-od-netcaps__MS-RDSOD_Example_1_Win10RS3_x64_WS2016RS1_X64_Domain.pcap",
            0,
            VerdictId::Healthy,
            likely,
        ),
        ("zeek__rdp-to-ssl.pcap", 1, VerdictId::Healthy, likely),
        ("zeek__rdp-proprietary-encryption.pcap", 1, VerdictId::Healthy, Confidence::Confirmed),
        ("zeek__rdp-proprietary-encryption.pcap", 0, VerdictId::TlsRefusedByServer, Confidence::Confirmed),
        (
            "awakecoding-wireshark-rdp__rdp-no-nla-rejected1.pcapng",
            0,
            VerdictId::NlaRequired,
            Confidence::Confirmed,
        ),
        (
            "awakecoding-wireshark-rdp__rdp-nla-ntlm-rejected1.pcapng",
            1,
            VerdictId::NlaRequired,
            Confidence::Confirmed,
        ),
        // The status 0x80090302 is inside TLS.
        ("awakecoding-wireshark-rdp__rdp-nla-ntlm-rejected1.pcapng", 0, VerdictId::ClientClosed, likely),
        ("zeek__rdp-to-ssl.pcap", 0, VerdictId::ClientClosed, likely),
        // The files end before the sessions do.
        ("ndpi__rdp.pcap", 0, VerdictId::ClientClosed, Confidence::Possible),
        ("freerdp-old__rdp_tls_ntlmssp_access_denied.pcap", 0, VerdictId::ClientClosed, Confidence::Possible),
    ] {
        let diagnosis = stream(&folder, name, index).diagnose();
        assert_session(name, &diagnosis, id, confidence);
    }
}

#[test]
fn a_recorded_client_that_asked_its_user_and_came_back() {
    let Some(folder) = pcap::folder("a_recorded_client_that_asked_its_user_and_came_back") else { return };
    let script = stream(&folder, "zeek__rdp-to-ssl.pcap", 0).and_came_back();
    assert_session("rdp-to-ssl 0", &script.diagnose(), VerdictId::ClientPrompted, Confidence::Likely);
}

#[test]
fn sessions_of_other_protocols_over_tls_are_not_judged_by_what_cannot_be_seen() {
    let name = "sessions_of_other_protocols_over_tls_are_not_judged_by_what_cannot_be_seen";
    let Some(folder) = pcap::folder(name) else { return };
    let gateway = "awakecoding-wireshark-rdp__rdp-rdg-no-kdc-proxy-ntlm-downgrade-failure.pcapng";
    let diagnosis = stream(&folder, gateway, 0).diagnose();
    assert_session(gateway, &diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    assert!(!may_also_be(&diagnosis, VerdictId::CertificateRejected));
}

/// The verdicts of all conversations of a lab capture.
fn lab(folder: &Path, name: &str, port: u16) -> Vec<Diagnosis> {
    let file = folder.join("lab").join(format!("{name}.pcapng"));
    conversations(&file, port).into_iter().map(Script::diagnose).collect()
}

#[test]
fn sessions_of_the_lab_have_the_verdict_that_is_known_of_them() {
    let Some(folder) = pcap::folder("sessions_of_the_lab_have_the_verdict_that_is_known_of_them") else {
        return;
    };
    let likely = Confidence::Likely;
    for (name, port, id, confidence) in [
        ("iron-hybrid-ex-ok", 13415, VerdictId::Healthy, likely),
        ("multitransport-freerdp3-declines", 13399, VerdictId::Healthy, likely),
        ("shadow-nla-ok", 13395, VerdictId::Healthy, likely),
        ("shadow-rdp-security", 13395, VerdictId::Healthy, Confidence::Confirmed),
        ("xrdp-cert-signed-accepted", 13390, VerdictId::Healthy, likely),
        ("xrdp-rdp-security-rdesktop", 13390, VerdictId::Healthy, Confidence::Confirmed),
        ("xrdp-tls-ok", 13390, VerdictId::Healthy, likely),
        ("xrdp-tls-ok-freerdp3", 13390, VerdictId::Healthy, likely),
        ("xrdp-tls12-ok", 13390, VerdictId::Healthy, likely),
        // TLS 1.3: that the certificate was refused may be seen, why may not.
        ("xrdp-cert-expired-rejected", 13390, VerdictId::CertificateRejected, likely),
        ("xrdp-cert-notyetvalid-rejected", 13390, VerdictId::CertificateRejected, likely),
        ("xrdp-cert-wrongname-rejected", 13390, VerdictId::CertificateRejected, likely),
        ("xrdp-nla-refused", 13390, VerdictId::NlaNotOffered, likely),
        ("shadow-nla-wrong-password", 13395, VerdictId::ServerClosed, likely),
        ("rst-after-clienthello", 13420, VerdictId::ServerKeyUnusable, likely),
        ("multitransport-freerdp2-hangs", 13399, VerdictId::ClientClosed, likely),
    ] {
        let diagnoses = lab(&folder, name, port);
        assert!(!diagnoses.is_empty(), "{name} holds no conversation");
        for diagnosis in diagnoses {
            assert_session(name, &diagnosis, id, confidence);
        }
    }
}
