use super::*;
use std::collections::BTreeSet;

fn meanings(code: &str) -> Vec<(Family, &'static str)> {
    let explanation = run(code, None).unwrap_or_else(|error| panic!("{code}: {error}"));
    explanation.meanings.iter().map(|meaning| (meaning.family, meaning.entry.name)).collect()
}

#[test]
fn every_line_has_a_number_of_its_own_and_no_empty_text() {
    for family in Family::ALL {
        let mut codes = BTreeSet::new();
        for entry in family.entries() {
            assert!(codes.insert(entry.code), "{family:?} has {:#x} twice", entry.code);
            let texts = [entry.name, entry.meaning].into_iter().chain(entry.note);
            for text in texts.chain(entry.causes.iter().copied()).chain(entry.next.iter().copied()) {
                assert!(!text.trim().is_empty() && text == text.trim(), "{family:?} {:#x}", entry.code);
                assert!(!text.contains("  "), "{family:?} {:#x}: {text}", entry.code);
            }
            assert!(!entry.causes.is_empty() && !entry.next.is_empty(), "{family:?} {:#x}", entry.code);
            assert!(entry.next.iter().all(|command| command.starts_with("rdpscope ")));
        }
        assert!(codes.len() > 5, "{family:?}");
    }
}

#[test]
fn the_numbers_of_another_implementation_are_all_known() {
    use ironrdp_pdu::rdp::server_error_info::ServerSetErrorInfoPdu;
    let theirs = (1..0x1200)
        .filter(|code: &u32| ironrdp_core::decode::<ServerSetErrorInfoPdu>(&code.to_le_bytes()).is_ok());
    let missing: Vec<u32> = theirs.filter(|code| Family::Errinfo.find(*code).is_none()).collect();
    assert!(missing.is_empty(), "{missing:#x?}");
}

#[test]
fn socket_closed_is_found_in_every_form() {
    for code in ["0x904", "2308", "904", "reason:0x904", "AtClientWinsockFDCLOSE"] {
        assert_eq!(meanings(code)[0], (Family::Reason, "AtClientWinsockFDCLOSE"), "{code}");
    }
    let forgotten = run("904", None).unwrap();
    assert_eq!(forgotten.understood.as_deref(), Some("904 is not known as a decimal number; read as 0x904"));
    assert!(run("2308", None).unwrap().understood.is_none());
}

#[test]
fn a_bare_7_is_ambiguous_and_the_extended_reason_comes_first() {
    assert_eq!(
        meanings("7"),
        [
            (Family::Extended, "ServerDeniedConnection"),
            (Family::Errinfo, "ERRINFO_SERVER_DENIED_CONNECTION"),
            (Family::Licensing, "STATUS_VALID_CLIENT"),
        ]
    );
    assert_eq!(meanings("licensing:7"), [(Family::Licensing, "STATUS_VALID_CLIENT")]);
    assert_eq!(meanings("tls:45"), [(Family::Tls, "certificate_expired")]);
    assert_eq!(meanings("x224:5"), [(Family::X224, "HYBRID_REQUIRED_BY_SERVER")]);
    assert_eq!(meanings("extended:0x112f"), [(Family::Extended, "ERRINFO_GRAPHICSSUBSYSTEMFAILED")]);
}

#[test]
fn statuses_come_negative_wrapped_and_by_name() {
    let logon_failure = (Family::Ntstatus, "STATUS_LOGON_FAILURE");
    for code in ["-1073741715", "0xc000006d", "0xD000006D", "status_logon_failure", "ntstatus:logon failure"]
    {
        assert_eq!(meanings(code)[0], logon_failure, "{code}");
    }
    assert_eq!(meanings("LOGON_FAILURE").len(), 3, "in CredSSP, in mstsc and in RDSTLS");
    assert_eq!(meanings("certificate_expired"), [(Family::Tls, "certificate_expired")]);
    assert_eq!(meanings("errinfo_idle_timeout"), [(Family::Errinfo, "ERRINFO_IDLE_TIMEOUT")]);
}

#[test]
fn win32_numbers_in_other_coats_are_found() {
    for code in ["0x8007052E", "0xC007052E"] {
        assert_eq!(meanings(code), [(Family::Authorization, "ERROR_LOGON_FAILURE")], "{code}");
    }
    let last_error = (Family::Ntstatus, "NTSTATUS_FROM_WIN32(ERROR_MORE_DATA)");
    assert_eq!(meanings("0xc00700ea"), [last_error], "how FreeRDP 3 answers a wrong password");
    assert!(run("0xC0070005", None).is_err(), "a denial of anything");
}

