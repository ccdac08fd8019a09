//! Network level authentication: what the server answers to the logon where CredSSP, RDSTLS or RDS-AAD can be read.

use super::certificate::{DIAL_BY_NAME, PROXY_NAME};
use super::confounders;
use super::facts::{Facts, Seen, Status};
use super::logon_status::{ACCESS_DENIED, NOT_SUPPORTED, UNSUPPORTED_FUNCTION, logon_status};
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{ended, list};
use crate::trace::{Confidence, Leg, Phase, Side, VerdictId, Where};

/// Kerberos allows clocks to be this far apart (RFC 4120, the usual setting); seconds.
pub(super) const MOST_SKEW_SECONDS: i64 = 5 * 60;
/// KRB_AP_ERR_SKEW (RFC 4120 7.5.9).
const KRB_AP_ERR_SKEW: u32 = 37;
/// The version of CredSSP with the update for CVE-2018-0886; older ones are refused after it by policy.
const FIRST_UPDATED_VERSION: u32 = 5;
/// AlertDescription access_denied, with which RDP servers refuse credentials.
const ALERT_ACCESS_DENIED: u8 = 49;

const LOGON_LOG: Remedy = Remedy::command(
    Where::Server,
    "Read why logons failed: the status in event 4625 says whether it was the password, the account or a policy.",
    "Get-WinEvent -FilterHashtable @{LogName='Security';Id=4625} -MaxEvents 5 | fl TimeCreated,Message",
);
const SAVED_CREDENTIALS: Remedy = Remedy::command(
    Where::Client,
    "Forget an old saved password for this server, then type user and password anew, the user as DOMAIN\\USER or \
     USER@DOMAIN.",
    "cmdkey /delete:TERMSRV/{host}",
);
const RIGHTS: Remedy = Remedy::command(
    Where::Server,
    "See who has the rights to log on from the network and through Remote Desktop, and to whom they are denied.",
    "secedit /export /areas USER_RIGHTS /cfg rights.inf",
);
const SECURE_CHANNEL: Remedy = Remedy::command(
    Where::Server,
    "See whether the server's own account in the domain works; -Repair with an administrator's credentials mends it.",
    "Test-ComputerSecureChannel -Verbose",
);
const TICKET: Remedy = Remedy::command(
    Where::Client,
    "See whether the client gets a ticket for the server.",
    "klist get TERMSRV/{host}",
);
const KEEP_NLA: &[Remedy] = &[Remedy::by_hand(
    Where::Client,
    "There is nothing to mend on the server. Give rdpscope the server's own key with --renew-with, and NLA works \
         on; or let it log on by itself with --nla terminate; or leave NLA out with --nla strip, where server and \
         client allow that.",
)];
const GIVEN_CREDENTIALS: &[Remedy] = &[Remedy::by_hand(
    Where::Client,
    "Let the client use the same user and password that rdpscope was given for --nla terminate.",
)];
const MORE: &[&str] = &["rdpscope ab {target} --vary nla", "rdpscope probe {target}"];

const STATUS: &str = "a status of the server in CredSSP, RDSTLS or RDS-AAD, readable where TLS is terminated";

/// A rule about one cause of a refused logon.
macro_rules! status_rule {
    ($id:ident, $fix:expr) => {
        Rule {
            id: VerdictId::$id,
            needs: STATUS,
            depends_on: &[],
            is_last_resort: false,
            judge: |facts| stated(facts, VerdictId::$id),
            next: MORE,
            fix: $fix,
        }
    };
}

