//! Asking the verifier of the system whether it trusts a chain, whatever its name.

use super::trust::{presented, unix_time, words};
use rdpscope_certs::inspect::Certificate;
use rustls::Error;
use rustls::client::danger::ServerCertVerifier;
#[cfg(any(windows, target_os = "macos"))]
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Asked for where a certificate has no name that can be asked for (RFC 6761 6.4).
const NO_NAME: &str = "name.invalid";

/// The verifier of a system.
#[derive(Debug, Clone)]
pub(super) struct System {
    verifier: Arc<dyn ServerCertVerifier>,
}

impl System {
    /// What it is called.
    #[cfg(windows)]
    pub(super) const NAME: &str = "Windows' verifier";
    /// What it is called.
    #[cfg(target_os = "macos")]
    pub(super) const NAME: &str = "macOS' verifier";

    /// That of the system we run on.
    #[cfg(any(windows, target_os = "macos"))]
    pub(super) fn of_this_machine() -> Result<System, Error> {
        let provider = Arc::new(ring::default_provider());
        Ok(System { verifier: Arc::new(rustls_platform_verifier::Verifier::new(provider)?) })
    }

    #[cfg(test)]
    pub(super) fn of(verifier: Arc<dyn ServerCertVerifier>) -> System {
        System { verifier }
    }

    /// Why it refuses `chain` (DER, `certificate` first) at `now`, seconds since 1970: nothing inside where it trusts
    /// it, and `None` where it has not answered within `patience`, as it may be waiting for a server of lists.
    pub(super) fn refusal(
        &self,
        chain: &[Vec<u8>],
        certificate: &Certificate,
        now: i64,
        patience: Duration,
    ) -> Option<Option<String>> {
        let (sender, receiver) = mpsc::channel();
        let (system, chain, name) = (self.clone(), chain.to_vec(), name_to_ask_for(certificate));
        let asking = move || {
            // Nobody listens any more where it took too long.
            let _ = sender.send(system.verify(&chain, &name, now));
        };
        std::thread::Builder::new().name("certificate verifier".to_owned()).spawn(asking).ok()?;
        let answer = receiver.recv_timeout(patience).ok()?;
        Some(answer.err().map(|error| words(&error, certificate, now)))
    }

    fn verify(&self, chain: &[Vec<u8>], name: &ServerName<'_>, now: i64) -> Result<(), Error> {
        let (leaf, intermediates) = presented(chain);
        self.verifier.verify_server_cert(&leaf, &intermediates, name, &[], unix_time(now)).map(|_| ())
    }
}

/// A name that the certificate has, so that it alone is judged.
fn name_to_ask_for(certificate: &Certificate) -> ServerName<'static> {
    let mut names = certificate.sans.iter().chain(&certificate.subject_cn);
    // A wildcard stands for any label.
    let name = names.find_map(|name| ServerName::try_from(name.replacen("*.", "www.", 1)).ok());
    name.unwrap_or_else(|| ServerName::try_from(NO_NAME).expect("it is a DNS name"))
}
