//! `--open`: the client that this system has, opened on an .rdp file that points here; and the file for who does it by
//! hand.

use super::Failure;
use super::arguments::ProxyArguments;
use super::client_program;
use crate::recorder::TraceFolder;
use crate::relay::client_command::{ClientCommand, RdpFile};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The client that a person connects with in an experiment, if rdpscope can open it: where `--open` asks for that, and on
/// Windows always, as mstsc is there.
pub(super) fn client(arguments: &ProxyArguments) -> Result<Option<ClientCommand>, Failure> {
    if arguments.open {
        return usual_client().map(Some);
    }
    // Where nobody asked for it, a person can do it as well.
    Ok(usual_client().ok().filter(|_| cfg!(windows)))
}

/// The client of this machine, with its file to be filled in.
pub(super) fn usual_client() -> Result<ClientCommand, Failure> {
    client_program::find().map(|program| program.command).ok_or_else(|| Failure::not_done(MISSING))
}

/// Why nothing can be opened, and what goes on.
const MISSING: &str = if cfg!(windows) {
    "this Windows has no mstsc to open: leave --open out and point a client elsewhere at the address that rdpscope listens \
     on, or name another client with --client"
} else {
    "no client that opens .rdp files is on the path (sdl-freerdp, xfreerdp, wlfreerdp), or there is no display for one: \
     install FreeRDP, or leave --open out and point any client at the address that rdpscope listens on, or name one with --client"
};

/// The folder for the file that clients open: where `--open` asks for one, and on Windows always, as mstsc is there.
pub(super) fn profiles(arguments: &ProxyArguments, traces: Option<&TraceFolder>) -> Option<PathBuf> {
    let is_wanted = arguments.open || cfg!(windows) && arguments.client.is_none();
    traces.filter(|_| is_wanted).map(|traces| traces.path().to_owned())
}

/// What is said once rdpscope listens, beside where.
pub(super) fn hints(address: SocketAddr, profiles: Option<&Path>) -> Vec<String> {
    let profile = profiles.map(|folder| RdpFile::kept_path(folder, address));
    let profile =
        profile.map(|path| format!("as long as it listens, this opens a client on it: {}", path.display()));
    let firewall = (cfg!(windows) && !address.ip().is_loopback()).then(|| firewall_hint(address));
    profile.into_iter().chain(firewall).collect()
}

/// Windows asks once for each program that others shall reach; for one on loopback it never does.
fn firewall_hint(address: SocketAddr) -> String {
    let port = address.port();
    format!(
        "Windows' firewall may ask whether others may reach rdpscope, or keep them out without a word; this lets them in \
         (as administrator): netsh advfirewall firewall add rule name=rdpscope-{port} dir=in action=allow protocol=TCP \
         localport={port}, and this forgets it: netsh advfirewall firewall delete rule name=rdpscope-{port}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firewall_is_spoken_of_with_the_way_back() {
        let hint = firewall_hint("0.0.0.0:13389".parse().unwrap());
        assert!(
            hint.contains("localport=13389") && hint.contains("delete rule name=rdpscope-13389"),
            "{hint}"
        );
    }

    #[test]
    fn the_file_is_named_after_the_address_that_a_client_dials() {
        let said = |address: &str| hints(address.parse().unwrap(), Some(Path::new("traces")))[0].clone();
        let file = |name: &str| Path::new("traces").join(name).display().to_string();
        assert!(said("127.0.0.1:13389").ends_with(&file("rdpscope-127.0.0.1-13389.rdp")));
        assert!(said("[::]:13389").ends_with(&file("rdpscope---1-13389.rdp")));
        assert_eq!(hints("127.0.0.1:13389".parse().unwrap(), None), Vec::<String>::new());
    }
}
