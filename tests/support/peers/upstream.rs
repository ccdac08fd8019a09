//! Other people's proxies, between rdpscope and the server: tinyproxy (HTTP CONNECT) and microsocks (SOCKS5).

use crate::support::process::Process;
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// What `--upstream-proxy` is to be told.
    pub(crate) url: String,
    _process: Process,
    _home: TempDir,
}

impl Upstream {
    /// tinyproxy that connects to `allowed_port` and to no other.
    pub(crate) fn tinyproxy(allowed_port: u16) -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let port = super::free_port();
        let settings = home.path().join("tinyproxy.conf");
        let lines = format!(
            "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nMaxClients 10\nConnectPort {allowed_port}\n"
        );
        std::fs::write(&settings, lines).expect("its settings are written");
        let mut command = super::command("tinyproxy", home.path());
        command.arg("-d").arg("-c").arg(settings);
        Self::started(Process::spawn(command), "http", port, home)
    }

    /// microsocks, which lets everybody through.
    pub(crate) fn microsocks() -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let port = super::free_port();
        let mut command = super::command("microsocks", home.path());
        command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
        Self::started(Process::spawn(command), "socks5", port, home)
    }

    fn started(mut process: Process, scheme: &str, port: u16, home: TempDir) -> Self {
        super::wait_until_listening(&mut process, port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Upstream { url: format!("{scheme}://{address}"), _process: process, _home: home }
    }
}
