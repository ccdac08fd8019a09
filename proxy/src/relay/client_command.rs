//! The client that rdpscope starts itself (`--client`), and the .rdp file for it.

use super::connect::plain_reason;
use super::listener::{ListenError, Settings};
use super::target::{RDP_PORT, Target};
#[cfg(windows)]
use crate::client_system;
use crate::rdpfile::Address;
use crate::rdpfile::new::Minimal;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// A command with places to fill in, split into words once; no shell sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCommand {
    words: Vec<String>,
    /// It shares this program's terminal and asks its user there.
    at_terminal: bool,
}

/// Why a client command cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientCommandError {
    /// A quote without its partner.
    #[error("client command has a quote that does not end")]
    Quotes,
    /// No word at all.
    #[error("client command is empty; write for example --client 'xfreerdp /v:{{host}}:{{port}}'")]
    Empty,
    /// `{something}` that is not one of the places.
    #[error("client command has {{{0}}}, which is none of {{host}}, {{port}}, {{rdp}}, {{arm}}")]
    UnknownPlace(String),
}

/// What is filled in.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// Where rdpscope listens.
    pub address: SocketAddr,
    /// The .rdp file that points there.
    pub rdp: &'a Path,
    /// The arm of the experiment, `"-"` outside of one.
    pub arm: &'a str,
}

const PLACES: [&str; 4] = ["host", "port", "rdp", "arm"];

impl ClientCommand {
    /// Splits `text` as a shell splits words: on Windows as one that takes a backslash for a part of a path, elsewhere as
    /// a POSIX shell.
    pub fn parse(text: &str) -> Result<ClientCommand, ClientCommandError> {
        let split = if cfg!(windows) { split_paths } else { shlex::split };
        let words = split(text).ok_or(ClientCommandError::Quotes)?;
        if words.is_empty() {
            return Err(ClientCommandError::Empty);
        }
        match words.iter().find_map(|word| unknown_place(word)) {
            Some(place) => Err(ClientCommandError::UnknownPlace(place.to_owned())),
            None => Ok(ClientCommand::of_words(words)),
        }
    }

    /// These words, the program first.
    pub fn of_words(words: Vec<String>) -> ClientCommand {
        ClientCommand { words, at_terminal: false }
    }

    /// The same with the terminal as its standard input, to ask its user there.
    pub fn at_terminal(self) -> ClientCommand {
        ClientCommand { at_terminal: true, ..self }
    }

    /// The program's name.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Starts the client. Its standard output would mix with ours and goes to standard error.
    pub fn start(&self, places: &Places<'_>) -> io::Result<Child> {
        let mut words = self.words.iter().map(|word| fill(word, places));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdout(io::stderr()).kill_on_drop(true);
        if !self.at_terminal {
            command.stdin(Stdio::null());
            // What it starts in its turn is to end with it. Another group than the terminal's could not read from that.
            #[cfg(unix)]
            command.process_group(0);
        }
        command.spawn()
    }
}

/// A fresh .rdp file, removed when dropped.
#[derive(Debug)]
pub struct RdpFile {
    path: PathBuf,
}

impl RdpFile {
    /// Writes a file that leads to what listens at `address`, as the server, or where `behind` names one as the gateway
    /// to it, into the system's folder for temporary files.
    pub fn write(address: SocketAddr, behind: Option<&Target>) -> io::Result<RdpFile> {
        let name = format!("rdpscope-{}-{}.rdp", std::process::id(), address.port());
        RdpFile::write_as(std::env::temp_dir().join(name), &content(address, behind))
    }

    /// Where the file for whoever opens it by hand is, of a listener at `address`, in the folder of traces.
    pub fn kept_path(folder: &Path, address: SocketAddr) -> PathBuf {
        let place = reachable(address).to_string().replace(['[', ']'], "").replace(':', "-");
        folder.join(format!("rdpscope-{place}.rdp"))
    }

