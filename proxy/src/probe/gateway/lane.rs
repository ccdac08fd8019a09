//! How the checks of one gateway reach it, once it is known how.

use super::channel::{Channel, Ear, unseen};
use super::request::{Request, connection_id};
use crate::intercept::tls::Stack;
use crate::probe::way::Way;
use crate::trace::{AlpnCheck, GatewayAnswer, GatewayRequest, GatewayRequestCheck};
use std::time::Instant;

/// The protocols that browsers and Windows' HTTP client offer.
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// The address that answered, the TLS stack that came through, and what the gateway is called.
pub(super) struct Lane {
    pub(super) way: Way,
    pub(super) stack: Stack,
    /// As a client writes it into Host.
    pub(super) host: String,
}

impl Lane {
    /// Asks `what` on a connection of its own.
    pub(super) async fn ask(&self, what: GatewayRequest) -> GatewayRequestCheck {
        let id = connection_id();
        let request = Request::new(what, &self.host, &id);
        let not_reached = |reason: String| GatewayRequestCheck {
            request: what,
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            answer: GatewayAnswer::NotReached { reason },
            is_complete: None,
            took_us: 0,
        };
        let mut connection = match self.way.open().await {
            Ok(connection) => connection,
            Err(error) => return not_reached(crate::relay::connect::plain_reason(&error)),
        };
        match Channel::open(&self.way, &mut connection, 1, &self.stack, &[], unseen()).await {
            Ok(mut channel) => {
                let mut ear = Ear::new(Instant::now(), None);
                let check = channel.ask(&mut ear, &request, self.way.answer_timeout).await;
                channel.farewell().await;
                check
            }
            Err(error) => not_reached(error.words()),
        }
    }

    /// What is selected of everything that a client may offer above TLS.
    pub(super) async fn alpn(&self) -> Option<AlpnCheck> {
        let mut connection = self.way.open().await.ok()?;
        let opened =
            Channel::open(&self.way, &mut connection, 1, &self.stack, &PROTOCOLS, unseen()).await.ok()?;
        let selected = opened.protocol.as_ref().map(|name| String::from_utf8_lossy(name).into_owned());
        opened.farewell().await;
        Some(AlpnCheck { selected })
    }
}
