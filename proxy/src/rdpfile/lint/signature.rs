//! The signature: whether it still fits, and what it leaves open.

use super::super::keys;
use super::super::profile::Profile;
use super::super::shown::quoted;
use super::super::signature::{Fault, SignatureState, check as verify, covered};
use super::Severity::{Error, Note, Warning};
use super::{Findings, given};

/// What rdpsign.exe signs where it is in the profile, and what leads elsewhere when somebody changes it.
const WORTH_SIGNING: [&str; 8] = [
    "full address",
    "alternate full address",
    "server port",
    "gatewayhostname",
    "gatewayusagemethod",
    "gatewayprofileusagemethod",
    "remoteapplicationprogram",
    "alternate shell",
];

/// What to do about a signature that is no good.
const SIGN_AGAIN: &str =
    "take signscope and signature out, or sign it again: rdpsign.exe /sha256 THUMBPRINT FILE.rdp";

pub(super) fn check(profile: &Profile, findings: &mut Findings) {
    let Some(state) = verify(profile) else { return };
    let place = given(profile, "signature").or_else(|| given(profile, "signscope"));
    let at = place.map_or((0, keys::SIGNATURES[0]), |(at, _)| at);
    match state {
        SignatureState::Fits { signer } => {
            let signer = signer.map_or_else(|| "its signer".to_owned(), |signer| quoted(&signer));
            findings.setting(
                Note,
                "signed",
                at,
                format!(
                    "the signature fits, and is by {signer}: whether that is trusted the client decides; any change of \
                     a signed line breaks it"
                ),
                "",
            );
        }
        SignatureState::Unknown => findings.setting(
            Note,
            "signed",
            at,
            "the signature uses an algorithm that is not known here: whether it fits cannot be said; any change of a \
             signed line breaks it",
            "",
        ),
        SignatureState::Broken(fault) => return broken(at, &fault, findings),
    }
    uncovered(profile, findings);
}

fn broken(at: (usize, &str), fault: &Fault, findings: &mut Findings) {
    let id = match fault {
        Fault::Changed | Fault::Missing(_) => "stale-signature",
        Fault::Incomplete(_) | Fault::Malformed | Fault::Forged => "no-signature",
    };
    findings.setting(
        Error,
        id,
        at,
        format!("the signature does not hold: {fault}; the client warns of a file that was tampered with, or refuses it"),
        SIGN_AGAIN,
    );
}

fn uncovered(profile: &Profile, findings: &mut Findings) {
    let Some((at, scope)) = given(profile, "signscope") else { return };
    let is_covered = |name: &str| covered(scope).any(|signed| signed.eq_ignore_ascii_case(name));
    let open: Vec<&str> = WORTH_SIGNING
        .into_iter()
        .filter(|name| given(profile, name).is_some() && !is_covered(name))
        .collect();
    if !open.is_empty() {
        findings.setting(
            Warning,
            "not-signed",
            at,
            format!(
                "{} can be changed without breaking the signature: they are not in the list",
                open.join(", ")
            ),
            "sign it again with rdpsign.exe, which signs all that matters",
        );
    }
}
