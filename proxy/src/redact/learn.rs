//! Where names come from.

use super::names::{Kind, Names};
use std::net::{IpAddr, SocketAddr};

/// The authority that rdpscope makes for a session.
const OWN_AUTHORITY: &str = "rdpscope session CA";

/// Where Active Directory keeps what its certificate authorities publish: containers that everybody has, as an address has
/// them.
const CONTAINERS: [&str; 5] = ["AIA", "CDP", "Configuration", "Public%20Key%20Services", "Services"];

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
        true => {
            names.learn_word(Kind::Organisation, text);
            // As the addresses have it where an authority publishes.
            names.learn_word(Kind::Organisation, &text.replace(' ', "%20"));
        }
        false => names.learn_dotted(Kind::Host, text),
    }
}

/// A distinguished name: `CN=name, O=company`.
pub fn distinguished_name(names: &mut Names, text: &str) {
    for part in parts(text) {
        let Some((key, value)) = part.trim().split_once('=') else { continue };
        attribute(names, key, value);
        // A certificate has it without what protects a comma in text.
        let plain = value.trim_matches('"').replace('\\', "");
        if plain != value {
            attribute(names, key, &plain);
        }
    }
}

/// What stands between commas that neither a backslash nor quotation marks protect (RFC 4514 section 2.4).
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_escaped, mut is_quoted) = (false, false);
    text.split(move |character| {
        let separates = character == ',' && !is_escaped && !is_quoted;
        is_quoted ^= character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        separates
    })
}

fn attribute(names: &mut Names, key: &str, value: &str) {
    match key {
        "CN" if CONTAINERS.contains(&value) => {}
        "CN" => common_name(names, value),
        "DC" => names.learn_word(Kind::Domain, value),
        "UID" | "emailAddress" | "E" => user(names, value),
        "C" | "ST" | "serialNumber" => {}
        _ => names.learn_word(Kind::Organisation, value),
    }
}

/// A URL (`http://host:port/path`; `ldap:///CN=authority,CN=host,DC=company?attribute`) or a service principal
/// (`TERMSRV/host`).
pub fn locator(names: &mut Names, text: &str) {
    if let Some((_, path)) = text.split_once(":///") {
        return distinguished_name(names, path.split('?').next().unwrap_or_default());
    }
    let after_scheme = text.split_once("://").map(|(_, rest)| rest);
    let authority = match after_scheme {
        Some(rest) => rest.split(['/', '?', '#']).next(),
        None => text.split_once('/').map(|(_, host)| host),
    };
    let Some(authority) = authority else { return distinguished_name(names, text) };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    target(names, host);
    // An authority of Windows publishes its certificate as `…/host_authority.crt`.
    let file = after_scheme.and_then(|rest| rest.rsplit_once('/'));
    if let Some((host, _)) =
        file.and_then(|(_, file)| file.split_once('_')).filter(|(host, _)| host.contains('.'))
    {
        target(names, host);
    }
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
