//! Who may see the dashboard: whoever knows the token, from a page of the dashboard's own.
//!
//! A browser shows any page, and each may send requests to this machine. So the `Host` header has to be an address (a
//! name could be made to point here), requests that change something have to name this origin, and the cookie goes
//! along with none that another site has caused.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use ring::rand::{SecureRandom, SystemRandom};
use std::net::{IpAddr, SocketAddr};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Random bytes of a token: nobody guesses 128 bits.
const TOKEN_BYTES: usize = 16;
/// Characters that a token of the user's own must have at least: as many bits, were they hexadecimal.
pub(super) const SHORTEST_TOKEN: usize = 2 * TOKEN_BYTES;
/// Characters that it may have at most: headers are small.
pub(super) const LONGEST_TOKEN: usize = 256;

/// A secret word; never shown by accident, and overwritten when it goes.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new one from the system's generator; none where that fails.
    pub(super) fn random() -> Option<Secret> {
        let mut bytes = [0; TOKEN_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Secret(Zeroizing::new(hex::encode(bytes))))
    }

    /// One that the user keeps in a file.
    pub(super) fn given(text: &str) -> Option<Secret> {
        let is_fit = (SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        is_fit.then(|| Secret(Zeroizing::new(text.to_owned())))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// In a time that does not tell how much of it is right.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

/// What a request shows to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The cookie that a visit with the token was given.
    Cookie,
    /// The token itself in an `Authorization` header, as programs send it.
    Bearer,
    /// The token in the address: the first visit.
    Token,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It asks for another host.
    WrongHost,
    /// It shows nothing that lets it in.
    NoEntry,
    /// It would change something and does not come from a page of the dashboard.
    WrongOrigin,
}

/// The keys to one dashboard.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) token: Secret,
    /// Not the token, so that what a browser keeps opens nothing but this run's dashboard.
    cookie: Secret,
    address: SocketAddr,
}

impl Access {
    pub(super) fn new(token: Secret, cookie: Secret, address: SocketAddr) -> Access {
        Access { token, cookie, address }
    }

    /// Lets a request in, or says why not.
    pub(super) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Entry, Refusal> {
        let host = only(headers, HOST.as_str()).filter(|host| self.is_own_host(host));
        let host = host.ok_or(Refusal::WrongHost)?;
        let entry = self.entry(headers, query).ok_or(Refusal::NoEntry)?;
        let changes_nothing = matches!(*method, Method::GET | Method::HEAD);
        // A program that knows the token acts for nobody else.
        if changes_nothing || entry == Entry::Bearer {
            return Ok(entry);
        }
        match only(headers, ORIGIN.as_str()) {
            Some(origin) if origin == format!("http://{host}") => Ok(entry),
            _ => Err(Refusal::WrongOrigin),
        }
    }

    fn entry(&self, headers: &HeaderMap, query: Option<&str>) -> Option<Entry> {
        // First, so that it leaves the address whatever else is shown.
        let token = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
        if token.is_some_and(|token| self.token.is(token)) {
            return Some(Entry::Token);
        }
        let name = self.cookie_name();
        let mut cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        if cookies.any(|cookies| cookies.split("; ").any(|pair| self.is_cookie(&name, pair))) {
            return Some(Entry::Cookie);
        }
        let authorization = only(headers, AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
        let bearer = authorization.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.is_some_and(|(_, token)| self.token.is(token.trim())).then_some(Entry::Bearer)
    }

    fn is_cookie(&self, name: &str, pair: &str) -> bool {
        pair.split_once('=').is_some_and(|(found, value)| found == name && self.cookie.is(value))
    }

    /// Cookies are not kept apart by port: the name tells several dashboards of one machine apart.
    fn cookie_name(&self) -> String {
        format!("rdpscope-{}", self.address.port())
    }

    /// `Set-Cookie` for who came with the token.
    pub(super) fn set_cookie(&self) -> String {
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie_name(), self.cookie.expose())
    }

    /// Whether `Host` is this listener: `localhost` or an address, never another name, and on its port.
    fn is_own_host(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let is_named = match name.parse::<IpAddr>() {
            Ok(address) => self.address.ip().is_unspecified() || address == self.address.ip(),
            Err(_) => name.eq_ignore_ascii_case("localhost") && self.is_local(),
        };
        is_named && port == Some(self.address.port())
    }

