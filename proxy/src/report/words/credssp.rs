//! The authentication inside TLS in words: CredSSP and what may stand in its place.

use super::{counted, meaning};
use crate::explain::Family;
use crate::report::safe;
use crate::trace::{Detail, Event, Micros, Side};
use crate::wire::credssp::kerberos::KerberosToken;
use crate::wire::credssp::ntlm::{NtlmAuthenticate, NtlmChallenge, NtlmMessage};
use crate::wire::credssp::status::FACILITY_NT_BIT;
use crate::wire::credssp::{MechanismToken, TsRequest};
use crate::wire::named::Code;
use crate::wire::rdsaad::RdsAadPdu;
use crate::wire::rdstls::RdstlsPdu;

/// Clocks that are less apart are not worth a word: the way of the message and its handling are in the difference.
const SKEW_TOLD_US: u64 = 2_000_000;
/// Kerberos allows no more (RFC 4120 1.2, and Windows' policy).
const SKEW_OF_KERBEROS_US: u64 = 300_000_000;

/// `started_unix_us`: the moment of the events' zero, µs since 1970, where it is known.
pub(super) fn describe(events: &[Event], started_unix_us: Option<i64>) -> Vec<String> {
    // What rdpscope says where it logs on by itself is no news of client or server.
    let events = || events.iter().filter(|event| event.from.is_some());
    let requests: Vec<(Option<Side>, &TsRequest)> = events()
        .filter_map(|event| match &event.detail {
            Detail::TsRequest(request) => Some((event.from, &**request)),
            _ => None,
        })
        .collect();
    let mut clauses: Vec<String> = overview(&requests).into_iter().collect();
    let details = events().flat_map(|event| clauses_of(event, started_unix_us));
    clauses.extend(counted(details));
    clauses
}

/// The event as something after which the other side ended the session.
pub(super) fn noun(request: &TsRequest) -> &'static str {
    if request.failure().is_some() {
        "refusal of the logon"
    } else if request.auth_info_length.is_some() {
        "credentials"
    } else {
        "NLA message"
    }
}

/// `CredSSP 6, NTLM`: the version and the mechanism that the messages came to.
fn overview(requests: &[(Option<Side>, &TsRequest)]) -> Option<String> {
    let version = requests.iter().map(|(_, request)| request.version).min()?;
    let of_client = || requests.iter().filter(|(from, _)| *from == Some(Side::Client));
    let used: Vec<&str> = of_client().filter_map(|(_, request)| request.mechanism()).collect();
    let offered = of_client().flat_map(|(_, request)| &request.nego_tokens);
    let offers_kerberos = offered
        .filter_map(|token| token.spnego.as_ref())
        .any(|spnego| spnego.mechanisms.iter().any(|name| name.starts_with("Kerberos")));
    let mechanism = match (used.last(), used.contains(&"Kerberos"), offers_kerberos) {
        (None, ..) => String::new(),
        (Some(&"NTLM"), true, _) => ", NTLM after Kerberos was refused".to_owned(),
        (Some(&"NTLM"), false, true) => {
            ", NTLM though Kerberos was offered: the client has no ticket".to_owned()
        }
        (Some(name), ..) => format!(", {name}"),
    };
    Some(format!("CredSSP {version}{mechanism}"))
}

fn clauses_of(event: &Event, started_unix_us: Option<i64>) -> Vec<String> {
    match &event.detail {
        Detail::TsRequest(request) => {
            let tokens = request.nego_tokens.iter().filter_map(|token| token.mechanism.as_ref());
            let now = started_unix_us.map(|started| started.saturating_add_unsigned(event.t_us));
            let mut clauses: Vec<String> = tokens.flat_map(|token| mechanism(token, now)).collect();
            let refused = |code| refused(code, &[Family::Ntstatus, Family::Sspi]);
            clauses.extend(request.failure().map(refused));
            clauses
        }
        Detail::EarlyUserAuthorizationResult { result: Some(result), .. } => {
            vec![answer("server lets the user in", result, &[Family::Authorization])]
        }
        Detail::Rdstls(pdu) => rdstls(pdu).into_iter().collect(),
        Detail::RdsAad(pdu) => rdsaad(pdu).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn mechanism(token: &MechanismToken, now_unix_us: Option<i64>) -> Vec<String> {
    match token {
        MechanismToken::Ntlm(NtlmMessage::Negotiate(_)) => Vec::new(),
        MechanismToken::Ntlm(NtlmMessage::Challenge(challenge)) => {
            let skew =
                now_unix_us.zip(challenge.timestamp_unix_us).and_then(|(now, theirs)| skew(now, theirs));
            [Some(server(challenge)), skew].into_iter().flatten().collect()
        }
        MechanismToken::Ntlm(NtlmMessage::Authenticate(answer)) => vec![user(answer)],
        MechanismToken::Kerberos(token) => kerberos(token).into_iter().collect(),
    }
}

/// `server is FS01 (fs01.corp.example) of EXAMPLE, Windows Server 2022, build 20348`.
pub(in crate::report) fn server(challenge: &NtlmChallenge) -> String {
    let name = |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(safe::name);
    let computer = name(&challenge.netbios_computer).or(name(&challenge.target_name));
    let mut text = format!("server is {}", computer.as_deref().unwrap_or("without a name"));
    let is_same = |name: &String| computer.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name));
    if let Some(dns) = name(&challenge.dns_computer).filter(|dns| !is_same(dns)) {
        text += &format!(" ({dns})");
    }
    match name(&challenge.netbios_domain) {
        Some(domain) if is_same(&domain) => text += " of no domain",
        Some(domain) => text += &format!(" of {domain}"),
        None => {}
    }
    text + &challenge.version.map(|version| format!(", {}", version.words())).unwrap_or_default()
}