#[test]
fn gateway_codes_are_found_as_win32_number_and_as_hresult() {
    for code in ["gateway:0x59dd", "23005", "0x800759DD", "59dd"] {
        assert_eq!(meanings(code), [(Family::Gateway, "E_PROXY_TS_CONNECTFAILED")], "{code}");
    }
    assert_eq!(meanings("23002")[0].1, "E_PROXY_RAP_ACCESSDENIED");
    assert_eq!(meanings("0x3000007"), [(Family::ClientGateway, "GatewayCertificateExpired")]);
}

#[test]
fn the_pair_socket_closed_and_server_denied_gets_the_whole_decision() {
    for (code, extended) in
        [("0x904", Some("0x7")), ("2308", Some("7")), ("0x904/0x7", None), ("904 7", None)]
    {
        let explanation = run(code, extended).unwrap();
        assert_eq!(
            (explanation.code.as_str(), explanation.extended.as_deref()),
            ("0x00000904", Some("0x00000007"))
        );
        let reading = explanation.reading.unwrap();
        assert_eq!(reading.decide.len(), 8);
        assert!(reading.next.starts_with(&["rdpscope proxy TARGET", "rdpscope probe TARGET"]));
        assert!(reading.wrong_claims.iter().any(|wrong| wrong.claim.contains("ERROR_ARENA_TRASHED")));
    }
}

#[test]
fn any_other_pair_is_answered_by_the_number_that_tells_more() {
    let taken = run("3", Some("5")).unwrap().reading.unwrap();
    assert_eq!(taken.says, "another connection took the session");
    let nothing = run("0x204", Some("0")).unwrap().reading.unwrap();
    assert_eq!(nothing.says, "TCP could not be connected");
    let half = run("0x204", Some("0x99")).unwrap();
    assert!(half.reading.unwrap().but.contains("0x99"));
    assert_eq!(half.meanings.len(), 1);
    assert!(run("0x999", Some("5")).unwrap().reading.unwrap().but.contains("0x999"));
}

#[test]
fn what_is_not_known_says_so_and_is_no_wrong_usage() {
    for (code, extended) in
        [("0x2007", None), ("NO_SUCH_NAME_AT_ALL", None), ("tls:200", None), ("0x999", Some("99"))]
    {
        let error = run(code, extended).unwrap_err();
        assert!(!error.is_usage(), "{error}");
        assert!(error.to_string().contains("rdpscope proxy TARGET"), "{error}");
    }
    for (code, extended) in
        [("?", None), ("0xZZ", None), ("foo:1", None), ("tls:45", Some("7")), ("0x904", Some("x y"))]
    {
        assert!(run(code, extended).unwrap_err().is_usage(), "{code}");
    }
    assert_eq!(lookup(0xC000_006D, None).unwrap().meanings.len(), 1);
    assert!(lookup(0x2007, None).is_err() && lookup(0x904, Some(7)).is_ok());
}

#[test]
fn what_users_report_is_marked() {
    let explanation = run("0x907", None).unwrap();
    assert!(text(&explanation).contains("reported by users, not documented by Microsoft"));
    let documented = text(&run("0x204", None).unwrap());
    assert!(!documented.contains("reported by users"));
}

#[test]
fn every_number_renders_with_its_causes_and_commands() {
    for family in Family::ALL {
        for entry in family.entries() {
            let explanation = run(&format!("{}:{:#x}", family.id(), entry.code), None).unwrap();
            let text = text(&explanation);
            assert!(text.contains("\nTo tell them apart:\n  rdpscope "), "{text}");
            let value: serde_json::Value = serde_json::from_str(&json(&explanation)).unwrap();
            assert_eq!(value["type"], "explanation");
            assert_eq!(value["meanings"][0]["name"], entry.name);
        }
    }
}

