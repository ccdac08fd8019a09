use super::samples::*;
use super::*;
use crate::wire::credssp::ntlm::NtlmChallenge;
use proptest::prelude::*;

/// Every kind of message.
fn messages() -> Vec<Vec<u8>> {
    let negotiate = ntlm_negotiate();
    vec![
        ts_request(6, &[nego_token(&spnego_init(&[KERBEROS, NTLM], &negotiate)), client_nonce()]),
        ts_request(
            6,
            &[nego_token(&spnego_response(1, Some(NTLM), &ntlm_challenge(133_000_000_000_000_000)))],
        ),
        ts_request(6, &[nego_token(&ntlm_authenticate("fs01.corp.example")), pub_key_auth(), client_nonce()]),
        ts_request(6, &[pub_key_auth()]),
        ts_request(2, &[auth_info()]),
        ts_request(6, &[error_code(0xc000_006d)]),
        ts_request(6, &[nego_token(&spnego_init(&[KERBEROS], &kerberos_ap_req("CORP.EXAMPLE", "fs01")))]),
        ts_request(6, &[nego_token(&spnego_response(0, None, &kerberos_ap_rep()))]),
        ts_request(6, &[nego_token(&kerberos_error(37))]),
    ]
}

fn decoded(message: &[u8]) -> TsRequest {
    let (request, consumed) = TsRequest::decode(message).unwrap().unwrap();
    assert_eq!(consumed, message.len());
    request
}

fn token(message: &[u8]) -> NegoToken {
    decoded(message).nego_tokens.pop().unwrap()
}

#[test]
fn fields_and_lengths_of_a_message() {
    let last = decoded(&messages()[2]);
    assert_eq!((last.version, last.client_nonce), (6, true));
    assert_eq!(last.pub_key_auth_length, Some(CANARY.len()));
    assert_eq!((last.auth_info_length, &last.error_code), (None, &None));
    assert_eq!(last.mechanism(), Some("NTLM"));
    let credentials = decoded(&messages()[4]);
    assert_eq!((credentials.version, credentials.auth_info_length), (2, Some(CANARY.len())));
}

#[test]
fn an_error_code_of_four_and_of_five_bytes() {
    let five = decoded(&ts_request(6, &[der(0xa4, &der(2, &[0, 0xc0, 0, 0, 0x6d]))]));
    let name = |request: &TsRequest| request.failure().and_then(|code| code.name.clone());
    assert_eq!(name(&five).as_deref(), Some("STATUS_LOGON_FAILURE"));
    let four = hex::decode("300da003020106a406020480090302").unwrap();
    assert_eq!(name(&decoded(&four)).as_deref(), Some("SEC_E_UNSUPPORTED_FUNCTION"));
    assert_eq!(decoded(&ts_request(6, &[error_code(0)])).failure(), None, "no error is no failure");
}

#[test]
fn what_spnego_offers_and_selects() {
    let first = token(&messages()[0]).spnego.unwrap();
    assert_eq!(first.mechanisms, ["Kerberos", "NTLM"]);
    let answer = token(&messages()[1]).spnego.unwrap();
    assert_eq!(answer.selected_mechanism.as_deref(), Some("NTLM"));
    assert_eq!(answer.state.as_deref(), Some("accept-incomplete"));
    assert_eq!(token(&messages()[2]).spnego, None);
    let unknown = Spnego::decode(&spnego_init(&["2b060104018237020263"], b"x")).unwrap().0;
    assert_eq!(unknown.mechanisms, ["1.3.6.1.4.1.311.2.2.99"]);
}

