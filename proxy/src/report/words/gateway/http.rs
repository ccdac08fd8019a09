//! Requests for a tunnel and how they were answered.

use super::transport_name;
use crate::report::{safe, time};
use crate::trace::{Event, GatewayMessage, HttpRequest, HttpResponse, Micros, Role, Transport};

/// What the standard calls the statuses that need no reason beside them.
const EXPECTED: [u16; 3] = [101, 200, 401];

/// Everything on one connection that asks for the same.
struct Group<'a> {
    connection: Option<u32>,
    role: Role,
    began_us: Micros,
    requests: Vec<&'a HttpRequest>,
    responses: Vec<&'a HttpResponse>,
}

pub(super) fn describe(messages: &[(&Event, &GatewayMessage)], several: bool) -> Vec<String> {
    let groups = grouped(messages);
    let mut clauses = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        clauses.push(group.asked(several));
        clauses.extend(group.logon(several));
        let before = groups[..place].iter().rev().find(|before| before.transport().is_some());
        let fell_back = before.filter(|before| group.is_fallback_from(before));
        if let (Some(before), Some(transport)) = (fell_back, group.transport()) {
            let cost = time::short(group.began_us.saturating_sub(before.began_us));
            clauses.push(format!("the client fell back to {} after {cost}", transport_name(transport)));
        }
    }
    clauses
}

fn grouped<'a>(messages: &[(&'a Event, &'a GatewayMessage)]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (event, message) in messages {
        let role = match message {
            GatewayMessage::HttpRequest(request) => request.role,
            GatewayMessage::HttpResponse(response) => response.role,
            _ => continue,
        };
        let same = |group: &Group<'_>| group.connection == event.connection && group.role == role;
        let at = groups.iter().position(same).unwrap_or_else(|| {
            let (connection, began_us) = (event.connection, event.t_us);
            groups.push(Group { connection, role, began_us, requests: vec![], responses: vec![] });
            groups.len() - 1
        });
        match message {
            GatewayMessage::HttpRequest(request) => groups[at].requests.push(request),
            GatewayMessage::HttpResponse(response) => groups[at].responses.push(response),
            _ => {}
        }
    }
    groups
}

impl Group<'_> {
    fn place(&self, several: bool) -> String {
        match self.connection.filter(|_| several) {
            Some(number) => format!("connection {number}: "),
            None => String::new(),
        }
    }

    fn transport(&self) -> Option<Transport> {
        match self.role {
            Role::Websocket => Some(Transport::GatewayWebsocket),
            Role::OutChannel | Role::InChannel => Some(Transport::GatewayHttp),
            Role::RpcIn | Role::RpcOut => Some(Transport::GatewayRpc),
            Role::KdcProxy | Role::Other => None,
        }
    }

    fn is_fallback_from(&self, before: &Group<'_>) -> bool {
        self.transport() != before.transport() && self.transport().is_some()
    }

    /// `WebSocket asked for, 401, 101 from Microsoft-HTTPAPI/2.0`.
    fn asked(&self, several: bool) -> String {
        let method = self.requests.first().map(|request| request.method.as_str());
        let method = method.or(self.responses.first().and_then(|response| response.method.as_deref()));
        let what = match self.role {
            Role::Websocket => "WebSocket asked for".to_owned(),
            Role::OutChannel => "OUT channel asked for".to_owned(),
            Role::InChannel => "IN channel asked for".to_owned(),
            Role::RpcOut => "RPC OUT channel asked for".to_owned(),
            Role::RpcIn => "RPC IN channel asked for".to_owned(),
            Role::KdcProxy => "KDC proxy asked".to_owned(),
            Role::Other => {
                let path = self.requests.first().map_or("", |request| request.path.as_str());
                format!("{} {}", safe::name(method.unwrap_or("a request")), safe::name(path))
            }
        };
        let place = self.place(several);
        let Some(last) = self.responses.last() else {
            // The answer may belong to the next phase, and an IN channel has none.
            return format!("{place}{what}");
        };
        let before = &self.responses[..self.responses.len() - 1];
        let mut statuses: Vec<String> = before.iter().map(|response| response.status.to_string()).collect();
        let reason = last.reason.trim();
        let is_plain = EXPECTED.contains(&last.status)
            && ["Switching Protocols", "OK", "Success", "Unauthorized", ""].contains(&reason);
        statuses.push(match is_plain {
            true => last.status.to_string(),
            false => format!("{} {}", last.status, safe::name(reason)).trim_end().to_owned(),
        });
        format!("{place}{what}, {} from {}", statuses.join(", "), author(last))
    }

    /// What the client logs on with, or what it is asked for.
    fn logon(&self, several: bool) -> Option<String> {
        let place = self.place(several);
        let sent: Vec<_> =
            self.requests.iter().filter_map(|request| request.authorization.as_ref()).collect();
        let Some(last) = sent.last() else {
            let asks = self.responses.iter().rev().find(|response| !response.challenges.is_empty())?;
            let mut schemes: Vec<String> = Vec::new();
            for challenge in &asks.challenges {
                let scheme = safe::name(&challenge.scheme);
                if !schemes.contains(&scheme) {
                    schemes.push(scheme);
                }
            }
            return Some(format!("{place}a logon is asked for: {}", schemes.join(", ")));
        };
        // Where the answers belong to the next phase, that tells of the logon.
        if self.responses.is_empty() {
            return None;
        }
        let steps =
            self.responses.iter().filter(|it| it.challenges.iter().any(|it| it.token.is_some())).count();
        let scheme = safe::name(&last.scheme);
        let mechanism = last.token.as_deref().and_then(|token| token.split(' ').next());
        let by = match mechanism.filter(|mechanism| !mechanism.eq_ignore_ascii_case(&last.scheme)) {
            Some(mechanism) => format!("{} over {scheme}", safe::name(mechanism)),
            None => scheme,
        };
        let rounds = match sent.len().max(steps + 1) {
            1 => "one round".to_owned(),
            2 => "two rounds".to_owned(),
            count => format!("{count} rounds"),
        };
        let bound = if last.channel_bindings == Some(true) { ", bound to TLS" } else { "" };
        Some(format!("{place}{by}, {rounds}{bound}"))
    }
}

/// Who wrote the response, as far as it says.
fn author(response: &HttpResponse) -> String {
    let value = |name: &str| {
        let mut found = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next()?.value.as_deref().map(safe::name)
    };
    match (value("Via"), value("Server")) {
        (Some(via), Some(server)) => format!("{server} through {via}"),
        (Some(via), None) => via,
        (None, Some(server)) => server,
        (None, None) => "a server without a name".to_owned(),
    }
}
