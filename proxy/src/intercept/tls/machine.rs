//! What the verifier of this machine says of a server's certificate: that of Windows or macOS, which builds chains,
//! fetches what is missing and knows what is revoked; elsewhere webpki with the roots of the system.

use super::trust::{Judgement, Roots};
#[cfg(any(windows, target_os = "macos"))]
use super::{system::System, trust};
use std::time::Duration;

/// Judges a server's `chain` (DER, its own first) at `now`, seconds since 1970, for a client that was told to connect
/// to `name`, which plays no part in the trust. May block: a system that fetches lists is waited for no longer than
/// `patience`, and then the roots answer.
#[cfg(any(windows, target_os = "macos"))]
pub fn judge(chain: &[Vec<u8>], name: &str, now: i64, patience: Duration) -> Judgement {
    let by_roots = |why: String| {
        let judgement = Roots::of_this_machine().judge(chain, name, now);
        Judgement { verifier: format!("{}, as {why}", judgement.verifier), ..judgement }
    };
    let system = match System::of_this_machine() {
        Ok(system) => system,
        Err(error) => return by_roots(format!("{} cannot be asked: {error}", System::NAME)),
    };
    let certificate = match trust::first(chain) {
        Ok(certificate) => certificate,
        Err(refusal) => return Judgement::new(System::NAME, Some(refusal), false),
    };
    match system.refusal(chain, &certificate, now, patience) {
        Some(refusal) => Judgement::new(System::NAME, refusal, certificate.matches_name(name)),
        None => by_roots(format!("{} did not answer within {} s", System::NAME, patience.as_secs())),
    }
}

/// Judges a server's `chain` (DER, its own first) at `now`, seconds since 1970, for a client that was told to connect
/// to `name`, which plays no part in the trust. Nothing is fetched, so that `_patience` is not needed here.
#[cfg(not(any(windows, target_os = "macos")))]
pub fn judge(chain: &[Vec<u8>], name: &str, now: i64, _patience: Duration) -> Judgement {
    Roots::of_this_machine().judge(chain, name, now)
}
