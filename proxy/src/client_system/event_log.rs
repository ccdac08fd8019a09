//! Windows' event log about the time of a session.

#[cfg(windows)]
use super::question;
#[cfg(windows)]
use std::time::Duration;

/// A look into one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventLog {
    /// The file in a bundle.
    pub file: &'static str,
    /// The channel.
    pub channel: &'static str,
    /// The provider in it; every one where absent.
    pub provider: Option<&'static str>,
}

/// The logs that tell of a Remote Desktop client.
pub const EVENT_LOGS: [EventLog; 2] = [
    EventLog {
        file: "rdp-client.xml",
        channel: "Microsoft-Windows-TerminalServices-RDPClient/Operational",
        provider: None,
    },
    EventLog { file: "schannel.xml", channel: "System", provider: Some("Schannel") },
];

/// Events that are taken of one log: a minute of a session has some dozens.
#[cfg(any(windows, test))]
const MOST_EVENTS: u32 = 500;

/// A log that takes longer is not waited for: it answers in a tenth of a second.
#[cfg(windows)]
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The events of a log between two moments (RFC 3339, UTC), as XML; why there are none otherwise.
#[cfg(windows)]
pub fn between(log: &EventLog, from: &str, to: &str) -> Result<String, String> {
    let mut command = std::process::Command::new(question::program("wevtutil.exe"));
    command.args(arguments(log, from, to));
    question::ask(command, ANSWER_WITHIN).map(|answer| decoded(&answer))
}

/// Other systems have no such logs.
#[cfg(not(windows))]
pub fn between(_log: &EventLog, _from: &str, _to: &str) -> Result<String, String> {
    Err("the event log is Windows', and this is another system".to_owned())
}

/// What wevtutil is asked, in UTF-16 so that no code page loses a letter.
#[cfg(any(windows, test))]
fn arguments(log: &EventLog, from: &str, to: &str) -> [String; 7] {
    let provider = log.provider.map(|name| format!("Provider[@Name='{name}'] and ")).unwrap_or_default();
    let [from, to] = [from, to].map(in_milliseconds);
    [
        "qe".to_owned(),
        log.channel.to_owned(),
        format!("/q:*[System[{provider}TimeCreated[@SystemTime>='{from}' and @SystemTime<='{to}']]]"),
        "/f:RenderedXml".to_owned(),
        "/e:Events".to_owned(),
        format!("/c:{MOST_EVENTS}"),
        "/uni:true".to_owned(),
    ]
}

/// As Windows' filters take a moment: they refuse more digits than theirs.
#[cfg(any(windows, test))]
fn in_milliseconds(moment: &str) -> String {
    match moment.parse::<jiff::Timestamp>() {
        Ok(moment) => moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => moment.to_owned(),
    }
}

/// What a program of Windows wrote: UTF-16 with or without its mark, or UTF-8.
#[cfg(any(windows, test))]
pub(super) fn decoded(bytes: &[u8]) -> String {
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.get(1) == Some(&0);
    if !is_wide {
        return String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned();
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).trim_start_matches('\u{feff}').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_the_channel_the_provider_and_the_time() {
        let asked = arguments(&EVENT_LOGS[1], "2026-11-22T03:00:00.123456789Z", "2026-11-22T03:01:00Z");
        assert_eq!(asked[..2], ["qe", "System"]);
        assert_eq!(
            asked[2],
            "/q:*[System[Provider[@Name='Schannel'] and TimeCreated[@SystemTime>='2026-11-22T03:00:00.123Z' \
             and @SystemTime<='2026-11-22T03:01:00.000Z']]]"
        );
        assert!(arguments(&EVENT_LOGS[0], "a", "b")[2].starts_with("/q:*[System[TimeCreated["));
    }

    #[test]
    fn answers_are_read_in_every_encoding() {
        let wide: Vec<u8> = "<a>Ä</a>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&wide), "<a>Ä</a>");
        assert_eq!(decoded(&[&[0xff, 0xfe][..], &wide].concat()), "<a>Ä</a>");
        assert_eq!(decoded("<a>Ä</a>".as_bytes()), "<a>Ä</a>");
        assert_eq!(decoded("\u{feff}<a/>".as_bytes()), "<a/>");
        assert_eq!(decoded(b""), "");
        assert_eq!(decoded(&wide[..wide.len() - 1]), "<a>Ä</a", "an odd byte is left out");
    }
}
