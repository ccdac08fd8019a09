//! What heads of HTTP say about a gateway's protocol.

use crate::trace::{HttpRequest, HttpResponse, Micros, Phase, Role};
use crate::wire::http::{RequestHead, ResponseHead};

/// A request whose answer is awaited.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange {
    pub(super) method: Option<String>,
    pub(super) role: Role,
    /// It brought Authorization.
    pub(super) is_authorized: bool,
    /// When its head ended; absent where no request was seen.
    pub(super) head_us: Option<Micros>,
}

impl Exchange {
    pub(super) fn new(head: &RequestHead, t_us: Micros) -> Exchange {
        Exchange {
            method: Some(head.method.clone()),
            role: role(head),
            is_authorized: head.authorization.is_some(),
            head_us: Some(t_us),
        }
    }

    /// The phase of its answer.
    pub(super) fn answer_phase(&self) -> Phase {
        if self.is_authorized { Phase::GatewayAuth } else { Phase::GatewayHttp }
    }
}

/// What a request is for, by method and path (MS-TSGU 3.3.5.1, MS-RPCH 3.2.1.1, MS-KKDCP 3.2.5).
fn role(head: &RequestHead) -> Role {
    let is = |method: &str| head.method.eq_ignore_ascii_case(method);
    let path = head.path.to_ascii_lowercase();
    match head {
        _ if is("RDG_IN_DATA") => Role::InChannel,
        _ if is("RPC_IN_DATA") => Role::RpcIn,
        _ if is("RPC_OUT_DATA") => Role::RpcOut,
        head if is("RDG_OUT_DATA") && !head.upgrade => Role::OutChannel,
        head if is("RDG_OUT_DATA") || head.upgrade && path.contains("/remotedesktopgateway") => {
            Role::Websocket
        }
        _ if is("POST") && path.trim_end_matches('/').ends_with("/kdcproxy") => Role::KdcProxy,
        _ => Role::Other,
    }
}

pub(super) fn request(head: RequestHead) -> HttpRequest {
    HttpRequest {
        role: role(&head),
        method: head.method,
        path: head.path,
        query_names: head.query_names,
        version: head.version.to_owned(),
        headers: head.headers,
        connection_id: head.connection_id,
        correlation_id: head.correlation_id,
        auth_scheme: head.auth_scheme,
        upgrade: head.upgrade,
        authorization: head.authorization,
        framing: head.framing,
        length: head.length,
    }
}

pub(super) fn response(head: ResponseHead, exchange: &Exchange, t_us: Micros) -> HttpResponse {
    HttpResponse {
        role: exchange.role,
        method: exchange.method.clone(),
        refused: is_refused(&head, exchange),
        status: head.status,
        reason: head.reason,
        version: head.version.to_owned(),
        headers: head.headers,
        challenges: head.challenges,
        framing: head.framing,
        length: head.length,
        took_us: exchange.head_us.map_or(0, |head_us| t_us.saturating_sub(head_us)),
    }
}

/// A 401 goes on where it brings a token, or where it is the first word.
fn is_refused(head: &ResponseHead, exchange: &Exchange) -> bool {
    let asks = head.status == 401 || head.status == 407;
    let has_token = head.challenges.iter().any(|challenge| challenge.token.is_some());
    let goes_on = has_token || !exchange.is_authorized && !head.challenges.is_empty();
    asks && !goes_on
}
