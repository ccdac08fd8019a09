//! TLS: each version, and the suites and groups that it takes, asked for with raw hellos.

pub(super) mod answer;
mod catalogue;
mod elimination;
mod plan;
#[cfg(test)]
mod tests;

use super::hello;
use super::negotiation::USUAL;
use super::way::Way;
use crate::trace::{HelloAnswer, LeftOut, TlsCheck};
use crate::wire::tls::HelloOffer;
use answer::{Answered, Until};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The most connections of one scan. A server that takes every suite of a library of today in every version needs
/// some 220; a usual one, 60.
pub(super) const MOST_CONNECTIONS: u32 = 256;

/// Finds what the server behind `way` takes, and says what could not be asked to its end.
pub(super) async fn scan(way: &Way) -> (TlsCheck, Vec<LeftOut>) {
    let server = Server { way, asked: AtomicU32::new(0), answers: AtomicBool::new(false) };
    let (check, left_out) = Box::pin(plan::scan(&server)).await;
    (TlsCheck { direct: way.direct, ..check }, left_out)
}

/// The target, as something to ask.
struct Server<'a> {
    way: &'a Way,
    asked: AtomicU32,
    /// Whether a connection came as far as a hello.
    answers: AtomicBool,
}

impl plan::Ask for Server<'_> {
    async fn ask(&self, offer: HelloOffer, until: Until) -> Answered {
        let answered = tokio::time::timeout_at(self.way.deadline, self.ask_in_time(offer, until)).await;
        answered.unwrap_or_else(|_| not_reached("there was no time left"))
    }
}

impl Server<'_> {
    /// A server that took connections before and refuses one is only busy: it is asked once more.
    async fn ask_in_time(&self, offer: HelloOffer, until: Until) -> Answered {
        let Some(random) = random() else { return not_reached("the system has no random numbers") };
        let server_name = hello::server_name(&self.way.server_name);
        let records = HelloOffer { random, server_name, ..offer }.records();
        let answered = self.ask_once(&records, until).await;
        let is_busy =
            matches!(answered.answer, HelloAnswer::NotReached { .. }) && self.answers.load(Ordering::Relaxed);
        if is_busy { self.ask_once(&records, until).await } else { answered }
    }

    async fn ask_once(&self, records: &[u8], until: Until) -> Answered {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            return not_reached(&format!("the {MOST_CONNECTIONS} connections of the TLS scan are used up"));
        }
        match self.way.negotiated(USUAL).await {
            Ok(mut connection) => {
                self.answers.store(true, Ordering::Relaxed);
                answer::exchange(&mut connection, records, until, self.way.answer_timeout).await
            }
            Err(not_negotiated) => not_reached(&not_negotiated.reason),
        }
    }
}

fn not_reached(reason: &str) -> Answered {
    HelloAnswer::NotReached { reason: reason.to_owned() }.into()
}

/// From the same generator that TLS uses.
pub(super) fn random() -> Option<[u8; 32]> {
    let mut random = [0; 32];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut random).ok()?;
    Some(random)
}
