//! A Kerberos realm of MIT's on loopback, with one user and the service of a server at `localhost`.

use crate::support::left_out::program;
use crate::support::process::Process;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Its name.
pub(crate) const REALM: &str = "RDP.TEST";
/// What is registered for a server at `localhost`, unless a test leaves it out.
pub(crate) const SERVICE: &str = "TERMSRV/localhost";

/// A running KDC.
#[derive(Debug)]
pub(crate) struct Realm {
    /// Where it listens, as a line `kdc = …` takes it.
    pub(crate) kdc: String,
    process: Process,
    folder: TempDir,
}

impl Realm {
    /// The programs that it needs.
    pub(crate) const PROGRAMS: [&'static str; 4] = ["krb5kdc", "kdb5_util", "kadmin.local", "kinit"];

    /// Starts it with `user`, and with the service where `has_service`.
    pub(crate) fn start(user: &str, password: &str, has_service: bool) -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let port = super::free_port();
        write_settings(folder.path(), port);
        run(folder.path(), "kdb5_util", &["create", "-r", REALM, "-s", "-P", "master"]);
        let ask = |query: &str| run(folder.path(), "kadmin.local", &["-r", REALM, "-q", query]);
        ask(&format!("addprinc +requires_preauth -pw {password} {user}"));
        if has_service {
            ask(&format!("addprinc -randkey {SERVICE}"));
            ask(&format!("ktadd -k {} {SERVICE}", folder.path().join("keytab").display()));
        }
        let mut command = super::command("krb5kdc", folder.path());
        command.args(["-n", "-r", REALM]).envs(environment(folder.path()));
        let mut process = Process::spawn(command);
        super::wait_until_listening(&mut process, port);
        Realm { kdc: format!("127.0.0.1:{port}"), process, folder }
    }

    /// The key of the service.
    pub(crate) fn keytab(&self) -> PathBuf {
        self.folder.path().join("keytab")
    }

    /// What a program needs to belong to the realm.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        environment(self.folder.path())
    }

    /// Signs the user in for as long as `lifetime` says (`10h`): the folder has a ticket with which tickets are had.
    pub(crate) fn sign_in(&self, user: &str, password: &str, lifetime: &str) -> PathBuf {
        let cache = self.folder.path().join(format!("tickets-{lifetime}"));
        let kinit = program("kinit").expect("it is installed, or the test was left out");
        let mut kinit = Command::new(kinit);
        kinit.args(["-l", lifetime, "-c"]).arg(&cache).arg(format!("{user}@{REALM}"));
        kinit.envs(self.environment()).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut kinit = kinit.spawn().expect("it runs");
        let mut stdin = kinit.stdin.take().expect("its standard input is ours");
        stdin.write_all(format!("{password}\n").as_bytes()).expect("it takes the password");
        drop(stdin);
        assert!(kinit.wait().expect("it ends").success(), "kinit failed");
        cache
    }

    /// Changes the realm as `kadmin.local` is told to.
    pub(crate) fn administer(&self, query: &str) {
        run(self.folder.path(), "kadmin.local", &["-r", REALM, "-q", query]);
    }

    /// What the KDC logged; it logs every ticket that it gives or refuses, and its output is its log.
    pub(crate) fn log(&self) -> String {
        self.process.output.all().join("\n")
    }
}

fn environment(folder: &Path) -> [(&'static str, PathBuf); 2] {
    [("KRB5_CONFIG", folder.join("krb5.conf")), ("KRB5_KDC_PROFILE", folder.join("kdc.conf"))]
}

fn write_settings(folder: &Path, port: u16) {
    let settings = format!(
        "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n rdns = false\n \
         dns_canonicalize_hostname = false\n[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
         [domain_realm]\n localhost = {REALM}\n"
    );
    let here = folder.display();
    let kdc = format!(
        "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n[realms]\n {REALM} = {{\n  \
         database_name = {here}/principal\n  key_stash_file = {here}/stash\n  acl_file = {here}/acl\n  \
         supported_enctypes = aes256-cts:normal aes128-cts:normal\n }}\n[logging]\n kdc = STDERR\n"
    );
    std::fs::write(folder.join("krb5.conf"), settings).expect("its settings are written");
    std::fs::write(folder.join("kdc.conf"), kdc).expect("the settings of the KDC are written");
}

fn run(folder: &Path, name: &str, arguments: &[&str]) {
    let file = program(name).unwrap_or_else(|| panic!("{name} is installed, or the test was left out"));
    let made = Command::new(file).args(arguments).envs(environment(folder)).output().expect("it runs");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{name} {arguments:?} failed: {said}");
}