    fn is_local(&self) -> bool {
        self.address.ip().is_loopback() || self.address.ip().is_unspecified()
    }
}

/// The value of a header that stands there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    const COOKIE_VALUE: &str = "fedcba9876543210fedcba9876543210";

    fn access(address: &str) -> Access {
        let [token, cookie] = [TOKEN, COOKIE_VALUE].map(|word| Secret::given(word).unwrap());
        Access::new(token, cookie, address.parse().unwrap())
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_the_listeners_own_address_is_a_host() {
        let local = access("127.0.0.1:8389");
        for host in ["127.0.0.1:8389", "localhost:8389", "LOCALHOST:8389"] {
            assert!(local.is_own_host(host), "{host}");
        }
        for host in [
            "evil.example:8389",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost",
            "127.0.0.2:8389",
            "",
            "[::1]:8389",
            ":8389",
        ] {
            assert!(!local.is_own_host(host), "{host}");
        }
        assert!(access("[::1]:8389").is_own_host("[::1]:8389"));
        let open = access("0.0.0.0:80");
        assert!(open.is_own_host("192.0.2.7") && open.is_own_host("192.0.2.7:80"));
        assert!(!open.is_own_host("dashboard.example") && !access("192.0.2.7:80").is_own_host("localhost"));
    }

    #[test]
    fn whoever_knows_the_token_is_let_in_and_nobody_else() {
        let access = access("127.0.0.1:8389");
        let host = ("host", "127.0.0.1:8389");
        let check =
            |pairs: &[(&'static str, &str)], query| access.check(&Method::GET, &headers(pairs), query);
        let bearer = format!("Bearer {TOKEN}");
        let cookie = format!("a=b; rdpscope-8389={COOKIE_VALUE}");
        assert_eq!(check(&[host, ("authorization", &bearer)], None), Ok(Entry::Bearer));
        assert_eq!(check(&[host, ("cookie", &cookie)], None), Ok(Entry::Cookie));
        let query = format!("x=1&token={TOKEN}");
        assert_eq!(check(&[host], Some(&query)), Ok(Entry::Token));
        assert_eq!(check(&[host, ("cookie", &cookie)], Some(&query)), Ok(Entry::Token));
        assert_eq!(check(&[host], None), Err(Refusal::NoEntry));
        assert_eq!(check(&[host], Some("token=")), Err(Refusal::NoEntry));
        let other = format!("rdpscope-8389={TOKEN}; rdpscope-8390={COOKIE_VALUE}");
        assert_eq!(check(&[host, ("cookie", &other)], None), Err(Refusal::NoEntry));
        assert_eq!(check(&[("cookie", &cookie)], None), Err(Refusal::WrongHost));
        let two = [host, ("host", "evil.example"), ("cookie", &cookie)];
        assert_eq!(check(&two, None), Err(Refusal::WrongHost));
    }

    #[test]
    fn changes_come_from_pages_of_this_origin() {
        let access = access("127.0.0.1:8389");
        let cookie = format!("rdpscope-8389={COOKIE_VALUE}");
        let with = |origin: Option<&str>| {
            let mut headers = headers(&[("host", "localhost:8389"), ("cookie", &cookie)]);
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            access.check(&Method::POST, &headers, None)
        };
        assert_eq!(with(Some("http://localhost:8389")), Ok(Entry::Cookie));
        for origin in [None, Some("null"), Some("http://evil.example"), Some("http://127.0.0.1:8389")] {
            assert_eq!(with(origin), Err(Refusal::WrongOrigin), "{origin:?}");
        }
    }

    #[test]
    fn a_token_is_long_enough_and_is_not_shown() {
        let random = Secret::random().unwrap();
        assert_eq!(random.expose().len(), 32);
        assert_ne!(random.expose(), Secret::random().unwrap().expose());
        assert_eq!(format!("{random:?}"), "Secret(…)");
        for unfit in ["short", &"a b".repeat(20), &"x".repeat(300), &"ü".repeat(40)] {
            assert!(Secret::given(unfit).is_none(), "{unfit}");
        }
    }
}
