//! Whether full-size segments come through: a ClientHello that fits one small segment against one that fills several.
//!
//! Both ask for a HelloRetryRequest, so that the answer is small as well: only the way to the server is tried. Where
//! one of them is lost, the large one goes once more in small segments, which the server then sends, too; and where that
//! comes through, once more as before, because a single loss may be an accident.

use super::hello;
use super::negotiation;
use super::tls::answer::{self, Until};
use super::way::Way;
use crate::relay::tcp_info::tcp_info;
use crate::trace::{HelloAnswer, PathCheck};
use crate::wire::tls::HelloOffer;

/// Bytes of the large hello: three segments of Ethernet, and far below what any server of TLS takes.
const LARGE: usize = 4200;
/// The largest segment when they are kept small, bytes: what passes through every tunnel that carries IPv6, whose
/// smallest packet is 1280.
const CLAMPED_MSS: u32 = 1200;

/// TCP connections that [`check`] opens at most.
pub(super) const CONNECTIONS: u32 = 4;

/// Asks by `way`.
pub(super) async fn check(way: &Way) -> PathCheck {
    let small = hello::usual(&way.server_name);
    let large = HelloOffer { padded_to: Some(LARGE), ..small.clone() };
    let ((small_answer, _), (large_answer, send_mss)) = tokio::join!(ask(way, &small), ask(way, &large));
    let is_lost = |answer: &HelloAnswer| matches!(answer, HelloAnswer::Silent);
    let clamped = if is_lost(&small_answer) || is_lost(&large_answer) {
        let way = Way { largest_segment: Some(CLAMPED_MSS), ..way.clone() };
        Some(ask(&way, &large).await.0)
    } else {
        None
    };
    let large_again = match &clamped {
        Some(clamped) if is_lost(&large_answer) && is_answer(clamped) => Some(ask(way, &large).await.0),
        _ => None,
    };
    PathCheck {
        small_bytes: small.records().len(),
        small: small_answer,
        large_bytes: large.records().len(),
        large: large_answer,
        clamped_mss: clamped.is_some().then_some(CLAMPED_MSS),
        clamped,
        large_again,
        send_mss,
    }
}

/// Whether the server said anything, and be it no.
fn is_answer(answer: &HelloAnswer) -> bool {
    !matches!(answer, HelloAnswer::Silent | HelloAnswer::NotReached { .. })
}

/// What came of `offer`, and the largest segment that the system sends on the connection.
async fn ask(way: &Way, offer: &HelloOffer) -> (HelloAnswer, Option<u32>) {
    let mut connection = match way.negotiated(negotiation::USUAL).await {
        Ok(connection) => connection,
        Err(not) => return (HelloAnswer::NotReached { reason: not.reason }, None),
    };
    let answered =
        answer::exchange(&mut connection, &offer.records(), Until::Hello, way.answer_timeout).await;
    (answered.answer, tcp_info(&connection).and_then(|info| info.send_mss))
}
