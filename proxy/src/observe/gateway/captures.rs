//! The observer against sessions through real gateways, in the folder that `RDP_CAPTURES` names, and what their truth
//! files say of them.

use super::tests::{Steps, names, observe};
use crate::trace::{Detail, GatewayMessage, Side};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The captures of gateways, each with its truth and what stands inside TLS of each connection.
fn captures() -> Vec<(String, Value, Vec<Steps>)> {
    let Some(folder) = std::env::var_os("RDP_CAPTURES").map(PathBuf::from) else {
        eprintln!("left out: RDP_CAPTURES is not set");
        return Vec::new();
    };
    let mut captures = Vec::new();
    for entry in std::fs::read_dir(folder.join("truth")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !name.contains("rdg") {
            continue;
        }
        let truth: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let streams = (0..2).map(|number| {
            let name = format!("{name}.{number}.tls.jsonl");
            stream(&folder.join("streams").join(name), number + 1)
        });
        let streams = streams.collect();
        captures.push((name, truth, streams));
    }
    assert!(!captures.is_empty(), "RDP_CAPTURES holds no session through a gateway");
    captures
}

fn stream(path: &Path, connection: u32) -> Steps {
    let text = std::fs::read_to_string(path).unwrap();
    let step = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let side = if line["from"] == "client" { Side::Client } else { Side::Server };
        (
            line["t_us"].as_u64().unwrap(),
            connection,
            side,
            hex::decode(line["hex"].as_str().unwrap()).unwrap(),
        )
    };
    text.lines().map(step).collect()
}

#[test]
fn packets_are_those_of_the_truth() {
    let mut data_packets = 0;
    for (name, truth, streams) in captures() {
        let (events, observer) = observe(&streams[0]);
        let derived = &truth["conversations"][0]["derived"];
        let (mut expected, mut counted) = (BTreeMap::<String, u64>::new(), BTreeMap::new());
        for row in derived["tsg_packets"].as_array().into_iter().flatten() {
            let Some(kind) = row["type"].as_str() else { continue };
            let from = row["from"].as_str().map_or(String::new(), |from| format!("{from} "));
            *expected.entry(format!("{from}{}", kind.to_lowercase())).or_default() +=
                row["count"].as_u64().unwrap_or(1);
        }
        for event in &events {
            let Detail::Gateway(message) = &event.detail else { continue };
            match message {
                GatewayMessage::TunnelPacket(packet) if packet.name() != "data" => {
                    let from = event.from.unwrap();
                    *counted.entry(format!("{from} {}", packet.name())).or_default() += 1;
                }
                GatewayMessage::TunnelTraffic { data_packets, .. } => {
                    *counted.entry("data*".to_owned()).or_default() += data_packets;
                }
                _ => {}
            }
        }
        assert_eq!(counted, expected, "{name}");
        data_packets += counted.get("data*").copied().unwrap_or_default();
        let broken = |name: &&String| {
            name.contains("malformed") || name.contains("reframed") || name.contains("stopped")
        };
        let names = names(&events);
        assert_eq!(names.iter().filter(broken).collect::<Vec<_>>(), Vec::<&String>::new(), "{name}");
        assert_eq!(observer.connection_id(1), derived["http"][0]["rdg-connection-id"].as_str(), "{name}");
    }
    assert!(data_packets == 575 || std::env::var_os("RDP_CAPTURES").is_none(), "{data_packets}");
}

#[test]
fn heads_are_those_of_the_truth() {
    for (name, truth, streams) in captures() {
        let (events, _) = observe(&streams[0]);
        let seen: Vec<(String, Option<String>)> = events
            .iter()
            .filter_map(|event| match &event.detail {
                Detail::Gateway(GatewayMessage::HttpRequest(head)) => {
                    let line = format!("{} {} {}", head.method, head.path, head.version);
                    let token =
                        head.authorization.as_ref().and_then(|authorization| authorization.token.clone());
                    Some((line, token))
                }
                Detail::Gateway(GatewayMessage::HttpResponse(head)) => {
                    let line = format!("{} {} {}", head.version, head.status, head.reason);
                    Some((line, head.challenges.iter().find_map(|challenge| challenge.token.clone())))
                }
                _ => None,
            })
            .collect();
        let heads = truth["conversations"][0]["derived"]["http"].as_array().unwrap();
        let expected: Vec<_> = heads
            .iter()
            .map(|head| {
                let token = head["auth_token"].as_str().map(|token| match token {
                    "NTLM type 1" => "NTLM negotiate",
                    "NTLM type 2" => "NTLM challenge",
                    "NTLM type 3" => "NTLM authenticate",
                    _ => "Kerberos",
                });
                (head["line"].as_str().unwrap().to_owned(), token.map(str::to_owned))
            })
            .collect();
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn the_session_inside_and_the_connection_for_kerberos_are_seen() {
    for (name, truth, streams) in captures() {
        let (events, _) = observe(&streams[0]);
        let inner =
            truth["conversations"][0]["derived"]["inner_x224"].as_array().filter(|inner| !inner.is_empty());
        let request = events.iter().find_map(|event| match &event.detail {
            Detail::ConnectionRequest(request) => Some(request.cookie.clone()),
            _ => None,
        });
        let cookie = inner.map(|inner| inner[0]["cookie"].as_str().map(str::to_owned));
        assert_eq!(request, cookie, "{name}");
        let confirm = events.iter().find_map(|event| match &event.detail {
            Detail::ConnectionConfirm(confirm) => confirm.selected_protocol,
            _ => None,
        });
        assert_eq!(confirm.map(u64::from), inner.and_then(|inner| inner[1]["value"].as_u64()), "{name}");
        let (events, observer) = observe(&streams[1]);
        let http2 = Detail::Gateway(GatewayMessage::Http2 { paths: vec!["/KdcProxy".to_owned()] });
        assert_eq!(events[0].detail, http2, "{name}");
        assert!(observer.belonging(2).is_some() && observer.connection_id(2).is_none());
        assert!(observer.is_opaque(2, Side::Client) && observer.is_opaque(2, Side::Server));
    }
}
