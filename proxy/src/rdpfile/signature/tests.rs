//! Signatures that OpenSSL made with a key that nobody has any more, over the lines as rdpsign.exe takes them.

use super::*;

const SIGNED: &str = "full address:s:srv10.corp.example\r\nalternate full address:s:srv10.corp.example\r\n\
    audiomode:i:0\r\nserver port:i:3389\r\nsignscope:s:Full Address,Alternate Full Address,Server Port\r\n";

/// With signed attributes (RFC 5652 5.3).
const WITH_ATTRIBUTES: &str = "\
    AQABAAEAAACwAwAAMIIDrAYJKoZIhvcNAQcCoIIDnTCCA5kCAQExDzANBglghkgBZQMEAgEFADALBgkqhkiG9w0BBwGgggInMIICIzCCAYyg\
    AwIBAgIUVuexgUoOmS7uan4YM5GjMExFIM0wDQYJKoZIhvcNAQELBQAwHDEaMBgGA1UEAwwRcHVibGlzaGVyLmV4YW1wbGUwIBcNMjYxMTIy\
    MDMwODEyWhgPMjEyNjEwMjkwMzA4MTJaMBwxGjAYBgNVBAMMEXB1Ymxpc2hlci5leGFtcGxlMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKB\
    gQCoNzy6ZjeHifiTdnwNHZxv/Mh/7vkSwDFYCHsTJEGvrWjDDc2twaYMkltxMu8fnyCKXVAtWyYN7PQMEFxoBkoh3Rhvl7HXVO7B1D6ZF44j\
    kdiMnrexhrglWU0byuSYmDjj9c1ui3PiV2XfPHvuOi3ktQxia1Sc6XQUt95B1/bwGwIDAQABo2AwXjAdBgNVHQ4EFgQUvjcPXx6A8anTqTvs\
    7HnyPaEmNSMwHwYDVR0jBBgwFoAUvjcPXx6A8anTqTvs7HnyPaEmNSMwDwYDVR0TAQH/BAUwAwEB/zALBgNVHQ8EBAMCB4AwDQYJKoZIhvcN\
    AQELBQADgYEAYdEFGXEZYogA0iVLrlythC/Nsea8SRrWhcBqO20vC0xS2cZyGwqPEaUGk60+VKaVlzNnDVrWOZw7xxh4JN5b8WGqxdmWSoZP\
    02MkVSBdPVfV9i0CNH4hNIKuvO67GuQj5r0ueHTH13ZJft1ENbvIJPipi4VWHImZba7l27sMiA0xggFJMIIBRQIBATA0MBwxGjAYBgNVBAMM\
    EXB1Ymxpc2hlci5leGFtcGxlAhRW57GBSg6ZLu5qfhgzkaMwTEUgzTANBglghkgBZQMEAgEFAKBpMBgGCSqGSIb3DQEJAzELBgkqhkiG9w0B\
    BwEwHAYJKoZIhvcNAQkFMQ8XDTI2MTEyMjAzMDgxM1owLwYJKoZIhvcNAQkEMSIEILC/pIJtR212U5zUkryhHDAoPTMrioL6Umi4oK8p0Lbj\
    MA0GCSqGSIb3DQEBAQUABIGAIeKngH0HvxnRUn5R0wUO+gpAvbDsbYnajaetOL4esBysPczALFlloX+Xn9AKWKegaWrM2cTDodp+tnbkM5X9\
    JkkVdWtXBh2LfJxw3YtfEnxkd0cbPHg+torEplrzxLrO+ZR3PgGYr+aBV+zE2tp8KcdcYmHorPQUh6+MOvCO97A=\
";

