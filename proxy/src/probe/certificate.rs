//! The server's certificate, and what this machine thinks of it.

use crate::intercept::tls::Roots;
use crate::trace::CertificateCheck;
use rdpscope_certs::inspect::inspect;
use std::sync::Arc;

/// Reads this machine's roots, unless they were read before: hundreds of files, which the certificate need not wait for.
pub(super) fn prepare() {
    tokio::task::spawn_blocking(Roots::of_this_machine);
}

/// Looks at `chain` (DER, the server's own first) as a client does that was told to connect to `name`.
pub(super) async fn check(chain: Vec<Vec<u8>>, name: String) -> Option<CertificateCheck> {
    let now = jiff::Timestamp::now().as_second();
    tokio::task::spawn_blocking(move || look(&chain, name, now)).await.ok()
}

fn look(chain: &[Vec<u8>], name: String, now: i64) -> CertificateCheck {
    let judgement = Roots::of_this_machine().judge(chain, &name, now);
    let mut check = CertificateCheck {
        trusted: judgement.trusted,
        reason: judgement.reason,
        name,
        name_matches: judgement.name_matches,
        ..CertificateCheck::default()
    };
    for (place, der) in chain.iter().enumerate() {
        match inspect(der) {
            Ok(certificate) => check.chain.push(Arc::new(certificate)),
            Err(error) => check.unreadable.push(format!("certificate {}: {error}", place + 1)),
        }
    }
    check
}
