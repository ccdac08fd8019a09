//! What stands in clear above TLS, or without it, in words.

use super::counted;
use crate::report::safe;
use crate::trace::{Detail, Event, RdpMessage, Side};
use crate::wire::named::Code;
use crate::wire::rdp::client_info::ClientInfo;
use crate::wire::rdp::licensing::License;
use crate::wire::rdp::redirection::ServerRedirection;
use crate::wire::rdp::share::SetErrorInfo;

pub(super) fn describe(events: &[Event]) -> Vec<String> {
    let messages = || {
        events.iter().filter_map(|event| match &event.detail {
            Detail::Rdp(message) => Some((event.from, &**message)),
            _ => None,
        })
    };
    let is_join =
        |message: &RdpMessage| matches!(message, RdpMessage::ChannelJoinConfirm { channel_id: Some(_), .. });
    let joined = messages().filter(|(_, message)| is_join(message)).count();
    let mut clauses = Vec::new();
    if joined > 0 {
        clauses.push(format!("{joined} channels joined"));
    }
    clauses.extend(counted(messages().filter_map(|(from, message)| clause(from, message))));
    clauses
}

fn clause(from: Option<Side>, message: &RdpMessage) -> Option<String> {
    let who = from.map_or("rdpscope".to_owned(), |side| side.to_string());
    Some(match message {
        RdpMessage::ConnectInitial(client) => {
            let core = client.core.as_ref()?;
            let size = format!("{}x{}", core.desktop_width, core.desktop_height);
            format!("client {}, build {}, desktop {size}", safe::name(&core.client_name), core.client_build)
        }
        RdpMessage::ConnectResponse(response) if response.result.value != 0 => {
            format!("server refused the client's settings: {}", code(&response.result))
        }
        RdpMessage::ConnectResponse(response) => {
            // Under TLS there is no further encryption, and nothing to tell.
            let security = response.data.security.as_ref().filter(|security| security.encrypts())?;
            format!("server's encryption level: {}", code(&security.encryption_level))
        }
        RdpMessage::AttachUserConfirm { result, .. } if result.value != 0 => {
            format!("server refused to attach the user: {}", code(result))
        }
        RdpMessage::ChannelJoinConfirm { result, requested, channel_id: None } => {
            format!("server refused channel {requested}: {}", code(result))
        }
        RdpMessage::DisconnectProviderUltimatum { reason } => {
            format!("{who} ended the session: {}", code(reason))
        }
        RdpMessage::ClientInfo(info) => user(info)?,
        RdpMessage::License(license) => licence(license)?,
        RdpMessage::FontMap => "connection sequence complete".to_owned(),
        RdpMessage::SetErrorInfo(info) if info.error_info != 0 => error_info(info),
        RdpMessage::SaveSessionInfo(info) => {
            let error = info.logon_error.as_ref()?;
            format!("logon: {}, {}", code(&error.notification_type), code(&error.notification_data))
        }
        RdpMessage::ShutdownRequest => "user asked to close the window".to_owned(),
        RdpMessage::StatusInfo(info) => format!("broker: {}", code(&info.status_code)),
        RdpMessage::AutoReconnectStatus(_) => "server refused to reconnect automatically".to_owned(),
        RdpMessage::MultitransportRequest(_) => "server offered UDP".to_owned(),
        RdpMessage::MultitransportResponse(response) if response.hr_response.value != 0 => {
            format!("client did not get UDP: {}", code(&response.hr_response))
        }
        RdpMessage::ServerRedirection(redirection) => redirected(redirection),
        RdpMessage::Malformed { structure, offset, reason } => {
            let (structure, reason) = (safe::name(structure), safe::name(reason));
            format!("{who} sent a broken {structure}: {reason} (offset {offset}); relayed all the same")
        }
        _ => return None,
    })
}

pub(super) fn as_moment(message: &RdpMessage, from: Option<Side>, seen_by: Side) -> Option<String> {
    let noun = match message {
        RdpMessage::ConnectInitial(_) => "MCS connect initial",
        RdpMessage::ConnectResponse(_) => "MCS connect response",
        RdpMessage::ClientInfo(_) => "client info",
        RdpMessage::License(_) => "licensing message",
        RdpMessage::DemandActive(_) => "demand active",
        RdpMessage::ConfirmActive(_) => "confirm active",
        RdpMessage::SetErrorInfo(info) if info.error_info != 0 => "error info",
        RdpMessage::DisconnectProviderUltimatum { .. } => "disconnect ultimatum",
        RdpMessage::ShutdownRequest => "shutdown request",
        RdpMessage::ServerRedirection(_) => "redirection",
        _ => return None,
    };
    let from = from?;
    Some(if from == seen_by { format!("its {noun}") } else { format!("the {from}'s {noun}") })
}

fn code(code: &Code) -> String {
    code.name.as_deref().map_or_else(|| format!("{:#x}", code.value), safe::name)
}

fn user(info: &ClientInfo) -> Option<String> {
    let name = info.user_name.as_deref().filter(|name| !name.is_empty())?;
    let domain = info.domain.as_deref().filter(|domain| !domain.is_empty());
    Some(match domain {
        Some(domain) => format!("user {}\\{}", safe::name(domain), safe::name(name)),
        None => format!("user {}", safe::name(name)),
    })
}

fn licence(license: &License) -> Option<String> {
    if license.completes() {
        return Some("licence accepted".to_owned());
    }
    let alert = license.alert.as_ref()?;
    Some(format!("licence error: {}, {}", code(&alert.error_code), code(&alert.state_transition)))
}

fn error_info(info: &SetErrorInfo) -> String {
    let name = info.name.as_deref().map_or("unknown error info".to_owned(), safe::name);
    let meaning = info.meaning.as_deref().map(|meaning| format!(": {meaning}")).unwrap_or_default();
    format!("server said {name} ({:#x}){meaning}", info.error_info)
}

fn redirected(redirection: &ServerRedirection) -> String {
    let target = redirection.target_fqdn.as_ref().or(redirection.target_net_address.as_ref());
    let target = target.or(redirection.target_net_bios_name.as_ref());
    format!(
        "broker sent the client to {}",
        target.map_or("another server".to_owned(), |target| safe::name(target))
    )
}