pub(super) const RULES: &[Rule] = &[
    status_rule!(NlaLogonFailed, &[SAVED_CREDENTIALS, LOGON_LOG]),
    Rule {
        id: VerdictId::NlaLogonFailed,
        needs: "readable CredSSP, and the server's end of it without a status",
        depends_on: &[],
        is_last_resort: false,
        judge: silent_refusal,
        next: MORE,
        fix: &[SAVED_CREDENTIALS, LOGON_LOG],
    },
    Rule {
        id: VerdictId::NlaLogonFailed,
        needs: "the failure of the logon that rdpscope itself does with --nla terminate",
        depends_on: &[],
        is_last_resort: false,
        judge: own_logon_failed,
        next: &["rdpscope probe {target}"],
        fix: GIVEN_CREDENTIALS,
    },
    status_rule!(
        NlaAccountLocked,
        &[
            Remedy::command(
                Where::Server,
                "See which accounts of the domain are locked; `Unlock-ADAccount -Identity USER` unlocks one.",
                "Search-ADAccount -LockedOut | ft Name,LastLogonDate,LockedOut",
            ),
            Remedy::command(
                Where::Server,
                "Of a local account: see whether it is locked, and unlock it with `/active:yes`.",
                "net user USER",
            ),
            SAVED_CREDENTIALS,
        ]
    ),
    status_rule!(
        NlaAccountDisabled,
        &[Remedy::command(
            Where::Server,
            "See whether the account is disabled or past its end; `Enable-ADAccount -Identity USER` and \
             `Clear-ADAccountExpiration -Identity USER` mend that.",
            "Get-ADUser USER -Properties Enabled,AccountExpirationDate | fl Enabled,AccountExpirationDate",
        )]
    ),
    status_rule!(
        NlaPasswordExpired,
        &[
            Remedy::by_hand(
                Where::Client,
                "Change the password elsewhere, at a computer of the domain or in the web portal: NLA has no way to \
                 do it.",
            ),
            Remedy::command(Where::Server, "See until when the password is valid.", "net user USER /domain",),
        ]
    ),
    status_rule!(
        NlaAccountRestricted,
        &[
            Remedy::command(
                Where::Server,
                "See to which hours and computers the account is limited.",
                "Get-ADUser USER -Properties LogonHours,LogonWorkstations | fl LogonHours,LogonWorkstations",
            ),
            Remedy::command(
                Where::Server,
                "See whether accounts with an empty password are kept to the console: 1 means that they are.",
                "Get-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa' LimitBlankPasswordUse",
            ),
        ]
    ),
    status_rule!(
        NlaLogonTypeDenied,
        &[
            Remedy::command(
                Where::Server,
                "Let the user log on through Remote Desktop; it holds for the next logon.",
                "Add-LocalGroupMember -Group 'Remote Desktop Users' -Member DOMAIN\\USER",
            ),
            RIGHTS,
        ]
    ),
    status_rule!(
        NlaClockSkew,
        &[
            Remedy::command(
                Where::Client,
                "Compare the client's clock with the server's.",
                "w32tm /stripchart /computer:{host} /samples:3",
            ),
            Remedy::command(Where::Server, "Set the server's clock by the domain's.", "w32tm /resync"),
        ]
    ),
    Rule {
        id: VerdictId::NlaEncryptionOracle,
        needs: "the versions of CredSSP of both sides, and a status or the end of one of them",
        depends_on: &[],
        is_last_resort: false,
        judge: encryption_oracle,
        next: MORE,
        fix: &[
            Remedy::by_hand(
                Where::Server,
                "Install current updates on the side that is behind; every system since 2018 has this one.",
            ),
            Remedy::command(
                Where::Client,
                "See which policy holds: 0 demands updated servers, 1 does so as a client, 2 accepts old ones.",
                "reg query HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Policies\\System\\CredSSP\\Parameters \
                 /v AllowEncryptionOracle",
            ),
        ],
    },
    Rule {
        id: VerdictId::NlaKeyBinding,
        needs: "a status of bad bindings, or another key in the way and the end of CredSSP after it was bound",
        depends_on: &[],
        is_last_resort: false,
        judge: key_binding,
        next: &["rdpscope probe {target}"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Take this connection out of whatever inspects TLS between client and server.",
            ),
            LOGON_LOG,
        ],
    },
    Rule {
        id: VerdictId::NlaNtlmRefused,
        needs: "a status that refuses NTLM, or the server's refusal of every mechanism that was offered",
        depends_on: &[],
        is_last_resort: false,
        judge: ntlm_refused,
        next: MORE,
        fix: &[
            TICKET,
            Remedy::command(
                Where::Server,
                "See whether the server refuses NTLM: 1 does for domain accounts, 2 for all.",
                "Get-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Lsa\\MSV1_0' RestrictReceivingNTLMTraffic",
            ),
            Remedy::by_hand(
                Where::Client,
                "Dial the server's full name, not an address or an alias, so that Kerberos is possible, and do not \
                 log on as a member of Protected Users without it.",
            ),
        ],
    },
    status_rule!(
        NlaNoAuthority,
        &[
            Remedy::command(
                Where::Server,
                "See whether the server finds a domain controller.",
                "nltest /dsgetdc:DOMAIN",
            ),
            SECURE_CHANNEL,
        ]
    ),
    status_rule!(
        AuthorizationDenied,
        &[
            Remedy::command(
                Where::Server,
                "Let the user log on through Remote Desktop; it holds for the next logon.",
                "Add-LocalGroupMember -Group 'Remote Desktop Users' -Member DOMAIN\\USER",
            ),
            RIGHTS,
        ]
    ),
    Rule {
        id: VerdictId::ServerClosed,
        needs: "a status of the server that no other verdict stands for",
        depends_on: &[VerdictId::NlaKeyBinding],
        is_last_resort: false,
        judge: other_status,
        next: MORE,
        fix: &[LOGON_LOG],
    },
];