#[test]
fn names_and_versions_in_ntlm() {
    let Some(MechanismToken::Ntlm(NtlmMessage::Challenge(challenge))) = token(&messages()[1]).mechanism
    else {
        panic!("no challenge")
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    let NtlmChallenge { netbios_computer, netbios_domain, dns_computer, dns_domain, dns_forest, .. } =
        &*challenge;
    let names = [netbios_computer, netbios_domain, dns_computer, dns_domain, dns_forest].map(text);
    assert_eq!(names, ["FS01", "EXAMPLE", "fs01.corp.example", "corp.example", "corp.example"]);
    assert_eq!(challenge.target_name.as_deref(), Some("EXAMPLE"));
    assert_eq!(challenge.timestamp_unix_us, Some(1_655_526_400_000_000));
    let version = challenge.version.unwrap();
    assert_eq!((version.major, version.build), (10, 20348));
    assert_eq!(version.release().unwrap().server, Some("Windows Server 2022"));
    assert!(
        challenge.flags.names.contains(&"NTLMSSP_NEGOTIATE_TARGET_INFO".to_owned()),
        "{:?}",
        challenge.flags
    );

    let Some(MechanismToken::Ntlm(NtlmMessage::Authenticate(answer))) = token(&messages()[2]).mechanism
    else {
        panic!("no authenticate")
    };
    assert_eq!([&answer.domain, &answer.user, &answer.workstation].map(text), ["EXAMPLE", "anna", "CLIENT7"]);
    assert_eq!(answer.target_spn.as_deref(), Some("TERMSRV/fs01.corp.example"));
    assert_eq!((answer.has_mic, answer.untrusted_spn, answer.channel_bindings), (true, false, Some(false)));
    assert_eq!(answer.lm_response_length, CANARY.len());
}

#[test]
fn fields_that_point_outside_an_ntlm_message_are_left_out() {
    let mut message = ntlm_challenge(0);
    message[16..20].fill(0xff);
    message[44..48].fill(0xff);
    let NtlmMessage::Challenge(challenge) = NtlmMessage::decode(&message).unwrap() else { panic!() };
    assert_eq!((challenge.target_name, challenge.netbios_computer), (None, None));
    assert_eq!(NtlmMessage::decode(&message[..15]).unwrap_err().reason, "ends too early");
}

#[test]
fn what_kerberos_shows_in_clear() {
    let mechanism = |message: &[u8]| match token(message).mechanism {
        Some(MechanismToken::Kerberos(token)) => token,
        other => panic!("{other:?}"),
    };
    let request = KerberosToken::ApReq {
        realm: Some("CORP.EXAMPLE".to_owned()),
        service: Some("TERMSRV/fs01".to_owned()),
        encryption_type: Some(Code { value: 18, name: Some("aes256-cts-hmac-sha1-96".to_owned()) }),
    };
    assert_eq!(mechanism(&messages()[6]), request);
    assert_eq!(mechanism(&messages()[7]), KerberosToken::ApRep);
    let KerberosToken::Error { code } = mechanism(&messages()[8]) else { panic!() };
    assert_eq!(code.name.as_deref(), Some("KRB_AP_ERR_SKEW"));
}

#[test]
fn a_message_is_not_read_before_it_is_whole_and_no_further_than_its_end() {
    for message in messages() {
        for end in 0..message.len() {
            assert_eq!(TsRequest::decode(&message[..end]), Ok(None), "{end} of {}", message.len());
        }
        let more = [&message[..], &[3, 0, 0, 19]].concat();
        assert_eq!(TsRequest::decode(&more).unwrap().unwrap().1, message.len());
        assert_eq!(message_length(&more), Ok(Some(message.len())));
    }
}

#[test]
fn a_length_that_no_peer_sends_is_refused_at_its_header() {
    for header in ["308401000000", "3083040000", "3080", "3085"] {
        let bytes = hex::decode(header).unwrap();
        assert!(message_length(&bytes).is_err() && TsRequest::decode(&bytes).is_err(), "{header}");
    }
    assert_eq!(message_length(&[0x30]), Ok(None));
    assert_eq!(message_length(&[]), Ok(None));
    assert!(message_length(&[3, 0]).is_err());
    let largest = (LONGEST_TS_REQUEST - 5) as u32;
    let header = [&[0x30, 0x83], &largest.to_be_bytes()[1..]].concat();
    assert_eq!(message_length(&header), Ok(Some(LONGEST_TS_REQUEST)));
}

#[test]
fn fields_of_another_type_are_malformed_and_unknown_fields_are_not() {
    let wrong = ts_request(6, &[der(0xa2, &[2, 1, 0])]);
    assert_eq!(TsRequest::decode(&wrong).unwrap_err().reason, "a field is not of its type");
    assert_eq!(TsRequest::decode(&der(0x30, &auth_info())).unwrap_err().reason, "no version");
    assert_eq!(decoded(&ts_request(6, &[der(0xa9, &[2, 1, 0])])).version, 6);
}

#[test]
fn no_secret_is_kept() {
    for message in messages() {
        let request = decoded(&message);
        let told = format!("{request:?}{}", serde_json::to_string(&request).unwrap());
        let secret = String::from_utf8_lossy(&CANARY[..16]).into_owned();
        for shown in [secret.clone(), hex::encode(secret)] {
            assert!(!told.contains(&shown), "{shown} in {told}");
        }
    }
}

fn assert_agrees(ours: &TsRequest, theirs: &sspi::credssp::TsRequest) {
    assert_eq!(ours.version, theirs.version);
    let length = |field: &Option<Vec<u8>>| field.as_ref().map(Vec::len);
    assert_eq!(ours.nego_tokens.first().map(|token| token.length), length(&theirs.nego_tokens));
    assert_eq!(ours.auth_info_length, length(&theirs.auth_info));
    assert_eq!(ours.pub_key_auth_length, length(&theirs.pub_key_auth));
    assert_eq!(ours.error_code.as_ref().map(|code| code.value), theirs.error_code.map(|code| code.0));
    assert_eq!(ours.client_nonce, theirs.client_nonce.is_some());
}

#[test]
fn reads_its_own_messages_like_sspi() {
    for message in messages() {
        assert_agrees(&decoded(&message), &sspi::credssp::TsRequest::from_buffer(&message).unwrap());
    }
}

#[test]
fn reads_recorded_messages_like_sspi() {
    let Some(folder) = std::env::var_os("RDP_CAPTURES").map(std::path::PathBuf::from) else {
        return eprintln!("left out: RDP_CAPTURES names no folder of captures");
    };
    let mut read = 0;
    for entry in std::fs::read_dir(folder.join("bytes")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().contains(".ts_request_") {
            continue;
        }
        let message = std::fs::read(&path).unwrap();
        assert_agrees(&decoded(&message), &sspi::credssp::TsRequest::from_buffer(&message).unwrap());
        read += 1;
    }
    assert!(read > 20, "{read} messages");
}

fn some_bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 1..400))
}

proptest! {
    #[test]
    fn reads_what_sspi_writes(
        version in 2_u32..=6,
        (nego_tokens, auth_info, pub_key_auth) in (some_bytes(), some_bytes(), some_bytes()),
        error_code in proptest::option::of(any::<u32>()),
        nonce in proptest::option::of(any::<[u8; 32]>()),
    ) {
        let theirs = sspi::credssp::TsRequest {
            version,
            nego_tokens,
            auth_info,
            pub_key_auth,
            // It counts the length of an errorCode in these versions only.
            error_code: error_code.filter(|_| [3, 4, 6].contains(&version)).map(sspi::credssp::NStatusCode),
            client_nonce: nonce.filter(|_| version >= 5),
        };
        let mut message = Vec::new();
        theirs.encode_ts_request(&mut message).unwrap();
        assert_agrees(&decoded(&message), &theirs);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        which in 0_usize..9,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = messages().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        message.truncate(cut.index(message.len() + 1));
        if let Ok(Some((_, consumed))) = TsRequest::decode(&message) {
            prop_assert!(consumed <= message.len());
        }
        let _any = NegoToken::decode(&message);
    }
}
