//! Causes in network level authentication (CredSSP).

use super::{Cause, trial, wrong};
use crate::explain::WrongClaim;
use crate::trace::VerdictId;

/// What every status of NLA has in common.
const INSIDE_TLS: &str = "a status inside TLS, which only shows where rdpscope ends TLS: with --renew-with the server's own \
                          key, or with --nla terminate. Otherwise the session only shows that it ended during NLA.";
const STATUS: &str = "the server's status in CredSSP, RDSTLS or RDS-AAD";
const NOT_THE_PASSWORD: WrongClaim = wrong(
    "the password was typed wrong",
    "the server has another status for that: this one means what it says",
);

/// A cause that is told by a status alone.
const fn by_status(
    id: VerdictId,
    title: &'static str,
    user_sees: &'static str,
    beliefs: &'static [WrongClaim],
) -> Cause {
    Cause { id, title, user_sees, wire: INSIDE_TLS, proof: Some(STATUS), trial: None, beliefs }
}

pub(super) const CAUSES: &[Cause] = &[
    by_status(
        VerdictId::NlaLogonFailed,
        "The server refuses the user name or the password",
        "mstsc: \"The logon attempt failed\"; error code 0x807.",
        &[wrong(
            "it is the network, because mstsc closes at once",
            "the server answered with a status: the way to it works",
        )],
    ),
    by_status(
        VerdictId::NlaAccountLocked,
        "The account is locked",
        "mstsc: the account has been locked out; error code 0xD07.",
        &[NOT_THE_PASSWORD],
    ),
    by_status(
        VerdictId::NlaAccountDisabled,
        "The account is disabled or past its end date",
        "mstsc: the account is disabled or has expired; error code 0xB07 or 0xE07.",
        &[NOT_THE_PASSWORD],
    ),
    by_status(
        VerdictId::NlaPasswordExpired,
        "The password has expired or has to be changed",
        "mstsc: the password has expired or must be changed; error code 0xF07 or 0x1207.",
        &[wrong(
            "the user can change it in the logon window",
            "NLA ends before there is a window: the password has to be changed elsewhere",
        )],
    ),
    by_status(
        VerdictId::NlaAccountRestricted,
        "A restriction of the account forbids the logon",
        "mstsc: account restrictions prevent the logon; error code 0xC07, 0x1007 or 0x1107.",
        &[NOT_THE_PASSWORD],
    ),
    by_status(
        VerdictId::NlaLogonTypeDenied,
        "The user lacks the right to this kind of logon",
        "mstsc: the user was not granted the requested logon type; error code 0x1307.",
        &[wrong(
            "membership in Remote Desktop Users is enough",
            "NLA is a logon from the network, too: \"Deny access to this computer from the network\" stops it",
        )],
    ),
    Cause {
        id: VerdictId::NlaClockSkew,
        title: "The clocks of client, server or domain are too far apart",
        user_sees: "mstsc: the identity cannot be verified because of a time or date difference; error code 0x1D07.",
        wire: "the status of a time difference or KRB-ERROR 37; in the server's NTLM challenge a time more than five minutes \
               off, which a probe sees without a logon.",
        proof: Some("the server's status, or Kerberos' own error 37 (KRB_AP_ERR_SKEW)"),
        trial: trial(
            "w32tm /stripchart /computer:HOST /samples:3",
            "the difference is more than five minutes",
            "the clocks agree within seconds",
        ),
        beliefs: &[wrong(
            "both clocks show the same hour, so they agree",
            "Kerberos counts UTC: a wrong time zone with the right hands is hours off",
        )],
    },
    Cause {
        id: VerdictId::NlaEncryptionOracle,
        title: "Client and server disagree on the version of CredSSP (encryption oracle remediation)",
        user_sees: "mstsc: \"An authentication error has occurred. The function requested is not supported\", with \"CredSSP \
                    encryption oracle remediation\".",
        wire: "one side speaks a version of CredSSP below 5 and the other one does not, and NLA ends after they have told \
               each other; a probe sees the server's version.",
        proof: Some(
            "STATUS_NOT_SUPPORTED or SEC_E_UNSUPPORTED_FUNCTION beside versions of which only one has the update",
        ),
        trial: trial(
            "rdpscope ab TARGET --vary nla",
            "without NLA the client gets further: it is NLA, and the versions tell which side is behind",
            "it fails in the same place without NLA",
        ),
        beliefs: &[wrong(
            "AllowEncryptionOracle 2 is the fix",
            "it accepts the vulnerability again (CVE-2018-0886): the update of the side that is behind is the fix",
        )],
    },
    Cause {
        id: VerdictId::NlaKeyBinding,
        title: "The logon is bound to another TLS key than the server's: something ends TLS in between",
        user_sees: "mstsc: \"The logon attempt failed\", with every password.",
        wire: "a status of bad bindings, or the end of CredSSP right after the key was bound, where the key that the client \
               saw is not the server's. With --cert and without the server's key it is rdpscope's own doing, and said so.",
        proof: Some(
            "a status of bad bindings; or a client that leaves once the server's own binding has come",
        ),
        trial: trial(
            "rdpscope proxy TARGET",
            "without --cert, where TLS passes untouched, NLA comes to its end",
            "NLA fails as well: another box on the way ends TLS, or it is the logon",
        ),
        beliefs: &[wrong(
            "the password is wrong",
            "no password passes over another key: that is what the binding is for",
        )],
    },
    Cause {
        id: VerdictId::NlaNtlmRefused,
        title: "NTLM is refused and Kerberos was not possible",
        user_sees: "mstsc: \"The logon attempt failed\", or that a policy allows no NTLM.",
        wire: "the server refuses NTLM, or every mechanism that was offered; a probe gets a status in the place of a \
               challenge.",
        proof: Some("a status that says that NTLM is blocked"),
        trial: trial(
            "klist get TERMSRV/HOST",
            "the client gets no ticket for the server, so that only NTLM is left",
            "the client gets a ticket, and dials the server by that very name",
        ),
        beliefs: &[wrong(
            "the user's rights are missing",
            "who dials an address, an alias or localhost has no Kerberos there: the full name may mend it",
        )],
    },
    by_status(
        VerdictId::NlaNoAuthority,
        "No domain controller could be asked",
        "mstsc: no authority could be contacted for authentication; error code 0x1807.",
        &[wrong(
            "the client cannot reach the domain",
            "this status is the server's: it is the one that finds no domain controller, or has lost its account there",
        )],
    ),
];
