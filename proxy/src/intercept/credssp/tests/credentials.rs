//! Credentials from a file.

use super::super::credentials::{Credentials, CredentialsError, Problem};

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
