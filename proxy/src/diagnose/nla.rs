//! Network level authentication: what the server answers to the logon where CredSSP, RDSTLS or RDS-AAD can be read.

mod key;
mod mechanism;
mod silence;
mod status;

pub(super) use status::skew_words;

use super::facts::Facts;
use super::rule::{Remedy, Rule};
use crate::trace::{Side, VerdictId, Where};
use key::key_binding;
use mechanism::{encryption_oracle, ntlm_refused};
pub(super) use silence::was_refused_by_size;
use silence::{own_logon_failed, silent_refusal};
use status::{other_status, stated};

/// Kerberos allows clocks to be this far apart (RFC 4120, the usual setting); seconds.
pub(super) const MOST_SKEW_SECONDS: i64 = 5 * 60;
/// KRB_AP_ERR_SKEW (RFC 4120 7.5.9).
const KRB_AP_ERR_SKEW: u32 = 37;
/// The version of CredSSP with the update for CVE-2018-0886; older ones are refused after it by policy.
pub(super) const FIRST_UPDATED_VERSION: u32 = 5;
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
    "There is nothing to mend on {host}. Give rdpscope the server's own key with --renew-with, and NLA works \
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

/// The versions of CredSSP of client and server, where only one of them has the update of 2018.
fn versions_apart(facts: &Facts<'_>) -> Option<(u32, u32)> {
    let [client, server] = facts.logon.versions;
    let (client, server) = client.zip(server)?;
    let has_update = |version| version >= FIRST_UPDATED_VERSION;
    (has_update(client) != has_update(server)).then_some((client, server))
}

/// The client has bound its logon to a key that is not the server's.
fn is_bound_to_another_key(facts: &Facts<'_>) -> bool {
    facts.keys_differ() && facts.logon.key_bound[Side::Client.index()].is_some()
}
