//! xrdp without a session manager: its own login screen is an active RDP session.

use crate::support::certificates::{Certificate, certificates};
use crate::support::process::Process;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use tempfile::TempDir;

/// A running xrdp.
#[derive(Debug)]
pub(crate) struct Xrdp {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Process,
    _home: TempDir,
}

/// How an xrdp is set up; the defaults serve TLS 1.2 and 1.3 with a good certificate.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// `ssl_protocols`.
    pub(crate) tls_versions: &'a str,
    /// `security_layer`: `negotiate`, `tls` or `rdp`.
    pub(crate) security_layer: &'a str,
    /// `crypt_level` of classic RDP security: `none`, `low`, `medium`, `high` or `fips`.
    pub(crate) crypt_level: &'a str,
    /// What it shows in TLS.
    pub(crate) certificate: &'a Certificate,
    /// Its OpenSSL takes what today's default refuses: TLS 1.0, short keys, SHA-1.
    pub(crate) old_openssl: bool,
}

/// Settings of an OpenSSL that still does what servers of ten years ago did.
const OLD_OPENSSL: &str = "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = old\n[old]\n\
                           CipherString = DEFAULT:@SECLEVEL=0\nMinProtocol = TLSv1\n";

/// The keys of classic RDP security; xrdp looks for them nowhere else, and its package keeps them to root.
const CLASSIC_KEYS: &str = "/etc/xrdp/rsakeys.ini";

impl Xrdp {
    /// Whether an xrdp of this user can do classic RDP security.
    pub(crate) fn can_do_classic_security() -> bool {
        File::open(CLASSIC_KEYS).is_ok()
    }

    /// The usual set-up, to change what a test is about.
    pub(crate) fn setup() -> Setup<'static> {
        Setup {
            tls_versions: "TLSv1.2, TLSv1.3",
            security_layer: "negotiate",
            crypt_level: "high",
            certificate: &certificates().signed,
            old_openssl: false,
        }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        Self::start_at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, super::free_port()), setup)
    }

    /// The same at this address of the machine that the caller's thread is on.
    pub(crate) fn start_at(address: SocketAddrV4, setup: &Setup<'_>) -> Self {
        let home = TempDir::new().expect("a temporary folder is made");
        let ini = home.path().join("xrdp.ini");
        let log = home.path().join("xrdp.log");
        let Setup { tls_versions, security_layer, crypt_level, certificate, old_openssl } = setup;
        let certificate_file = certificate.certificate_file.display();
        let key_file = certificate.key_file.display();
        let text = format!(
            "[Globals]\nini_version=1\nfork=true\nport=tcp://{address}\nuse_vsock=false\n\
             security_layer={security_layer}\ncrypt_level={crypt_level}\ncertificate={certificate_file}\n\
             key_file={key_file}\nssl_protocols={tls_versions}\nallow_channels=true\nbitmap_cache=true\n\
             bitmap_compression=true\nbulk_compression=true\nmax_bpp=32\nnew_cursors=true\nuse_fastpath=both\n\
             autorun=\n[Logging]\nLogFile={}\nLogLevel=INFO\nEnableSyslog=false\nEnableConsole=true\n\
             ConsoleLevel=INFO\n[Channels]\nrdpdr=true\nrdpsnd=true\ndrdynvc=true\ncliprdr=true\nrail=true\n\
             [Xorg]\nname=Xorg\nlib=libxup.so\nusername=ask\npassword=ask\nip=127.0.0.1\nport=-1\ncode=20\n",
            log.display()
        );
        std::fs::write(&ini, text).expect("the settings are written");
        let mut command = super::command("xrdp", home.path());
        command.arg("--nodaemon").arg("--config").arg(&ini);
        if *old_openssl {
            let settings = home.path().join("openssl.cnf");
            std::fs::write(&settings, OLD_OPENSSL).expect("the settings are written");
            command.env("OPENSSL_CONF", settings);
        }
        let mut process = Process::spawn(command);
        super::wait_until_listening_at(&mut process, address);
        Xrdp { address: address.into(), _process: process, _home: home }
    }
}