#[test]
fn the_text_of_the_pair() {
    insta::assert_snapshot!(text(&run("0x904", Some("0x7")).unwrap()), @r##"
    0x904 (2308), extended 0x7: socket closed, "server denied connection": it ended before a session existed, and only error info 7 on the wire proves that the server denied it.
    The pair is also seen with broken certificates, with servers that fail in TLS and on ports that are not RDP at all: the client seems to fill in 7 for "closed before a session existed" (inferred, not documented by Microsoft).

    Where was it closed? That decides:
      (a) error info 7 is on the wire
          the server refused by policy: drain mode, a limit, its rules
      (b) closed right after the X.224 request
          the listener, a negotiation failure or a load balancer refused
      (c) closed or reset right after the ClientHello
          the server cannot use its private key (MachineKeys), or no TLS version or cipher is common
      (d) closed after the server's certificate
          the client does not trust the certificate, or a TLS inspection box is on the way
      (e) closed after a CredSSP message
          NLA: credentials, account, clock, domain or key binding
      (f) closed after the MCS Connect Initial
          the server refused the client's settings: too large, or edited on the way
      (g) closed after Client Info or in licensing
          a licence is missing or a session limit is reached
      (h) closed after minutes without a disconnect message
          the network: idle timeout, VPN or path MTU

    To tell them apart:
      rdpscope proxy TARGET
      rdpscope probe TARGET
      rdpscope ab TARGET --vary cert
      rdpscope proxy TARGET --cert mirror --nla terminate

    Often claimed, and wrong:
      - "0x7 is ERROR_ARENA_TRASHED (or out of memory)": those are Win32 numbers; extended reasons are numbers of their own
      - "0x904 is a TLS version error, or a licensing failure": it says only that the socket was closed; licensing has numbers of its own (0x808, 0x908)
      - "0x7 means too little bandwidth": nothing in it speaks of the network
      - "0x7 means that the licence could not be stored": that is extended reason 267
      - "setting the security layer to RDP mends it": it hides a certificate fault by giving up TLS
      - "turning UDP off mends it": UDP begins only after licensing: it cannot end a connection that never got there

    The other number:
      disconnect reason 0x904 (2308) AtClientWinsockFDCLOSE: socket closed: the server, or a box in between, ended the TCP connection
    "##);
}

#[test]
fn the_text_of_a_bare_number() {
    insta::assert_snapshot!(text(&run("7", None).unwrap()), @r##"
    extended disconnect reason 0x7 (7) ServerDeniedConnection: server denied connection.
    The client seems to fill it in whenever the connection ends before a session exists (inferred): only error info 7 on the wire proves that the server said so. It is no Win32 number, neither ERROR_ARENA_TRASHED nor ERROR_OUTOFMEMORY, whatever the web repeats.

    Usual causes, likeliest first:
      1. when error info 7 is on the wire: drain mode, a connection policy or a session limit of the server
      2. when it is not: the connection was closed before a session existed, mostly in TLS or NLA

    To tell them apart:
      rdpscope proxy TARGET
      rdpscope probe TARGET
      rdpscope proxy TARGET --cert mirror --nla terminate

    It may also be (name the family to be sure):
      error info 0x7 (7) ERRINFO_SERVER_DENIED_CONNECTION: the server denied the connection: drain mode, a connection policy or a session limit  [errinfo:0x7]
      licensing error 0x7 (7) STATUS_VALID_CLIENT: licensing succeeded or was not needed  [licensing:0x7]
    "##);
}

#[test]
fn the_line_of_json() {
    let line = json(&run("tls:45", None).unwrap());
    assert!(
        line.starts_with(r#"{"type":"explanation","code":"0x0000002d","decimal":45,"#)
            && !line.contains('\n')
    );
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    insta::assert_json_snapshot!(value, @r##"
    {
      "type": "explanation",
      "code": "0x0000002d",
      "decimal": 45,
      "meanings": [
        {
          "family": "tls",
          "code": 45,
          "name": "certificate_expired",
          "meaning": "the certificate is outside its validity period by the sender's clock",
          "causes": [
            "the certificate has expired",
            "the clock of the client is wrong"
          ],
          "note": "Windows shows it as 0x80090328 (SEC_E_CERT_EXPIRED).",
          "documented": true,
          "next": [
            "rdpscope probe TARGET",
            "rdpscope ab TARGET --vary cert"
          ]
        }
      ]
    }
    "##);
}

#[test]
fn every_status_that_the_decoder_of_a_gateway_names_is_explained() {
    use crate::wire::tsgu::status::RETURN_CODES;
    /// Success, and a logon that goes on, are no errors.
    const NO_ERRORS: [u32; 2] = [0, 0x0009_0312];
    for (code, name) in RETURN_CODES.iter().filter(|(code, _)| !NO_ERRORS.contains(code)) {
        let known = Family::Gateway.find(*code).map(|entry| entry.name);
        assert_eq!(known, Some(*name), "{code:#x}");
        if code & 0xFFFF_0000 == 0x8007_0000 {
            let win32 = Family::Gateway.find(code & 0xFFFF).map(|entry| entry.name);
            assert_eq!(win32, Some(*name), "{code:#x} as Win32 number");
        }
    }
}

#[test]
fn mstsc_is_asked_for_its_own_codes_and_its_words_stand_beside_ours() {
    let asked = |code, extended| run(code, extended).unwrap().of_mstsc();
    assert_eq!(asked("0x904", Some("0x7")), Some((0x904, 7)));
    assert_eq!(asked("2308", None), Some((0x904, 0)));
    assert_eq!((asked("7", None), asked("tls:45", None)), (None, None));
    for extended in [None, Some("7")] {
        let mut explanation = run("0x904", extended).unwrap();
        assert!(!text(&explanation).contains("mstsc itself") && !json(&explanation).contains("mstsc itself"));
        explanation.mstsc = Some("An internal error has occurred.".to_owned());
        let told = text(&explanation);
        assert!(told.contains("\nmstsc itself says: An internal error has occurred.\n"), "{told}");
        assert!(json(&explanation).contains(r#""mstsc":"An internal error has occurred.""#));
    }
}
