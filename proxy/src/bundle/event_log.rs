//! What the client's own system wrote about the time of a session.

/// A look into one log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventLog {
    /// The file in the bundle.
    pub(super) file: &'static str,
    /// The channel.
    pub(super) channel: &'static str,
    /// The provider in it; every one where absent.
    pub(super) provider: Option<&'static str>,
}

/// The logs that tell of a Remote Desktop client.
pub(super) const EVENT_LOGS: [EventLog; 2] = [
    EventLog {
        file: "rdp-client.xml",
        channel: "Microsoft-Windows-TerminalServices-RDPClient/Operational",
        provider: None,
    },
    EventLog { file: "schannel.xml", channel: "System", provider: Some("Schannel") },
];

/// Events that are taken of one log: a minute of a session has some dozens.
#[cfg(windows)]
const MOST_EVENTS: u32 = 500;

/// The events of a log between two moments (RFC 3339, UTC), as XML; why there are none otherwise.
#[cfg(windows)]
pub(super) fn between(log: &EventLog, from: &str, to: &str) -> Result<String, String> {
    let provider = log.provider.map(|name| format!("Provider[@Name='{name}'] and ")).unwrap_or_default();
    let query = format!("/q:*[System[{provider}TimeCreated[@SystemTime>='{from}' and @SystemTime<='{to}']]]");
    let mut command = std::process::Command::new("wevtutil");
    command.args(["qe", log.channel, &query, "/f:RenderedXml", "/e:Events", &format!("/c:{MOST_EVENTS}")]);
    let output = command.output().map_err(|error| format!("wevtutil did not start: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Other systems have no such logs.
#[cfg(not(windows))]
pub(super) fn between(_log: &EventLog, _from: &str, _to: &str) -> Result<String, String> {
    Err("the bundle was not made on Windows".to_owned())
}
