//! Credentials from a file.

use super::super::credentials::{Credentials, CredentialsError, Kdc, Problem};
use super::super::refusal::Refusal;

const CANARY: &str = "canary-Wk3";

fn problem(text: &str) -> Problem {
    Credentials::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn a_file_holds_a_name_and_a_password() {
    let text = "\u{FEFF}# for the lab\r\n\r\n username =  CORP\\jane \r\npassword =  two = blanks \r\n";
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    assert_eq!((credentials.domain(), credentials.user()), ("CORP", "jane"));
    assert_eq!(credentials.password(), " two = blanks ");
    let credentials = Credentials::parse(b"password=x\nusername=jane@corp.test").unwrap();
    assert_eq!(
        (credentials.domain(), credentials.user(), credentials.password()),
        ("", "jane@corp.test", "x")
    );
}

#[test]
fn the_realm_is_the_domain_unless_it_is_said() {
    let account = |lines: &str| {
        let credentials = Credentials::parse(format!("password = x\n{lines}").as_bytes()).unwrap();
        let domain = credentials.domain().to_owned();
        credentials.account().map(|account| (account.user, account.realm, account.kdc, domain))
    };
    let of_system = |user: &str, realm: &str, domain: &str| {
        (user.to_owned(), realm.to_owned(), Kdc::OfSystem, domain.to_owned())
    };
    let cases = [
        ("username = CORP\\jane", of_system("jane", "CORP", "CORP")),
        ("username = jane@corp.test", of_system("jane@corp.test", "CORP.TEST", "")),
        ("username = jane\nrealm = CORP.TEST", of_system("jane", "CORP.TEST", "CORP.TEST")),
        ("username = CORP\\jane\nrealm = CORP.TEST", of_system("jane", "CORP.TEST", "CORP")),
        ("username = jane@other.test\nrealm = CORP.TEST", of_system("jane@other.test", "CORP.TEST", "")),
    ];
    for (lines, expected) in cases {
        assert_eq!(account(lines).unwrap(), expected, "{lines}");
    }
    for place in ["dc1", "dc1.corp.test:1088", "192.0.2.1", "[2001:db8::1]:88"] {
        let (.., kdc, _) = account(&format!("username = jane@corp.test\nkdc = {place}")).unwrap();
        assert_eq!(kdc, Kdc::Given(place.to_owned()));
    }
    assert!(matches!(account("username = jane"), Err(Refusal::NoRealm)));
    assert!(matches!(account("username = jane@corp.test\nkdc = None"), Err(Refusal::Forbidden)));
}

#[test]
fn a_bad_line_is_named_and_not_shown() {
    let canary = CANARY;
    let cases = [
        (format!("username = jane\n{canary}\n"), Problem::Line(2)),
        (format!("username = jane\npasswort = {canary}\n"), Problem::Line(2)),
        (
            format!("password = {canary}\n\npassword = {canary}\n"),
            Problem::Twice { line: 3, name: "password" },
        ),
        (format!("username = CORP\\\npassword = {canary}"), Problem::NoName(1)),
        (format!("password = {canary}"), Problem::Missing("username")),
        ("username = jane".to_owned(), Problem::Missing("password")),
        (format!("realm = \npassword = {canary}\nusername = x"), Problem::NoPlace { line: 1, name: "realm" }),
        (format!("username = x\npassword = {canary}\nkdc = "), Problem::NoPlace { line: 3, name: "kdc" }),
        (format!("username = x\npassword = {canary}\nkdc = a/b"), Problem::NoPlace { line: 3, name: "kdc" }),
        (
            format!("username = x\npassword = {canary}\nkdc = https://a"),
            Problem::NoPlace { line: 3, name: "kdc" },
        ),
        (
            format!("username = x\npassword = {canary}\nkdc = a:99999"),
            Problem::NoPlace { line: 3, name: "kdc" },
        ),
        ("x".repeat(70_000), Problem::TooLong),
    ];
    for (text, expected) in cases {
        let problem = problem(&text);
        assert_eq!(problem, expected);
        assert!(!format!("{problem} {problem:?}").contains(canary));
    }
    assert_eq!(Credentials::parse(b"username = \xFF").unwrap_err(), Problem::Encoding);
}

#[test]
fn a_password_is_never_shown() {
    let text = format!("username = CORP\\jane\npassword = {CANARY}");
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let shown = format!("{credentials:?} {credentials:#?}");
    assert!(shown.contains("jane") && !shown.contains(CANARY), "{shown}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Credentials::from_file(&folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, CredentialsError::Read { .. }));
    assert!(error.to_string().contains("absent"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    std::fs::write(&path, format!("username = jane\npassword = {CANARY}")).unwrap();
    for (mode, allowed) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        match Credentials::from_file(&path) {
            Ok(credentials) => assert!(allowed && credentials.password() == CANARY),
            Err(error) => {
                assert!(!allowed, "{error}");
                assert!(
                    error.to_string().contains(&format!("run 'chmod 600 {}'", path.display())),
                    "{error}"
                );
            }
        }
    }
}
