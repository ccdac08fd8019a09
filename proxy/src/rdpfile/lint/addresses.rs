//! The machine that the profile names.

use super::super::address::{Address, AddressFault};
use super::super::profile::Profile;
use super::super::shown::quoted_place;
use super::Severity::{Error, Note, Warning};
use super::{Findings, given};

/// The port where none is named.
const RDP_PORT: i64 = 3389;

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    let full = full_address(profile, findings);
    let alternate = checked(profile, "alternate full address", findings);
    let Some(full) = full else { return };
    if let Some(alternate) = alternate.filter(|alternate| !alternate.is_same_host(&full)) {
        let Some((at, _)) = given(profile, "alternate full address") else { return };
        findings.setting(
            Warning,
            "two-machines",
            at,
            format!(
                "it names {alternate} and full address {full}: FreeRDP goes to this one, and shows the user the other"
            ),
            "write the same machine in both, or take this line out",
        );
    }
    port(profile, &full, findings);
    entra(profile, &full, findings);
}

fn full_address(profile: &Profile, findings: &mut Findings) -> Option<Address> {
    profile.settings().next()?;
    if given(profile, "full address").is_none() {
        findings.file(
            Error,
            "no-address",
            "the profile names no machine: the client asks for one, or ends",
            "add the line full address:s:HOST",
        );
    }
    checked(profile, "full address", findings)
}

/// The address in the setting called `name`, where it is one.
fn checked(profile: &Profile, name: &str, findings: &mut Findings) -> Option<Address> {
    let (at, value) = given(profile, name)?;
    match Address::parse(value) {
        Ok(address) => {
            bare_ipv6(at, value, findings);
            Some(address)
        }
        Err(fault) => {
            findings.setting(
                Error,
                "no-machine",
                at,
                format!("{} {fault}", quoted_place(value)),
                fix(&fault),
            );
            None
        }
    }
}

pub(super) fn fix(fault: &AddressFault) -> &'static str {
    match fault {
        AddressFault::Url => "write the name alone, for example srv10.corp.example:3389",
        AddressFault::Brackets => "write an IPv6 address in brackets, for example [2001:db8::1]:3389",
        AddressFault::Port => "write HOST, or HOST:PORT with a port from 1 to 65535",
        AddressFault::Empty | AddressFault::Character(_) => {
            "write a name or an address, for example srv10.corp.example or 10.0.0.10:3390"
        }
    }
}

/// Of an IPv6 address without brackets nobody can say whether its end is a port.
fn bare_ipv6(at: (usize, &str), value: &str, findings: &mut Findings) {
    if value.starts_with('[') || !value.contains("::") && value.matches(':').count() < 2 {
        return;
    }
    let end = value.rsplit(':').next().unwrap_or_default();
    let looks_like_a_port = end.len() >= 4 && end.bytes().all(|byte| byte.is_ascii_digit());
    findings.setting(
        if looks_like_a_port { Warning } else { Note },
        "ipv6-without-brackets",
        at,
        match looks_like_a_port {
            true => format!("without brackets {end} is the end of the IPv6 address, and no port"),
            false => "an IPv6 address without brackets cannot name a port".to_owned(),
        },
        "write it in brackets, for example [2001:db8::1]:3389",
    );
}

fn port(profile: &Profile, full: &Address, findings: &mut Findings) {
    let (Some((at, _)), Some(port)) = (given(profile, "server port"), profile.number("server port")) else {
        return;
    };
    let contradicts = full.port.is_some_and(|own| i64::from(own) != port);
    if contradicts {
        findings.setting(
            Warning,
            "two-ports",
            at,
            format!("it says {port} and full address {full}: FreeRDP takes this one, and no document says which one mstsc takes"),
            "keep the port in one place, best in full address",
        );
    }
    if full.port.is_none() && port != RDP_PORT {
        findings.setting(
            Note,
            "other-port",
            at,
            format!("the port is {port}, which full address does not show"),
            "",
        );
    }
}

fn entra(profile: &Profile, full: &Address, findings: &mut Findings) {
    let Some((at, _)) = given(profile, "full address") else { return };
    if profile.number("enablerdsaadauth") == Some(1) && full.is_ip() {
        findings.setting(
            Warning,
            "entra-needs-a-name",
            at,
            format!("{full} is an IP address, and sign-in with Microsoft Entra ID (enablerdsaadauth:i:1) needs the \
                 machine's name"),
            "write the name that the machine has in Entra ID",
        );
    }
}
