//! How server and user are checked, secrets in the file, and what sends a session elsewhere.

use super::super::profile::Profile;
use super::Severity::{Error, Note, Warning};
use super::{Findings, given};

/// Settings that open something of this machine to the server, and the values that do not.
const SHARED: [(&str, &[&str], &str); 6] = [
    ("drivestoredirect", &[""], "drives"),
    ("redirectdrives", &["", "0"], "drives"),
    ("devicestoredirect", &[""], "devices"),
    ("usbdevicestoredirect", &[""], "USB devices"),
    ("camerastoredirect", &[""], "cameras"),
    ("redirectclipboard", &["", "0"], "the clipboard"),
];

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    server(profile, findings);
    network_level(profile, findings);
    secrets(profile, findings);
    user(profile, findings);
    elsewhere(profile, findings);
    program(profile, findings);
    shared(profile, findings);
}

fn server(profile: &Profile, findings: &mut Findings) {
    let Some((at, _)) = given(profile, "authentication level") else { return };
    match profile.number("authentication level") {
        Some(0) => findings.setting(
            Warning,
            "server-not-checked",
            at,
            "the client connects to whoever answers, without a warning: nobody notices another machine under that name, \
             and no fault of a certificate shows",
            "write authentication level:i:2",
        ),
        Some(1) => findings.setting(
            Note,
            "server-must-be-verified",
            at,
            "the client refuses, without a question, where the certificate is not trusted or is for another name, and \
             Kerberos does not vouch for the server either",
            "write authentication level:i:2 to be asked instead",
        ),
        Some(3) => findings.setting(
            Note,
            "server-not-required",
            at,
            "nothing is required of the server: what the client does where it cannot verify it is left to its default",
            "write authentication level:i:2, which mstsc itself saves",
        ),
        _ => {}
    }
}

fn network_level(profile: &Profile, findings: &mut Findings) {
    let without = profile.number("enablecredsspsupport") == Some(0);
    if let Some((at, _)) = given(profile, "enablecredsspsupport").filter(|_| without) {
        findings.setting(
            Warning,
            "no-nla",
            at,
            "network level authentication is not offered: a server that requires it, which is the default of Windows, \
             refuses the connection (verdict nla-required)",
            "write enablecredsspsupport:i:1",
        );
    }
    let is_virtual_machine = given(profile, "pcb").is_some();
    let Some((at, _)) = given(profile, "negotiate security layer") else { return };
    if profile.number("negotiate security layer") != Some(0) || is_virtual_machine {
        return;
    }
    findings.setting(
        if without { Warning } else { Note },
        "no-negotiation",
        at,
        match without {
            true => "the client does not negotiate how the connection is secured: a server that requires TLS or NLA \
                     refuses it (verdicts tls-required, nla-required)",
            false => "it has no effect while enablecredsspsupport is on",
        },
        "write negotiate security layer:i:1",
    );
}

fn secrets(profile: &Profile, findings: &mut Findings) {
    for (index, setting) in profile.settings() {
        let is_password =
            setting.key.to_lowercase().starts_with("password") && !setting.value.trim().is_empty();
        if !is_password {
            continue;
        }
        let is_in_clear = !setting.kind.eq_ignore_ascii_case("b");
        findings.setting(
            if is_in_clear { Error } else { Warning },
            "saved-password",
            (index, setting.key),
            match is_in_clear {
                true => "a password stands in the file in clear, which no client of Windows reads",
                false => "the saved password is protected for one user on one machine: everybody else is asked, or \
                          refused, and what runs as that user can read it",
            },
            "take the line out, change a password that was passed on, and let Windows keep it: cmdkey \
             /generic:TERMSRV/HOST /user:NAME /pass",
        );
    }
}

fn user(profile: &Profile, findings: &mut Findings) {
    let (Some((_, name)), Some((at, domain))) = (given(profile, "username"), given(profile, "domain")) else {
        return;
    };
    let own = name.split_once('\\').map(|(domain, _)| domain);
    if own.is_some_and(|own| own != "." && !own.eq_ignore_ascii_case(domain)) || name.contains('@') {
        findings.setting(
            Warning,
            "two-domains",
            at,
            "username brings a domain of its own, and domain names one too: the logon may be tried with the wrong one",
            "keep the one in username, and take this line out",
        );
    }
}

fn elsewhere(profile: &Profile, findings: &mut Findings) {
    if let Some((at, _)) = given(profile, "loadbalanceinfo") {
        findings.setting(
            Note,
            "brokered",
            at,
            "a broker chooses the machine, and may send the client on to another one: what runs through a proxy then \
             goes past it (verdict redirected-away)",
            "point the profile at one machine of the collection while you look for a fault",
        );
    }
    let by_other_name = profile.number("use redirection server name") == Some(1);
    if let Some((at, _)) = given(profile, "use redirection server name").filter(|_| by_other_name) {
        findings.setting(
            Note,
            "name-of-the-broker",
            at,
            "the certificate is compared with the name that the broker sends, and not with full address: a farm whose \
             certificate has another name fails only after the broker has answered",
            "write use redirection server name:i:0 where there is no broker",
        );
    }
    let is_old =
        profile.number("targetisaadjoined") == Some(1) && given(profile, "enablerdsaadauth").is_some();
    if let Some((at, _)) = given(profile, "targetisaadjoined").filter(|_| is_old) {
        findings.setting(
            Note,
            "older-form",
            at,
            "enablerdsaadauth has taken its place and stands here too",
            "keep enablerdsaadauth",
        );
    }
}

fn program(profile: &Profile, findings: &mut Findings) {
    let is_program = profile.number("remoteapplicationmode") == Some(1);
    match (given(profile, "remoteapplicationmode"), given(profile, "remoteapplicationprogram")) {
        (Some((at, _)), None) if is_program => findings.setting(
            Error,
            "no-program",
            at,
            "a program is to be started instead of a desktop, and remoteapplicationprogram names none",
            "add remoteapplicationprogram:s:||ALIAS, or write remoteapplicationmode:i:0",
        ),
        _ => {}
    }
    if let Some((at, _)) = given(profile, "alternate shell").filter(|_| !is_program) {
        findings.setting(
            Note,
            "other-shell",
            at,
            "the session is that program alone: where the server allows it, the session ends with it, and at once \
             where it does not start",
            "take the line out for a desktop",
        );
    }
}

fn shared(profile: &Profile, findings: &mut Findings) {
    if given(profile, "signature").is_some() {
        return;
    }
    let mut what: Vec<&str> = Vec::new();
    for (name, closed, word) in SHARED {
        let value = profile.value(name);
        if value.is_some_and(|value| !closed.contains(&value)) && !what.contains(&word) {
            what.push(word);
        }
    }
    if !what.is_empty() {
        findings.file(
            Note,
            "shared-with-the-server",
            format!(
                "the server gets at {}: a client asks first, and where the profile is not signed it cannot say whose it is",
                what.join(", ")
            ),
            "set what is not needed to 0 or leave it empty",
        );
    }
}