/// What the server's number says, and how sure it is.
fn cause(facts: &Facts<'_>, code: u32) -> Option<(VerdictId, Confidence)> {
    let updates_differ = versions_apart(facts).is_some();
    Some(match code {
        ACCESS_DENIED if is_bound_to_another_key(facts) => (VerdictId::NlaKeyBinding, Confidence::Confirmed),
        ACCESS_DENIED => (VerdictId::AuthorizationDenied, Confidence::Likely),
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION if updates_differ => {
            (VerdictId::NlaEncryptionOracle, Confidence::Confirmed)
        }
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION if facts.logon.ntlm.is_some() => {
            (VerdictId::NlaNtlmRefused, Confidence::Likely)
        }
        NOT_SUPPORTED | UNSUPPORTED_FUNCTION => (VerdictId::NlaEncryptionOracle, Confidence::Likely),
        code => match logon_status(code) {
            Some(status) => (status.cause, Confidence::Confirmed),
            None if is_bound_to_another_key(facts) => (VerdictId::NlaKeyBinding, Confidence::Confirmed),
            None => return None,
        },
    })
}

/// The server's number, where it stands for `id`.
fn status_for<'a>(facts: &Facts<'a>, id: VerdictId) -> Option<(Seen<Status<'a>>, Confidence)> {
    let status = facts.logon.status?;
    let (_, confidence) = cause(facts, status.what.code).filter(|(cause, _)| *cause == id)?;
    Some((status, confidence))
}

fn name(status: Status<'_>) -> String {
    let known = status.name.or_else(|| logon_status(status.code).map(|known| known.name));
    known.map_or_else(|| format!("{:#010x}", status.code), |name| format!("{name}, {:#010x}", status.code))
}

