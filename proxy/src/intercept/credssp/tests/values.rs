//! Values from the specifications, and messages of real Windows machines.

use super::super::binding::Binding;
use super::super::seal::{End, Session};
use super::super::spnego;
use super::super::ts_credentials::{self, Delegation};
use super::super::ts_request::Message;
use super::super::user_to_user;
use super::right;
use sspi::credssp::{NStatusCode, TsRequest};

#[test]
fn sealing_gives_the_values_of_the_specification() {
    // MS-NLMP 4.2.4.4: "Plaintext" with RandomSessionKey 55…, NTLMv2, key exchange.
    let mut client = Session::new(End::Client, &[0x55; 16], true);
    let plaintext: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sealed = client.seal(&plaintext);
    assert_eq!(hex::encode(&sealed[16..]), "54e50165bf1936dc996020c1811b0f06fb5f");
    assert_eq!(hex::encode(&sealed[..16]), "010000007fb38ec5c55d497600000000");

    let mut server = Session::new(End::Server, &[0x55; 16], true);
    assert_eq!(**server.open(&sealed).unwrap(), plaintext);
    assert!(server.open(&sealed).is_none(), "a sequence number counts once");
    assert!(server.open(&sealed[..15]).is_none());
}

#[test]
fn a_signature_over_mechanisms_leaves_the_stream_and_counts() {
    let (mut client, mut server) =
        (Session::new(End::Client, &[7; 16], true), Session::new(End::Server, &[7; 16], true));
    let signature = client.sign_mechanism_list(b"list");
    assert!(server.verifies_mechanism_list(b"list", &signature));
    let sealed = client.seal(b"first");
    assert_eq!(sealed[12..16], [1, 0, 0, 0]);
    assert_eq!(**server.open(&sealed).unwrap(), *b"first");
    let mut unsigned = Session::new(End::Client, &[7; 16], true);
    assert_eq!(sealed[16..], unsigned.seal(b"first")[16..]);
}

#[test]
fn the_key_is_bound_by_version() {
    assert!(Binding::new(5, b"key", None).is_none());
    let old = Binding::new(4, &[0xFF, 2], Some([0; 32])).unwrap();
    assert_eq!((old.of_client(), old.of_server()), (vec![0xFF, 2], vec![0, 2]));
    let new = Binding::new(6, b"key", Some([9; 32])).unwrap();
    assert_eq!((new.of_client().len(), new.of_server().len()), (32, 32));
    assert_ne!(new.of_client(), new.of_server());
}

#[test]
fn messages_are_those_of_the_sspi_crate() {
    let message = Message {
        version: 6,
        nego_token: Some(vec![1; 300]),
        auth_info: Some(vec![2; 130]),
        pub_key_auth: Some(vec![3; 48]),
        error_code: Some(0xC000_006D),
        client_nonce: Some([4; 32]),
    };
    let theirs = TsRequest {
        version: 6,
        nego_tokens: message.nego_token.clone(),
        auth_info: message.auth_info.clone(),
        pub_key_auth: message.pub_key_auth.clone(),
        error_code: Some(NStatusCode(0xC000_006D)),
        client_nonce: message.client_nonce,
    };
    let read = TsRequest::from_buffer(&message.encode()).unwrap();
    assert_eq!(read.error_code, theirs.error_code);
    assert_eq!((read.nego_tokens, read.auth_info), (theirs.nego_tokens.clone(), theirs.auth_info.clone()));
    let mut bytes = Vec::new();
    theirs.encode_ts_request(&mut bytes).unwrap();
    assert!(Message::decode(&bytes).unwrap() == message);
}

#[test]
fn statuses_of_four_and_five_bytes_are_the_same() {
    // As Windows refuses NTLM where it is off; its SEC_E_UNSUPPORTED_FUNCTION.
    let windows = [0x30, 0x0D, 0xA0, 3, 2, 1, 6, 0xA4, 6, 2, 4, 0x80, 0x09, 0x03, 0x02];
    assert_eq!(Message::decode(&windows).unwrap().error_code, Some(0x8009_0302));
    let positive = [0x30, 0x0E, 0xA0, 3, 2, 1, 6, 0xA4, 7, 2, 5, 0, 0x80, 0x09, 0x03, 0x02];
    assert_eq!(Message::decode(&positive).unwrap().error_code, Some(0x8009_0302));
}

#[test]
fn credentials_are_those_of_the_sspi_crate() {
    let bytes = ts_credentials::encode(&right());
    let sspi::CredentialsBuffers::AuthIdentity(read) =
        sspi::credssp::read_ts_credentials(&bytes[..]).unwrap()
    else {
        panic!("a password");
    };
    assert_eq!((read.user.to_string(), read.domain.to_string()), ("jane".to_owned(), "CORP".to_owned()));
    assert_eq!(ts_credentials::delegation(&bytes).unwrap(), Delegation::Password);

    let restricted = [0x30, 0x0F, 0xA0, 3, 2, 1, 1, 0xA1, 8, 4, 6, 0x30, 4, 0xA2, 2, 4, 0];
    assert_eq!(ts_credentials::delegation(&restricted).unwrap(), Delegation::Nothing);
    let card = [0x30, 9, 0xA0, 3, 2, 1, 2, 0xA1, 2, 4, 0];
    assert_eq!(ts_credentials::delegation(&card).unwrap(), Delegation::Other(2));
}

#[test]
fn the_first_token_of_mstsc_is_read() {
    // mechTypes Kerberos (Microsoft's), Kerberos, NEGOEX, NTLM; no mechToken.
    let list = hex::decode(concat!(
        "302e06092a864882f712010202",
        "06092a864886f712010202",
        "060a2b06010401823702021e",
        "060a2b06010401823702020a"
    ))
    .unwrap();
    let mut token = hex::decode("603e06062b0601050502a0343032a030").unwrap();
    token.extend(&list);
    let init = spnego::Init::decode(&token).unwrap();
    assert_eq!(
        (init.mechanism_list, init.offers_ntlm, init.prefers_ntlm, init.prefers_kerberos, init.token),
        (list, true, false, true, None)
    );
}

/// As `mstsc` of Windows 11 (build 22621) begins Kerberos: under the first name of four, with user-to-user's TGT-REQ.
#[test]
fn mstsc_begins_kerberos_with_user_to_user() {
    let token = hex::decode(concat!(
        "60819506062b0601050502a0818a308187a030302e06092a864882f71201020206092a864886f712010202060a2b060104018237",
        "02021e060a2b06010401823702020aa2530451604f060a2a864886f712010202030400303fa003020105a103020110a2333031a0",
        "03020102a12a30281b075445524d5352561b1d49542d48454c502d544553542e61642e69742d68656c702e6e696e6a61"
    ))
    .unwrap();
    let init = spnego::Init::decode(&token).unwrap();
    assert!(init.prefers_kerberos && init.offers_ntlm && init.first == spnego::MS_KERBEROS);
    let service = user_to_user::asked_for(init.token.unwrap()).unwrap();
    assert_eq!(service.as_deref(), Some("TERMSRV/IT-HELP-TEST.ad.it-help.ninja"));
}