    fn write_as(path: PathBuf, content: &Minimal) -> io::Result<RdpFile> {
        // One that an earlier run left, which had the same number or port.
        let _ = std::fs::remove_file(&path);
        // Never through a link that somebody else has put there.
        let mut options = OpenOptions::new();
        // Nobody else is to lead the client elsewhere before it has read it.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.write(true).create_new(true).open(&path)?;
        let rdp = RdpFile { path };
        file.write_all(&content.bytes())?;
        Ok(rdp)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RdpFile {
    fn drop(&mut self) {
        // One of the two may be gone already; a leftover of 40 bytes without a secret harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn content(address: SocketAddr, behind: Option<&Target>) -> Minimal {
    let listener = Address { host: address.ip().to_string(), port: Some(address.port()) };
    match behind {
        None => Minimal { target: listener, gateway: None, user: None },
        Some(Target { host, port }) => Minimal {
            target: Address { host: host.clone(), port: Some(*port).filter(|port| *port != RDP_PORT) },
            gateway: Some(listener),
            user: None,
        },
    }
}

/// The server, where the far side is the gateway to it.
fn behind(settings: &Settings) -> Option<&Target> {
    settings.gateway.is_some().then_some(&settings.route.target)
}

/// The file that is kept in the folder of traces as long as rdpscope listens.
fn profile(settings: &Settings, folder: &Path, address: SocketAddr) -> io::Result<RdpFile> {
    let content = content(reachable(address), behind(settings));
    RdpFile::write_as(RdpFile::kept_path(folder, address), &content)
}

/// How a client ended, in words.
fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

/// The client that runs for each attempt, if any.
#[derive(Default)]
pub(super) struct ClientRun {
    child: Option<Started>,
    was_asked_for: bool,
    /// Sessions that had begun when the client was started.
    sessions_before: u64,
    /// How it ended, in words.
    how: Option<String>,
    /// Kept until the client has ended.
    _rdp: Option<RdpFile>,
}

impl ClientRun {
    /// Starts the client, where the settings name one.
    pub(super) fn new(settings: &Settings, address: SocketAddr, arm: &str) -> Result<ClientRun, ListenError> {
        let Some(command) = &settings.client else {
            let rdp = settings.profiles.as_deref().map(|folder| profile(settings, folder, address));
            let rdp = rdp.transpose().unwrap_or_else(|error| {
                tracing::warn!("the .rdp file was not written: {}", plain_reason(&error));
                None
            });
            return Ok(ClientRun { _rdp: rdp, ..ClientRun::default() });
        };
        let failed = |error: io::Error| ListenError::Client {
            program: command.program().to_owned(),
            reason: plain_reason(&error),
        };
        let address = reachable(address);
        let rdp = match &settings.profiles {
            Some(folder) => profile(settings, folder, address),
            None => RdpFile::write(address, behind(settings)),
        };
        let rdp = rdp.map_err(failed)?;
        let child = command.start(&Places { address, rdp: rdp.path(), arm }).map_err(failed)?;
        Ok(ClientRun {
            child: Some(Started(child)),
            was_asked_for: true,
            _rdp: Some(rdp),
            ..ClientRun::default()
        })
    }

    /// The client was asked for and has ended: nobody else will connect.
    pub(super) fn is_over(&self) -> bool {
        self.was_asked_for && self.child.is_none()
    }

    /// That the client has ended without a connection to `address`; nothing where none was asked for.
    pub(super) fn never_came(&self, settings: &Settings, address: SocketAddr) -> Option<ListenError> {
        let program = settings.client.as_ref()?.program().to_owned();
        Some(ListenError::NobodyCame { program, how: self.how.clone()?, address: reachable(address) })
    }

    /// Starts the client for the next attempt; false where there is to be none: sessions are not counted, or the
    /// last attempt brought none.
    pub(super) fn restart(
        &mut self,
        settings: &Settings,
        address: SocketAddr,
        sessions: u64,
    ) -> Result<bool, ListenError> {
        if settings.sessions.is_none() || sessions == self.sessions_before {
            return Ok(false);
        }
        // The next attempt's file has the same name: this one must be gone before that is written.
        self._rdp = None;
        *self = ClientRun { sessions_before: sessions, ..ClientRun::new(settings, address, "-")? };
        Ok(true)
    }

    /// Ends the client where it runs; what it had open ends with it.
    pub(super) fn end(&mut self) {
        if let Some(started) = &mut self.child {
            started.end();
        }
    }

    /// Waits for the client's end; for ever where none runs.
    pub(super) async fn ended(&mut self) {
        let Some(Started(child)) = &mut self.child else { return std::future::pending().await };
        let words = match child.wait().await {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        tracing::info!("the client {words}");
        self.how = Some(words);
        // Its last connection may still be on its way through the system to us.
        tokio::time::sleep(LAST_CONNECTION).await;
        self.child = None;
    }
}

/// A client that was started; dropping it ends it.
struct Started(Child);

impl Started {
    /// Ends it and everything that it has started: a script's or a wrapper's own end would leave the real client behind,
    /// which then connects in the next attempt. What one has left behind that has ended by itself goes on.
    fn end(&mut self) {
        #[cfg(unix)]
        if let Some(group) =
            self.0.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?))
        {
            // A group that is gone need not be told.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(windows)]
        if let Some(id) = self.0.id() {
            client_system::end_with_all_it_started(id);
        }
        // One that has ended by itself in the meantime need not be told.
        let _ = self.0.start_kill();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long after a client's end a connection of it may still turn up.
const LAST_CONNECTION: Duration = Duration::from_millis(100);

/// Where a client on this machine finds a listener on `address`: not every system connects to "any address".
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Words between spaces; quotes of either kind hold one together, and a backslash is a part of it. `None` where a quote
/// does not end.
fn split_paths(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut quote): (Option<String>, Option<char>) = (None, None);
    for character in text.chars() {
        match quote {
            Some(mark) if mark == character => quote = None,
            None if matches!(character, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            None if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn unknown_place(word: &str) -> Option<&str> {
    let mut rest = word;
    while let Some((_, after)) = rest.split_once('{') {
        let (place, behind) = after.split_once('}')?;
        if !PLACES.contains(&place) {
            return Some(place);
        }
        rest = behind;
    }
    None
}

fn fill(word: &str, places: &Places<'_>) -> String {
    let host = match places.address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    word.replace("{host}", &host)
        .replace("{port}", &places.address.port().to_string())
        .replace("{rdp}", &places.rdp.to_string_lossy())
        .replace("{arm}", places.arm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_like_a_shell_and_fills_the_places() {
        let command = ClientCommand::parse("xfreerdp '/v:{host}:{port}' /u:'a b' {rdp}").unwrap();
        let address = "127.0.0.1:13389".parse().unwrap();
        let places = Places { address, rdp: Path::new("x.rdp"), arm: "-" };
        let words: Vec<String> = command.words.iter().map(|word| fill(word, &places)).collect();
        assert_eq!(words, ["xfreerdp", "/v:127.0.0.1:13389", "/u:a b", "x.rdp"]);
    }

    #[test]
    fn a_path_of_windows_is_one_word() {
        let split = |text| split_paths(text).unwrap();
        assert_eq!(
            split(r#""C:\Program Files\x.exe"  /v:{host} '' {rdp}"#),
            [r"C:\Program Files\x.exe", "/v:{host}", "", "{rdp}"]
        );
        assert_eq!(split(r"mstsc {rdp}"), ["mstsc", "{rdp}"]);
        assert_eq!(split_paths("a 'b"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_for_the_client_is_its_owners_and_never_written_through_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("x.rdp"), folder.path().join("other"));
        std::os::unix::fs::symlink(&other, &path).unwrap();
        let rdp = RdpFile::write_as(path, &content("127.0.0.1:13389".parse().unwrap(), None)).unwrap();
        let metadata = std::fs::symlink_metadata(rdp.path()).unwrap();
        assert!(metadata.is_file() && !other.exists());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_client_is_never_sent_to_any_address() {
        let sent_to = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(sent_to("0.0.0.0:13389"), "127.0.0.1:13389");
        assert_eq!(sent_to("[::]:13389"), "[::1]:13389");
        assert_eq!(sent_to("192.0.2.1:13389"), "192.0.2.1:13389");
    }

    #[test]
    fn the_file_points_here_and_is_gone_afterwards() {
        for address in ["127.0.0.1:13389", "[::1]:13389"] {
            let rdp = RdpFile::write(address.parse().unwrap(), None).unwrap();
            let path = rdp.path().to_owned();
            let content = std::fs::read(&path).unwrap();
            assert!(content.is_ascii(), "it is the same in every encoding that a client may expect");
            let expected = format!("full address:s:{address}\r\nauthentication level:i:2\r\n");
            assert_eq!(String::from_utf8(content).unwrap(), expected);
            drop(rdp);
            assert!(!path.exists());
        }
    }

    #[test]
    fn with_a_gateway_the_file_names_the_server_behind_it() {
        let target = "srv10.corp.example".parse().unwrap();
        assert_eq!(
            content("127.0.0.1:13443".parse().unwrap(), Some(&target)).text(),
            "full address:s:srv10.corp.example\r\nauthentication level:i:2\r\ngatewayhostname:s:127.0.0.1:13443\r\n\
             gatewayusagemethod:i:1\r\ngatewayprofileusagemethod:i:1\r\n"
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_command() {
        assert_eq!(ClientCommand::parse(""), Err(ClientCommandError::Empty));
        assert_eq!(ClientCommand::parse("a 'b"), Err(ClientCommandError::Quotes));
        assert_eq!(
            ClientCommand::parse("a {user}"),
            Err(ClientCommandError::UnknownPlace("user".to_owned()))
        );
    }
}
