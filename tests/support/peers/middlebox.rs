//! What stands in front of gateways: haproxy and nginx, which end TLS, look at HTTP and go on to the gateway in TLS again.

use crate::support::certificates::{Certificate, certificates};
use crate::support::process::Process;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use tempfile::TempDir;

/// A running middlebox.
#[derive(Debug)]
pub(crate) struct Middlebox {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    _home: TempDir,
}

/// haproxy; the defaults pass everything on at once, and forget nothing.
#[derive(Debug)]
pub(crate) struct Haproxy<'a> {
    /// Where it listens; `None` is any free port.
    pub(crate) address: Option<SocketAddrV4>,
    pub(crate) certificate: &'a Certificate,
    /// What follows on its `bind` line.
    pub(crate) bind: &'static str,
    /// Lines of its frontend.
    pub(crate) frontend: &'a [&'a str],
    /// How long a side may be silent, in haproxy's words.
    pub(crate) idle: &'static str,
}

impl Default for Haproxy<'_> {
    fn default() -> Self {
        Haproxy {
            address: None,
            certificate: &certificates().signed,
            bind: "alpn http/1.1",
            frontend: &[],
            idle: "1h",
        }
    }
}

impl Haproxy<'_> {
    /// Reads a whole request, or some 15 KiB of it, before it passes on its head.
    pub(crate) const BUFFERED_REQUESTS: &'static str = "option http-buffer-request";
    /// 403 for all methods that browsers do not use.
    pub(crate) const METHODS_403: &'static str = "http-request deny unless METH_GET or METH_POST";
    /// The same with 405.
    pub(crate) const METHODS_405: &'static str =
        "http-request deny deny_status 405 unless METH_GET or METH_POST";
    /// Takes the wish for a WebSocket out of a request.
    pub(crate) const NO_UPGRADE: &'static str = "http-request del-header Upgrade";
    /// Closes both connections after each response.
    pub(crate) const CLOSE: &'static str = "option httpclose";
    /// Says in each response that it is there.
    pub(crate) const VIA: &'static str = "http-response set-header Via \"1.1 box\"";
    /// For `bind`: no HTTP but HTTP/2, whatever the client says in its ALPN.
    pub(crate) const ONLY_HTTP_2: &'static str = "alpn h2 proto h2";

    /// Starts it in front of a gateway, and waits until it listens.
    pub(crate) fn start(&self, gateway: SocketAddr) -> Middlebox {
        let home = TempDir::new().expect("a temporary folder is made");
        let address = address_or_free(self.address);
        let pem = home.path().join("front.pem");
        write_both(&pem, self.certificate);
        let Haproxy { bind, idle, .. } = self;
        let mut text = format!(
            "global\n maxconn 100\ndefaults\n mode http\n log stdout format raw local0\n option httplog\n \
             timeout connect 2s\n timeout client {idle}\n timeout server {idle}\n timeout tunnel {idle}\n \
             retries 0\nfrontend front\n bind {address} ssl crt {} {bind}\n default_backend gateway\n",
            pem.display()
        );
        for line in self.frontend {
            writeln!(text, " {line}").expect("a string takes it");
        }
        write!(text, "backend gateway\n server gateway {gateway} ssl verify none alpn http/1.1\n")
            .expect("a string takes it");
        let settings = home.path().join("haproxy.cfg");
        std::fs::write(&settings, text).expect("the settings are written");
        let mut command = super::command("haproxy", home.path());
        command.arg("-f").arg(settings);
        started(Process::spawn(command), address, home)
    }
}

/// nginx; the defaults pass everything on at once, and forget nothing, which is not what nginx does by itself.
#[derive(Debug)]
pub(crate) struct Nginx<'a> {
    pub(crate) certificate: &'a Certificate,
    /// Lines about the gateway.
    pub(crate) location: &'a [&'a str],
}

impl Default for Nginx<'_> {
    fn default() -> Self {
        Nginx {
            certificate: &certificates().signed,
            location: &[Nginx::UPGRADE, Nginx::DIRECT_RESPONSES, Nginx::DIRECT_REQUESTS, Nginx::PATIENT],
        }
    }
}

impl Nginx<'_> {
    /// Passes the wish for a WebSocket on.
    pub(crate) const UPGRADE: &'static str =
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;";
    /// Does not hold responses back, which it does by itself until 16 KiB or the end.
    pub(crate) const DIRECT_RESPONSES: &'static str = "proxy_buffering off;";
    /// Does not hold requests back, which it does by itself until their end.
    pub(crate) const DIRECT_REQUESTS: &'static str = "proxy_request_buffering off;";
    /// Does not cut a silent gateway, which it does by itself after a minute.
    pub(crate) const PATIENT: &'static str = "proxy_read_timeout 1h; proxy_send_timeout 1h;";
    /// Cuts a gateway that is silent for a second.
    pub(crate) const IMPATIENT: &'static str = "proxy_read_timeout 1s;";
    /// Leaves a body without a length as it is, which it puts into chunks by itself.
    pub(crate) const NO_CHUNKS: &'static str = "chunked_transfer_encoding off;";
    /// 403 for all methods that browsers do not use.
    pub(crate) const METHODS_403: &'static str = "limit_except GET POST { deny all; }";
    /// The same with 405.
    pub(crate) const METHODS_405: &'static str = "if ($request_method !~ ^(GET|POST)$) { return 405; }";

    /// Starts it in front of a gateway, and waits until it listens.
    pub(crate) fn start(&self, gateway: SocketAddr) -> Middlebox {
        let home = TempDir::new().expect("a temporary folder is made");
        let address = address_or_free(None);
        let folder = home.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"));
        let text = format!(
            "daemon off;\nmaster_process off;\nerror_log stderr info;\npid {folder}/nginx.pid;\nevents {{}}\n\
             http {{\naccess_log /dev/stdout;\n{}server {{\nlisten {address} ssl;\nssl_certificate {};\n\
             ssl_certificate_key {};\nlocation / {{\nproxy_pass https://{gateway};\nproxy_http_version 1.1;\n\
             {}\n}}\n}}\n}}\n",
            temporary.concat(),
            self.certificate.certificate_file.display(),
            self.certificate.key_file.display(),
            self.location.join("\n")
        );
        let settings = home.path().join("nginx.conf");
        std::fs::write(&settings, text).expect("the settings are written");
        let mut command = super::command("nginx", home.path());
        command.args(["-e", "stderr", "-c"]).arg(settings);
        started(Process::spawn(command), address, home)
    }
}

fn address_or_free(address: Option<SocketAddrV4>) -> SocketAddrV4 {
    address.unwrap_or_else(|| SocketAddrV4::new(Ipv4Addr::LOCALHOST, super::free_port()))
}

fn started(mut process: Process, address: SocketAddrV4, home: TempDir) -> Middlebox {
    super::wait_until_listening_at(&mut process, address);
    Middlebox { address: address.into(), _process: process, _home: home }
}

/// Certificate and key in one file.
fn write_both(file: &Path, certificate: &Certificate) {
    let read = |file: &Path| std::fs::read(file).expect("a certificate is read");
    let both = [read(&certificate.certificate_file), read(&certificate.key_file)].concat();
    std::fs::write(file, both).expect("a certificate is written");
}
