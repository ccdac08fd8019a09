//! Nothing that is logged, at any verbosity, holds a secret.

use super::peers::{NTLM, SPNEGO, sspi_client, sspi_server};
use super::{KEY, Seen, TARGET, USER, accept, connect, credentials, narrow};
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

pub(super) const CANARY: &str = "canary-Wk3-secret";

/// Everything that was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// What `run` logs, every level of every target.
pub(super) fn logged(run: impl FnOnce()) -> String {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}

/// The forms in which a log may hold the canary: text, and the bytes of UTF-16 as Rust and as people write them.
pub(super) fn holds_canary(log: &str) -> bool {
    let bytes: Vec<u8> = CANARY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let listed: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let (hex, listed) = (hex::encode(&bytes), listed.join(", "));
    log.contains(CANARY) || log.to_lowercase().contains(&hex) || log.contains(&listed)
}

#[test]
fn the_library_would_log_the_password() {
    let log = logged(|| {
        let identity = sspi::AuthIdentityBuffers::from_utf8("jane", "CORP", CANARY);
        let credentials = sspi::CredentialsBuffers::AuthIdentity(identity);
        sspi::credssp::write_ts_credentials(&credentials, sspi::credssp::CredSspMode::WithCredentials)
            .unwrap();
    });
    assert!(holds_canary(&log), "the canary test below would find nothing:\n{log}");
}

#[test]
fn neither_leg_logs_anything_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (theirs, ours) in [(CANARY, CANARY), ("Wrong-5678", CANARY), (CANARY, "Wrong-5678")] {
        for mode in [NTLM, SPNEGO] {
            let (client_ours, client_theirs) = narrow();
            let (server_ours, server_theirs) = narrow();
            let given = credentials(USER, ours);
            // The peers run on another thread, whose log is not ours.
            let peers = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let client = sspi_client(client_theirs, KEY, USER, theirs, 6, mode);
                    let server = sspi_server(server_theirs, KEY, USER, theirs, 6);
                    let _ = tokio::join!(client, server);
                });
            });
            let log = logged(|| {
                tracing::trace!("a line");
                runtime.block_on(async move {
                    let (mut client, mut server) = (client_ours, server_ours);
                    let outcome = connect(&mut server, KEY, &given, TARGET, &mut Seen::default()).await;
                    tracing::trace!(?outcome, ?given);
                    let outcome = accept(&mut client, KEY, &given, &mut Seen::default()).await;
                    tracing::trace!(?outcome);
                });
            });
            peers.join().unwrap();
            assert!(log.contains("a line") && !holds_canary(&log), "{log}");
            assert!(!log.contains("sspi::"), "{log}");
        }
    }
}
