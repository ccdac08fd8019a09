//! The name and its addresses, both ways, by the system's own resolver, because that is what mstsc asks as well.

use crate::relay::connect::{micros, plain_reason};
use crate::relay::resolve::resolve;
use crate::relay::target::Target;
use crate::trace::DnsCheck;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Resolvers give up by themselves, usually after two servers and 5 s each; this is for those that do not.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(12);
/// A name for an address is worth having, and not worth waiting for.
const REVERSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Reverse lookups of the whole process at once. Each blocks a thread for as long as the resolver takes, whoever still
/// waits for it, and the threads are needed for other things when hundreds of targets are probed.
const MOST_REVERSE_LOOKUPS: usize = 64;

static REVERSE_LOOKUPS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(MOST_REVERSE_LOOKUPS)));

/// Looks up where to connect to.
pub(super) async fn check(target: &Target) -> (DnsCheck, Vec<SocketAddr>) {
    let began = Instant::now();
    let late = |_| Err(io::Error::other(format!("no answer within {} s", LOOKUP_TIMEOUT.as_secs())));
    let resolved = timeout(LOOKUP_TIMEOUT, resolve(target)).await.unwrap_or_else(late);
    let took_us = micros(began.elapsed());
    let failure = resolved.as_ref().err().map(plain_reason);
    let addresses = resolved.unwrap_or_default();
    let check = DnsCheck {
        name: target.host.clone(),
        is_address: target.ip().is_some(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        failure,
        took_us,
        reverse: BTreeMap::new(),
    };
    (check, addresses)
}

/// The name of each address; absent where no answer came in time.
pub(super) async fn reverse(addresses: &[SocketAddr]) -> BTreeMap<String, Option<String>> {
    let asked = join_all(addresses.iter().map(|address| reverse_of(address.ip()))).await;
    let names = addresses.iter().zip(asked);
    names.filter_map(|(address, name)| Some((address.ip().to_string(), name?))).collect()
}

async fn reverse_of(address: IpAddr) -> Option<Option<String>> {
    let lookup = async {
        let permit = REVERSE_LOOKUPS.clone().acquire_owned().await.ok()?;
        let looked_up = tokio::task::spawn_blocking(move || {
            // Given back by the thread, not by whoever waits for it: it is the threads that are few.
            let _permit = permit;
            dns_lookup::lookup_addr(&address).ok()
        });
        looked_up.await.ok()
    };
    timeout(REVERSE_TIMEOUT, lookup).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_none() {
        let (check, addresses) = check(&"no-such-host.invalid".parse().unwrap()).await;
        assert!(addresses.is_empty() && check.addresses.is_empty());
        assert!(!check.is_address);
        assert!(check.failure.is_some());
    }

    #[tokio::test]
    async fn an_address_in_the_place_of_a_name() {
        let (check, addresses) = check(&"[::1]:3390".parse().unwrap()).await;
        assert_eq!(addresses, ["[::1]:3390".parse().unwrap()]);
        assert!(check.is_address);
        assert_eq!((check.name.as_str(), check.failure), ("::1", None));
    }

    #[tokio::test]
    async fn this_machine_has_a_name() {
        let addresses = ["127.0.0.1:1".parse().unwrap()];
        let names = reverse(&addresses).await;
        assert!(names["127.0.0.1"].as_deref().is_some_and(|name| !name.is_empty()), "{names:?}");
    }
}