/// Over the content alone.
const PLAIN: &str = "\
    AQABAAEAAABDAwAAMIIDPwYJKoZIhvcNAQcCoIIDMDCCAywCAQExDzANBglghkgBZQMEAgEFADALBgkqhkiG9w0BBwGgggInMIICIzCCAYyg\
    AwIBAgIUVuexgUoOmS7uan4YM5GjMExFIM0wDQYJKoZIhvcNAQELBQAwHDEaMBgGA1UEAwwRcHVibGlzaGVyLmV4YW1wbGUwIBcNMjYxMTIy\
    MDMwODEyWhgPMjEyNjEwMjkwMzA4MTJaMBwxGjAYBgNVBAMMEXB1Ymxpc2hlci5leGFtcGxlMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKB\
    gQCoNzy6ZjeHifiTdnwNHZxv/Mh/7vkSwDFYCHsTJEGvrWjDDc2twaYMkltxMu8fnyCKXVAtWyYN7PQMEFxoBkoh3Rhvl7HXVO7B1D6ZF44j\
    kdiMnrexhrglWU0byuSYmDjj9c1ui3PiV2XfPHvuOi3ktQxia1Sc6XQUt95B1/bwGwIDAQABo2AwXjAdBgNVHQ4EFgQUvjcPXx6A8anTqTvs\
    7HnyPaEmNSMwHwYDVR0jBBgwFoAUvjcPXx6A8anTqTvs7HnyPaEmNSMwDwYDVR0TAQH/BAUwAwEB/zALBgNVHQ8EBAMCB4AwDQYJKoZIhvcN\
    AQELBQADgYEAYdEFGXEZYogA0iVLrlythC/Nsea8SRrWhcBqO20vC0xS2cZyGwqPEaUGk60+VKaVlzNnDVrWOZw7xxh4JN5b8WGqxdmWSoZP\
    02MkVSBdPVfV9i0CNH4hNIKuvO67GuQj5r0ueHTH13ZJft1ENbvIJPipi4VWHImZba7l27sMiA0xgd0wgdoCAQEwNDAcMRowGAYDVQQDDBFw\
    dWJsaXNoZXIuZXhhbXBsZQIUVuexgUoOmS7uan4YM5GjMExFIM0wDQYJYIZIAWUDBAIBBQAwDQYJKoZIhvcNAQEBBQAEgYAG5atoDux+n66T\
    hwcwIw+ph3lv4CidCpketK75+3viUFeVV1/KK2sUGjCzaJI/r5Y+xaaVVSFTfIzZX77Yv6UsNwgevMPCITRY7vB3WQewtRs3Ay+iZmu47548\
    HF0nvilDBGD/T84l0+npmYrti4ThOeK6OFz0Jp8ZO8a8ezvLXg==\
";

fn state(text: &str) -> Option<SignatureState> {
    check(&Profile::read(text.as_bytes()))
}

fn signed(signature: &str) -> String {
    format!("{SIGNED}signature:s:{signature}\r\n")
}

#[test]
fn a_signature_fits_in_any_encoding_and_in_groups() {
    let fits = Some(SignatureState::Fits { signer: Some("publisher.example".to_owned()) });
    for signature in [WITH_ATTRIBUTES, PLAIN] {
        assert_eq!(state(&signed(signature)), fits);
        let groups: Vec<&str> =
            (0..signature.len()).step_by(64).map(|at| &signature[at..signature.len().min(at + 64)]).collect();
        let text = signed(&groups.join("  "));
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(check(&Profile::read(&[b"\xff\xfe", &wide[..]].concat())), fits);
    }
}

#[test]
fn a_line_that_is_not_signed_may_change() {
    let text = signed(PLAIN).replace("audiomode:i:0", "audiomode:i:1");
    assert!(matches!(state(&text), Some(SignatureState::Fits { .. })));
}

#[test]
fn a_signed_line_may_not() {
    for signature in [WITH_ATTRIBUTES, PLAIN] {
        for (before, after) in [
            ("full address:s:srv10", "full address:s:srv11"),
            ("full address:s:srv10", "Full address:s:srv10"),
            ("Server Port\r\n", "Server Port,AudioMode\r\n"),
        ] {
            let text = signed(signature).replacen(before, after, 1);
            assert_eq!(state(&text), Some(SignatureState::Broken(Fault::Changed)), "{after}");
        }
        let text = signed(signature).replace("server port:i:3389\r\n", "");
        let missing = Fault::Missing("Server Port".to_owned());
        assert_eq!(state(&text), Some(SignatureState::Broken(missing)));
    }
}

#[test]
fn what_is_no_signature_is_told() {
    assert_eq!(state("full address:s:srv10\r\n"), None);
    for value in ["", "stale", "AQABAAEAAAAFAAAAc3RhbGU=", &WITH_ATTRIBUTES[..400]] {
        assert_eq!(state(&signed(value)), Some(SignatureState::Broken(Fault::Malformed)), "{value}");
    }
    let alone = format!("{SIGNED}full address:s:srv10");
    assert_eq!(state(&alone), Some(SignatureState::Broken(Fault::Incomplete("signature:s:"))));
    let scopeless = format!("full address:s:srv10\r\nsignature:s:{PLAIN}\r\n");
    assert_eq!(state(&scopeless), Some(SignatureState::Broken(Fault::Incomplete("signscope:s:"))));
}

#[test]
fn every_byte_of_a_signature_may_be_wrong() {
    let bytes = base64::decode(PLAIN).unwrap();
    for at in 0..bytes.len() {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0x11;
        // Whatever is said of it, nothing panics, and the last bytes are the signature itself.
        let said = state(&signed(&base64::encode(&wrong)));
        if at + 128 >= bytes.len() {
            assert_eq!(said, Some(SignatureState::Broken(Fault::Changed)));
        }
    }
}
