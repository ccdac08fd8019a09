//! CredSSP up to the server's NTLM challenge (MS-CSSP 3.1.5, MS-NLMP 3.1.5.1.1): names and a version, and no word about
//! a user. Nothing is answered to the challenge.

use crate::trace::CredsspCheck;
use crate::wire::credssp::ntlm::{NtlmChallenge, NtlmMessage};
use crate::wire::credssp::{MechanismToken, TsRequest};

/// TSRequest of version 6 with one token in negoTokens, the NTLM message behind it.
const HEAD: [u8; 17] =
    [0x30, 0x37, 0xa0, 0x03, 0x02, 0x01, 0x06, 0xa1, 0x30, 0x30, 0x2e, 0x30, 0x2c, 0xa0, 0x2a, 0x04, 0x28];
/// NEGOTIATE_MESSAGE (MS-NLMP 2.2.1.1) as Windows sends it: its flags, no domain, no workstation. The bare version of
/// Windows 10 in it asks for the server's.
pub(super) const NEGOTIATE: [u8; 40] = [
    b'N', b'T', b'L', b'M', b'S', b'S', b'P', 0, 1, 0, 0, 0, 0xb7, 0x82, 0x08, 0xe2, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 15,
];

/// The client's first message. NTLM stands bare in it, as with an address in the place of a name: servers that have
/// SPNEGO take it, too.
pub(super) fn first_message() -> Vec<u8> {
    [&HEAD[..], &NEGOTIATE].concat()
}

/// What the server's first message tells. `now_us` is this machine's clock when it came, µs since 1970, and half of
/// `round_trip_us` is how old it was.
pub(super) fn judge(answer: &TsRequest, now_us: i64, round_trip_us: u64) -> CredsspCheck {
    let challenge = answer.nego_tokens.iter().find_map(|token| match &token.mechanism {
        Some(MechanismToken::Ntlm(NtlmMessage::Challenge(challenge))) => Some((**challenge).clone()),
        _ => None,
    });
    let status = answer.failure().map(|code| format!("{:#010x}", code.value));
    CredsspCheck {
        version: Some(answer.version),
        clock_skew_us: challenge.as_ref().and_then(|challenge| skew(challenge, now_us, round_trip_us)),
        failure: if challenge.is_none() { Some(instead(answer)) } else { None },
        challenge,
        status,
    }
}

/// The check where no message came.
pub(super) fn failed(reason: String) -> CredsspCheck {
    CredsspCheck { failure: Some(reason), ..CredsspCheck::default() }
}

/// The challenge's clock minus `now_us`, µs.
pub(super) fn skew(challenge: &NtlmChallenge, now_us: i64, round_trip_us: u64) -> Option<i64> {
    let then_us = now_us.checked_sub(i64::try_from(round_trip_us / 2).ok()?)?;
    challenge.timestamp_unix_us?.checked_sub(then_us)
}

fn instead(answer: &TsRequest) -> String {
    match (answer.failure(), answer.mechanism()) {
        (Some(code), _) => {
            let name = code.name.as_deref().unwrap_or("a status that is not known");
            format!("the server answered with {name} ({:#010x})", code.value)
        }
        (None, Some(mechanism)) => format!("the server answered with {mechanism} and no NTLM challenge"),
        (None, None) => "the server answered without an NTLM challenge".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::credssp::samples;

    fn decoded(message: &[u8]) -> TsRequest {
        let (request, length) = TsRequest::decode(message).unwrap().unwrap();
        assert_eq!(length, message.len());
        request
    }

    #[test]
    fn our_message_names_nobody() {
        let request = decoded(&first_message());
        assert_eq!((request.version, request.nego_tokens.len()), (6, 1));
        let Some(MechanismToken::Ntlm(NtlmMessage::Negotiate(negotiate))) = &request.nego_tokens[0].mechanism
        else {
            panic!("{request:?}")
        };
        assert_eq!((&negotiate.domain, &negotiate.workstation), (&None, &None));
        assert_eq!(negotiate.version.map(|version| version.major), Some(10));
        assert!(request.auth_info_length.is_none() && request.pub_key_auth_length.is_none());
    }

    #[test]
    fn the_challenge_tells_names_and_the_clock() {
        let filetime = 116_444_736_000_000_000 + 1_700_000_000 * 10_000_000;
        let token = samples::nego_token(&samples::ntlm_challenge(filetime));
        let answer = decoded(&samples::ts_request(6, &[token]));
        let check = judge(&answer, 1_700_000_010_000_000, 40_000);
        assert_eq!(check.clock_skew_us, Some(-9_980_000));
        assert_eq!(check.challenge.unwrap().dns_computer.as_deref(), Some("fs01.corp.example"));
        assert_eq!((check.version, check.failure, check.status), (Some(6), None, None));
    }

    #[test]
    fn a_refusal_is_named() {
        let answer = decoded(&samples::ts_request(6, &[samples::error_code(0xc000_00bb)]));
        let check = judge(&answer, 0, 0);
        assert_eq!(check.status.as_deref(), Some("0xc00000bb"));
        assert!(check.failure.unwrap().contains("NOT_SUPPORTED"));
        assert!(check.challenge.is_none() && check.clock_skew_us.is_none());
    }

    #[test]
    fn a_clock_beyond_all_reason_does_not_panic() {
        let challenge = NtlmChallenge { timestamp_unix_us: Some(i64::MIN), ..NtlmChallenge::default() };
        assert_eq!(skew(&challenge, i64::MAX, 0), None);
        assert_eq!(skew(&challenge, i64::MIN, u64::MAX), None);
    }
}