fn user(answer: &NtlmAuthenticate) -> String {
    let name = |name: &Option<String>| name.as_deref().filter(|name| !name.is_empty()).map(safe::name);
    let user = name(&answer.user).unwrap_or_else(|| "nobody".to_owned());
    let user = name(&answer.domain).map_or(user.clone(), |domain| format!("{domain}\\{user}"));
    let from = name(&answer.workstation).map(|from| format!(" from {from}")).unwrap_or_default();
    let target = name(&answer.target_spn).map(|target| format!(" for {target}")).unwrap_or_default();
    format!("user {user}{from}{target}")
}

/// How far the server's clock is from the one that `now_unix_us` comes from.
pub(in crate::report) fn skew(now_unix_us: i64, theirs_unix_us: i64) -> Option<String> {
    let apart: Micros = now_unix_us.abs_diff(theirs_unix_us);
    if apart < SKEW_TOLD_US {
        return None;
    }
    let direction = if theirs_unix_us < now_unix_us { "behind" } else { "ahead" };
    let limit = if apart > SKEW_OF_KERBEROS_US { ", more than Kerberos allows" } else { "" };
    Some(format!("server's clock is {} {direction} rdpscope's{limit}", duration(apart)))
}

/// Seconds up to two minutes, then minutes, hours and days.
fn duration(us: Micros) -> String {
    match us / 1_000_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn kerberos(token: &KerberosToken) -> Option<String> {
    match token {
        KerberosToken::ApReq { service: Some(service), realm, encryption_type } => {
            let realm =
                realm.as_deref().map(|realm| format!(" in {}", safe::name(realm))).unwrap_or_default();
            let kind = encryption_type.as_ref();
            let kind = kind.map(|kind| kind.name.as_deref().map_or_else(|| code(kind), str::to_owned));
            let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
            Some(format!("ticket for {}{realm}{kind}", safe::name(service)))
        }
        KerberosToken::Error { code: error } => Some(format!("Kerberos error {}", code(error))),
        _ => None,
    }
}

fn rdstls(pdu: &RdstlsPdu) -> Option<String> {
    match pdu {
        RdstlsPdu::Capabilities { .. } => None,
        RdstlsPdu::PasswordRequest { user, domain, .. } if domain.is_empty() => {
            Some(format!("user {} with the broker's password", safe::name(user)))
        }
        RdstlsPdu::PasswordRequest { user, domain, .. } => {
            Some(format!("user {}\\{} with the broker's password", safe::name(domain), safe::name(user)))
        }
        RdstlsPdu::CookieRequest { session_id, .. } => {
            Some(format!("client comes back to session {session_id}"))
        }
        RdstlsPdu::Response { result } => {
            Some(answer("server accepts the logon", result, &[Family::Authorization]))
        }
    }
}

fn rdsaad(pdu: &RdsAadPdu) -> Option<String> {
    match pdu {
        RdsAadPdu::ServerNonce { .. } => None,
        RdsAadPdu::AuthenticationRequest { .. } => Some("client signs in with Entra ID".to_owned()),
        RdsAadPdu::AuthenticationResult { result } => {
            Some(answer("server accepts the sign-in", result, &[Family::Ntstatus, Family::Sspi]))
        }
        RdsAadPdu::Other { keys } => {
            let keys: Vec<String> = keys.iter().map(|key| safe::name(key)).collect();
            Some(format!("an unknown Entra ID message: {}", keys.join(", ")))
        }
    }
}

fn answer(accepted: &str, result: &Code, families: &[Family]) -> String {
    if result.value == 0 { accepted.to_owned() } else { refused(result, families) }
}

fn refused(result: &Code, families: &[Family]) -> String {
    let numbers = [result.value, result.value & !FACILITY_NT_BIT];
    let known = |family: &Family| numbers.iter().find_map(|number| meaning(*family, *number));
    let meaning = families.iter().find_map(known);
    let meaning = meaning.map(|entry| format!(": {}", entry.meaning)).unwrap_or_default();
    format!("server refused the logon with {}{meaning}", code(result))
}

/// `STATUS_LOGON_FAILURE (0xc000006d)`.
fn code(code: &Code) -> String {
    match code.name.as_deref() {
        Some(name) => format!("{} ({:#x})", safe::name(name), code.value),
        None => format!("{:#x}", code.value),
    }
}