/// Whose logon the server judged.
fn whose_logon(facts: &Facts<'_>) -> &'static str {
    if facts.logon.terminated {
        "the logon that rdpscope was given for --nla terminate"
    } else {
        "the user's logon"
    }
}

fn seen_status(conclusion: Conclusion, status: Seen<Status<'_>>) -> Conclusion {
    let text = format!("the server answers {} in {}", name(status.what), status.what.field);
    conclusion.seen(status.t_us, text)
}

fn stated(facts: &Facts<'_>, id: VerdictId) -> Option<Conclusion> {
    if id == VerdictId::NlaClockSkew && facts.logon.status.is_none() {
        return kerberos_skew(facts);
    }
    let (status, confidence) = status_for(facts, id)?;
    let meaning = logon_status(status.what.code)
        .map_or("it is authenticated, but not allowed to log on", |known| known.meaning);
    let summary = format!("The server refused {}: {meaning} ({}).", whose_logon(facts), name(status.what));
    let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
    Some(match id {
        VerdictId::NlaClockSkew => with_skew(conclusion, facts),
        VerdictId::AuthorizationDenied if confidence != Confidence::Confirmed => {
            conclusion.or_possibly(&[VerdictId::NlaKeyBinding, VerdictId::NlaLogonTypeDenied])
        }
        // Some servers have one answer for everything.
        VerdictId::NlaLogonFailed if is_bound_to_another_key(facts) => {
            conclusion.or_possibly(&[VerdictId::NlaKeyBinding])
        }
        _ => conclusion,
    })
}

fn kerberos_skew(facts: &Facts<'_>) -> Option<Conclusion> {
    let error = facts.logon.kerberos_error.filter(|error| error.what == KRB_AP_ERR_SKEW)?;
    let summary = "Kerberos refused the logon because the clocks of client and server are too far apart.";
    let conclusion = Conclusion::confirmed(Phase::Credssp, summary);
    Some(with_skew(conclusion.seen(error.t_us, "KRB-ERROR 37, KRB_AP_ERR_SKEW"), facts))
}

fn with_skew(conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    match facts.clock_skew() {
        Some(skew) => conclusion.seen(skew.t_us, skew_words(skew.what)),
        None => conclusion,
    }
}

/// How far the server's clock is from this machine's, in words.
pub(super) fn skew_words(seconds: i64) -> String {
    let (minutes, way) = (seconds.unsigned_abs() / 60, if seconds < 0 { "behind" } else { "ahead of" });
    format!("by its NTLM message the server's clock is {minutes} min {way} this machine's")
}

/// The server ended CredSSP, or refused every mechanism, without a status.
fn was_silent(facts: &Facts<'_>) -> bool {
    let logon = &facts.logon;
    let denied = facts
        .tls
        .late_alert
        .is_some_and(|alert| alert.what.0 == Side::Server && alert.what.1.description == ALERT_ACCESS_DENIED);
    let unanswered = logon.last.is_some_and(|last| last.what == Side::Client);
    let is_in_nla = facts.inside.furthest.is_some_and(|furthest| furthest.what == Phase::Credssp);
    let by_server = facts.ended_by(Side::Server) && (unanswered || logon.rejected.is_some());
    logon.status.is_none()
        && logon.kerberos_error.is_none()
        && logon.own_failed.is_none()
        && is_in_nla
        && facts.inside.early_authorization.is_none()
        && (by_server || denied || logon.rejected.is_some())
}

/// The evidence of a refusal that names nothing.
fn seen_silence(conclusion: Conclusion, facts: &Facts<'_>) -> Conclusion {
    let conclusion = match facts.logon.last {
        Some(last) => conclusion.seen(last.t_us, format!("the last NLA message is from the {}", last.what)),
        None => conclusion,
    };
    let conclusion = match facts.tls.late_alert {
        Some(alert) => {
            let name = alert.what.1.description_name.as_deref().unwrap_or("without a name");
            conclusion.seen(alert.t_us, format!("the {} sends the TLS alert {name}", alert.what.0))
        }
        None => conclusion,
    };
    let who = facts.ending.by.map_or("nobody has", |by| match by {
        crate::trace::ClosedBy::Client => "the client",
        crate::trace::ClosedBy::Server => "the server",
        crate::trace::ClosedBy::Proxy => "rdpscope",
    });
    conclusion.seen(facts.ending.t_us, format!("{who} {} without a status", ended(facts.ending.how)))
}

fn silent_refusal(facts: &Facts<'_>) -> Option<Conclusion> {
    let says_more =
        is_bound_to_another_key(facts) || only_ntlm_rejected(facts) || versions_apart(facts).is_some();
    if !was_silent(facts) || says_more {
        return None;
    }
    let logon = &facts.logon;
    let proved = logon.key_bound[Side::Client.index()].is_some() && logon.credentials_sent.is_none();
    let confidence = if proved { Confidence::Likely } else { Confidence::Possible };
    let summary = format!(
        "The server ended network level authentication (NLA) after the client's last message of it and gave no status: \
         a wrong user name or password in {} is the usual cause.",
        whose_logon(facts)
    );
    let conclusion = Conclusion::new(confidence, Phase::Credssp, summary).or_possibly(&[
        VerdictId::NlaAccountLocked,
        VerdictId::NlaPasswordExpired,
        VerdictId::NlaLogonTypeDenied,
        VerdictId::NlaNtlmRefused,
        VerdictId::NlaNoAuthority,
    ]);
    Some(seen_silence(conclusion, facts))
}

fn own_logon_failed(facts: &Facts<'_>) -> Option<Conclusion> {
    let failed = facts.logon.own_failed.filter(|_| facts.logon.status.is_none())?;
    let (leg, reason) = failed.what;
    let conclusion = match leg {
        Leg::Client => {
            let summary = format!(
                "The client did not log on to rdpscope, which stands in the server's place with --nla terminate: \
                 {reason}; that says nothing against the server."
            );
            Conclusion::likely(Phase::Credssp, summary)
        }
        Leg::Server | Leg::Proxy => {
            let summary = format!(
                "The logon that rdpscope was given for --nla terminate failed at the server: {reason}."
            );
            Conclusion::likely(Phase::Credssp, summary)
                .or_possibly(&[VerdictId::NlaAccountLocked, VerdictId::NlaNoAuthority])
                .advise(&[LOGON_LOG])
        }
    };
    Some(conclusion.seen(failed.t_us, format!("rdpscope's own NLA fails: {reason}")))
}

/// The versions of CredSSP of client and server, where only one of them has the update of 2018.
fn versions_apart(facts: &Facts<'_>) -> Option<(u32, u32)> {
    let [client, server] = facts.logon.versions;
    let (client, server) = client.zip(server)?;
    let has_update = |version| version >= FIRST_UPDATED_VERSION;
    (has_update(client) != has_update(server)).then_some((client, server))
}

fn encryption_oracle(facts: &Facts<'_>) -> Option<Conclusion> {
    let versions = versions_apart(facts);
    let with_versions = |conclusion: Conclusion| match (versions, facts.logon.last) {
        (Some((client, server)), Some(last)) => {
            let text = format!("the client speaks CredSSP version {client}, the server version {server}");
            conclusion.seen(last.t_us, text)
        }
        _ => conclusion,
    };
    if let Some((status, confidence)) = status_for(facts, VerdictId::NlaEncryptionOracle) {
        let summary = "The server refused the client's version of CredSSP: one of the two lacks the update of 2018 \
                       (encryption oracle remediation).";
        let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
        let conclusion = if confidence == Confidence::Confirmed {
            conclusion
        } else {
            conclusion.or_possibly(&[VerdictId::NlaNtlmRefused])
        };
        return Some(with_versions(conclusion));
    }
    versions?;
    let client_left = facts.ended_by(Side::Client)
        && facts.logon.status.is_none()
        && facts.logon.credentials_sent.is_none()
        && facts.inside.furthest.is_some_and(|furthest| furthest.what == Phase::Credssp);
    if !was_silent(facts) && !client_left {
        return None;
    }
    let summary = "Client and server broke network level authentication (NLA) off after they had told each other their \
                   versions of CredSSP: one of the two lacks the update of 2018 (encryption oracle remediation).";
    let conclusion = Conclusion::likely(Phase::Credssp, summary).or_possibly(&[VerdictId::NlaLogonFailed]);
    Some(seen_silence(with_versions(conclusion), facts))
}

/// The client has bound its logon to a key that is not the server's.
fn is_bound_to_another_key(facts: &Facts<'_>) -> bool {
    facts.keys_differ() && facts.logon.key_bound[Side::Client.index()].is_some()
}

fn key_binding(facts: &Facts<'_>) -> Option<Conclusion> {
    let status = status_for(facts, VerdictId::NlaKeyBinding);
    if !is_bound_to_another_key(facts) {
        let (status, confidence) = status?;
        let summary = format!(
            "The logon is bound to another TLS key than the server's ({}): something between client and server \
             terminates TLS.",
            name(status.what)
        );
        let conclusion = Conclusion::new(confidence, Phase::Credssp, summary);
        return Some(seen_status(conclusion.or_possibly(&[VerdictId::TlsInspected]), status));
    }
    // The client compares, too, once the server has answered with its own binding.
    let client_left = facts.ended_by(Side::Client)
        && facts.logon.status.is_none()
        && facts.logon.key_bound[Side::Server.index()].is_some()
        && facts.logon.credentials_sent.is_none();
    if status.is_none() && !was_silent(facts) && !client_left {
        return None;
    }
    let summary = "Network level authentication (NLA) is bound to the server's TLS key, and the client was shown \
                   rdpscope's certificate with another one: that is rdpscope's own doing, not a fault of the server.";
    let conclusion = Conclusion::confirmed(Phase::Credssp, summary).advise(KEEP_NLA);
    let conclusion =
        conclusion.try_next(facts.fill("rdpscope proxy {target} --renew-with SERVER.pfx --ca-out ca.pem"));
    let conclusion = match facts.presented_us() {
        Some(t_us) => conclusion.seen(t_us, "rdpscope shows the client a certificate with another key"),
        None => conclusion,
    };
    let bound = facts.logon.key_bound[Side::Client.index()].unwrap_or_default();
    let conclusion = conclusion.seen(bound, "the client binds its logon to that key (pubKeyAuth)");
    Some(match status {
        Some((status, _)) => seen_status(conclusion, status),
        None => seen_silence(conclusion, facts),
    })
}

/// The server wanted none of the mechanisms, and there was nothing but NTLM to be had.
fn only_ntlm_rejected(facts: &Facts<'_>) -> bool {
    facts.logon.rejected.is_some() && facts.logon.kerberos.is_none()
}

fn ntlm_refused(facts: &Facts<'_>) -> Option<Conclusion> {
    let offered = list(facts.logon.offered);
    let conclusion = if let Some((status, confidence)) = status_for(facts, VerdictId::NlaNtlmRefused) {
        let summary =
            format!("The server refused a logon by NTLM, and Kerberos was not used ({}).", name(status.what));
        let conclusion = seen_status(Conclusion::new(confidence, Phase::Credssp, summary), status);
        match confidence {
            Confidence::Confirmed => conclusion,
            _ => conclusion.or_possibly(&[VerdictId::NlaEncryptionOracle]),
        }
    } else if was_silent(facts) && only_ntlm_rejected(facts) {
        let summary = format!(
            "The server wanted none of the ways to log on that the client had ({offered}): NTLM is forbidden there, \
             and Kerberos was not possible."
        );
        let rejected = facts.logon.rejected.unwrap_or_default();
        let conclusion =
            Conclusion::likely(Phase::Credssp, summary).or_possibly(&[VerdictId::NlaLogonFailed]);
        conclusion.seen(rejected, "the server answers reject in SPNEGO")
    } else {
        return None;
    };
    let conclusion = match facts.logon.ntlm {
        Some(t_us) => conclusion.seen(t_us, format!("the client logs on by NTLM; it offers {offered}")),
        None => conclusion,
    };
    Some(match confounders::service_of_proxy(facts) {
        Some(service) => conclusion
            .seen(service.t_us, format!("the client asks for {}, for which there is no ticket", service.what))
            .advise(PROXY_NAME)
            .try_next(facts.fill(DIAL_BY_NAME)),
        None => conclusion,
    })
}

fn other_status(facts: &Facts<'_>) -> Option<Conclusion> {
    let status = facts.logon.status.filter(|status| cause(facts, status.what.code).is_none())?;
    let summary = format!(
        "The server refused {} with {}; `rdpscope explain {:#x}` says what that means.",
        whose_logon(facts),
        name(status.what),
        status.what.code
    );
    Some(seen_status(Conclusion::confirmed(Phase::Credssp, summary), status))
}

impl Facts<'_> {
    /// How far the server's clock is ahead of this machine's, seconds, where that is too far for Kerberos.
    pub(super) fn clock_skew(&self) -> Option<Seen<i64>> {
        let challenge = self.logon.challenge?;
        let theirs = challenge.what.timestamp_unix_us? / 1_000_000;
        let since_start = i64::try_from(challenge.t_us / 1_000_000).ok()?;
        let ours = self.started_unix?.checked_add(since_start)?;
        let skew = theirs.checked_sub(ours)?;
        (skew.abs() > MOST_SKEW_SECONDS).then_some(Seen { t_us: challenge.t_us, what: skew })
    }
}
