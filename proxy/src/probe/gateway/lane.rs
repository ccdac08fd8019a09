//! How the checks of one gateway reach it, once it is known how.

use super::channel::{Came, Channel, Ear, unseen};
use super::request::{Request, connection_id};
use crate::intercept::tls::Stack;
use crate::probe::way::Way;
use crate::trace::{AlpnCheck, GatewayAnswer, GatewayRequest, GatewayRequestCheck, HttpVersionsCheck};
use crate::wire::http::http2;
use std::time::Instant;

/// The protocols that browsers and Windows' HTTP client offer.
const PROTOCOLS: [&str; 2] = [HTTP_2, HTTP_1];
const HTTP_2: &str = "h2";
const HTTP_1: &str = "http/1.1";

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
        self.ask_over(what, &[]).await
    }

    /// The same where these protocols are offered by ALPN.
    async fn ask_over(&self, what: GatewayRequest, protocols: &[&str]) -> GatewayRequestCheck {
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
        match Channel::open(&self.way, &mut connection, 1, &self.stack, protocols, unseen()).await {
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
        Some(AlpnCheck { selected, alone: None })
    }

    /// Asks for an OUT channel in HTTP/2 and in HTTP/1.1.
    pub(super) async fn each_version(&self) -> Option<HttpVersionsCheck> {
        let mut connection = self.way.open().await.ok()?;
        let mut channel =
            Channel::open(&self.way, &mut connection, 1, &self.stack, &[HTTP_2], unseen()).await.ok()?;
        let (http2, http2_status) = self.in_http2(&mut channel).await;
        channel.farewell().await;
        let http1 = self.ask_over(GatewayRequest::OutChannel, &[HTTP_1]).await.answer;
        Some(HttpVersionsCheck { http2, http2_status, http1 })
    }

    /// Whether HTTP/2 is spoken, and the status of the answer in it.
    async fn in_http2(&self, channel: &mut Channel<'_>) -> (bool, Option<u16>) {
        let id = connection_id();
        let request = Request::new(GatewayRequest::OutChannel, &self.host, &id);
        let headers = [("Accept", "*/*"), ("User-Agent", "MS-RDGateway/1.0"), ("RDG-Connection-Id", &id)];
        let asked = http2::first_request(request.method, request.path, &self.host, &headers);
        let mut ear = Ear::new(Instant::now(), None);
        channel.send(&mut ear, &[http2::CLIENT_BEGINNING, &asked].concat()).await;
        let began = Instant::now();
        loop {
            let came =
                channel.listen(&mut ear, self.way.answer_timeout.saturating_sub(began.elapsed())).await;
            let status = http2::first_status(channel.received());
            if status.is_some() || !matches!(came, Came::Bytes) {
                return (http2::is_server_preface(channel.received()), status);
            }
        }
    }
}
