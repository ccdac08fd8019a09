//! The RD Gateway: whether what is set goes together.

use super::super::address::Address;
use super::super::profile::Profile;
use super::super::shown::quoted_place;
use super::Severity::{Error, Note, Warning};
use super::{Findings, addresses, given};

/// The value of gatewayusagemethod that asks for it always.
const ALWAYS: i64 = 1;
const IF_DIRECT_FAILS: i64 = 2;
const AS_ADMINISTRATOR_SAYS: i64 = 3;
/// The value of gatewaycredentialssource for a cookie.
const COOKIE: i64 = 5;

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    let usage = profile.number("gatewayusagemethod").unwrap_or(0);
    let explicit = profile.number("gatewayprofileusagemethod") == Some(1);
    let is_used = matches!(usage, ALWAYS | IF_DIRECT_FAILS);
    match given(profile, "gatewayhostname") {
        Some((at, name)) => {
            named(at, name, findings);
            match usage {
                _ if is_used && explicit => {}
                _ if is_used => not_explicit(at, findings),
                AS_ADMINISTRATOR_SAYS => findings.setting(
                    Warning,
                    "gateway-not-used",
                    at,
                    "with gatewayusagemethod:i:3 the administrator's gateway is used, and not this one",
                    "write gatewayusagemethod:i:1 and gatewayprofileusagemethod:i:1 to use this one",
                ),
                _ => findings.setting(
                    Note,
                    "gateway-not-used",
                    at,
                    format!("the gateway is named and not used: gatewayusagemethod is {usage}"),
                    "write gatewayusagemethod:i:1 and gatewayprofileusagemethod:i:1 to use it",
                ),
            }
        }
        None if is_used && explicit => nameless(profile, usage, findings),
        None => {}
    }
    if usage == IF_DIRECT_FAILS {
        falls_back(profile, findings);
    }
    credentials(profile, findings);
    kerberos(profile, is_used || usage == AS_ADMINISTRATOR_SAYS, findings);
}

fn named(at: (usize, &str), name: &str, findings: &mut Findings) {
    if let Err(fault) = Address::parse(name) {
        findings.setting(
            Error,
            "no-gateway",
            at,
            format!("{} {fault}", quoted_place(name)),
            addresses::fix(&fault),
        );
    }
}

fn not_explicit(at: (usize, &str), findings: &mut Findings) {
    findings.setting(
        Warning,
        "gateway-settings-ignored",
        at,
        "without gatewayprofileusagemethod:i:1 the settings of the administrator hold, and those of the profile, this \
         gateway among them, do not",
        "write gatewayprofileusagemethod:i:1",
    );
}

fn nameless(profile: &Profile, usage: i64, findings: &mut Findings) {
    let Some((at, _)) = given(profile, "gatewayusagemethod") else { return };
    findings.setting(
        Error,
        "no-gateway",
        at,
        format!("gatewayusagemethod:i:{usage} asks for a gateway, and gatewayhostname names none"),
        "add gatewayhostname:s:HOST, or write gatewayusagemethod:i:0",
    );
}

fn falls_back(profile: &Profile, findings: &mut Findings) {
    let Some((at, _)) = given(profile, "gatewayusagemethod") else { return };
    findings.setting(
        Note,
        "gateway-as-fallback",
        at,
        "the client tries a direct connection first: where a firewall swallows that, every start takes the time-out \
         longer, and the way that is taken may change from day to day",
        "write gatewayusagemethod:i:1 where the gateway is the way",
    );
}

fn credentials(profile: &Profile, findings: &mut Findings) {
    let source = given(profile, "gatewaycredentialssource");
    let is_cookie = profile.number("gatewaycredentialssource") == Some(COOKIE);
    match (given(profile, "gatewayaccesstoken"), source) {
        (Some((at, token)), _) => findings.setting(
            Warning,
            "secret-token",
            at,
            format!(
                "a cookie of {} characters for the gateway stands in the profile: whoever has the file passes the \
                 gateway until the cookie ends{}",
                token.chars().count(),
                if is_cookie { "" } else { ", and without gatewaycredentialssource:i:5 it is not used" }
            ),
            "fetch the profile anew from its portal, and do not pass it on",
        ),
        (None, Some((at, _))) if is_cookie => findings.setting(
            Warning,
            "no-cookie",
            at,
            "the gateway is to get a cookie, and gatewayaccesstoken brings none",
            "fetch the profile anew from its portal, or write gatewaycredentialssource:i:4 for a password",
        ),
        _ => {}
    }
}

fn kerberos(profile: &Profile, is_used: bool, findings: &mut Findings) {
    let through_gateway = profile.number("rdgiskdcproxy") == Some(1);
    if let Some((at, _)) = given(profile, "rdgiskdcproxy").filter(|_| through_gateway && !is_used) {
        findings.setting(
            Warning,
            "kerberos-proxy-not-used",
            at,
            "the gateway is to be the proxy for Kerberos, and no gateway is used",
            "write rdgiskdcproxy:i:0, or name the gateway and use it",
        );
    }
    let Some((at, name)) = given(profile, "kdcproxyname") else { return };
    match Address::parse(name) {
        Err(fault) => findings.setting(
            Error,
            "no-kerberos-proxy",
            at,
            format!("{} {fault}", quoted_place(name)),
            "write its full name alone, for example kdc.corp.example",
        ),
        Ok(address) => findings.setting(
            if through_gateway { Warning } else { Note },
            "kerberos-proxy",
            at,
            match through_gateway {
                true => format!("both {address} and the gateway are to be the proxy for Kerberos"),
                false => format!(
                    "Kerberos goes through {address}: where that is out of reach, logon falls back to NTLM or fails"
                ),
            },
            match through_gateway {
                true => "keep one of kdcproxyname and rdgiskdcproxy:i:1",
                false => "",
            },
        ),
    }
}
