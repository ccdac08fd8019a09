//! Where names come from.

use super::names::{Kind, Names};
use std::net::{IpAddr, SocketAddr};

/// The authority that rdpscope makes for a session.
const OWN_AUTHORITY: &str = "rdpscope session CA";

/// Folders whose children bear the names of users.
const HOME_FOLDERS: [&str; 2] = ["home", "Users"];

/// An address alone or with its port.
pub fn address(names: &mut Names, text: &str) -> bool {
    let bare = text.trim_matches(|character| matches!(character, '[' | ']'));
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.inspect(|address| names.learn_address(*address)).is_ok()
}

/// A machine's name or address, perhaps with a port.
pub fn target(names: &mut Names, text: &str) {
    if address(names, text) {
        return;
    }
    let host = match text.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => text,
    };
    if !address(names, host) {
        names.learn_dotted(Kind::Host, host);
    }
}

/// A name of one kind, with dots or without.
pub fn named(names: &mut Names, kind: Kind, text: &str) {
    if !address(names, text) {
        names.learn_dotted(kind, text);
    }
}

/// A user in any of the forms in which one logs on: `user`, `DOMAIN\user`, `user@domain`.
pub fn user(names: &mut Names, text: &str) {
    match (text.split_once('\\'), text.split_once('@')) {
        (Some((domain, user)), _) => {
            names.learn_dotted(Kind::Domain, domain);
            names.learn_word(Kind::User, user);
        }
        (None, Some((user, domain))) => {
            names.learn_word(Kind::User, user);
            names.learn_dotted(Kind::Domain, domain);
        }
        (None, None) => names.learn_word(Kind::User, text),
    }
}

/// The common name of a certificate, or a name that was asked for.
pub fn common_name(names: &mut Names, text: &str) {
    if address(names, text) || text.starts_with(OWN_AUTHORITY) {
        return;
    }
    match text.contains(char::is_whitespace) {
        true => names.learn_word(Kind::Organisation, text),
        false => names.learn_dotted(Kind::Host, text),
    }
}

/// A distinguished name: `CN=name, O=company`.
pub fn distinguished_name(names: &mut Names, text: &str) {
    for part in text.split(',') {
        match part.trim().split_once('=') {
            Some(("CN", value)) => common_name(names, value),
            Some(("DC", value)) => names.learn_word(Kind::Domain, value),
            Some(("UID" | "emailAddress" | "E", value)) => user(names, value),
            Some(("C" | "ST" | "serialNumber", _)) | None => {}
            Some((_, value)) => names.learn_word(Kind::Organisation, value),
        }
    }
}

/// A URL (`http://host:port/path`) or a service principal (`TERMSRV/host`).
pub fn locator(names: &mut Names, text: &str) {
    let after_scheme = text.split_once("://").map(|(_, rest)| rest);
    let authority = match after_scheme {
        Some(rest) => rest.split(['/', '?', '#']).next(),
        None => text.split_once('/').map(|(_, host)| host),
    };
    let Some(authority) = authority else { return distinguished_name(names, text) };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    target(names, host);
}

/// Names of machines among other words, such as in `1.1 proxy.corp.example (squid)`.
pub fn hosts_in_text(names: &mut Names, text: &str) {
    let separates =
        |character: char| character.is_whitespace() || matches!(character, ',' | ';' | '(' | ')' | '/' | '"');
    for word in text.split(separates).filter(|word| word.contains('.') || word.contains(':')) {
        // A version number names nobody.
        if word.contains(|character: char| character.is_ascii_alphabetic()) || word.parse::<IpAddr>().is_ok()
        {
            target(names, word);
        }
    }
}

/// A setting of rdpscope: machines, commands, and paths below the home of a user.
pub fn setting(names: &mut Names, key: &str, text: &str) {
    match key {
        "address" | "gateway" | "listen" | "target" | "as-http-proxy" => target(names, text),
        "upstream-proxy" | "otlp" => locator(names, text),
        _ => {}
    }
    let folders: Vec<&str> = text.split(['/', '\\', ' ', '"']).collect();
    for pair in folders.windows(2).filter(|pair| HOME_FOLDERS.contains(&pair[0])) {
        names.learn_word(Kind::User, pair[1]);
    }
}
