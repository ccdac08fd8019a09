//! Where a collector is, and one request to it.

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use axum::http::uri::Scheme;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where OTLP over HTTP takes traces, below a collector's own path.
const TRACES: &str = "/v1/traces";
/// The body of an answer; a collector says a sentence.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A collector: `http://HOST[:PORT][/PATH]` or `https://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    is_tls: bool,
    path: String,
}

/// Why a text names no collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is not the address of anything.
    #[error("not a collector's address; write for example http://collector.corp.example:4318")]
    NotAnUrl,
    /// It would stand in the list of processes.
    #[error("a collector's address holds no secret; put it into OTEL_EXPORTER_OTLP_HEADERS")]
    HasSecret,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError::NotAnUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotAnUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::HasSecret);
        }
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(EndpointError::NotAnUrl),
        };
        let host = authority.host().trim_matches(['[', ']']);
        let has_port = authority.as_str().len() > authority.host().len();
        if host.is_empty() || has_port && authority.port_u16().is_none() {
            return Err(EndpointError::NotAnUrl);
        }
        let path = match uri.path_and_query().map(|path| path.as_str()) {
            None | Some("" | "/") => TRACES,
            Some(path) => path,
        };
        Ok(Endpoint {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path.split('?').next().unwrap_or_default())
    }
}

impl Endpoint {
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// What a collector answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took what it was sent; the body says whether all of it.
    Taken(Vec<u8>),
    /// It cannot now, and may say when to come again.
    Later { reason: String, after: Option<Duration> },
    /// It never will.
    Refused(String),
}

/// What knows the way to a collector.
pub(super) struct Client {
    endpoint: Endpoint,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<TlsConnector>,
    within: Duration,
}

impl Client {
    /// One request may take `within`. `headers` as in `OTEL_EXPORTER_OTLP_HEADERS`.
    pub(super) fn new(endpoint: Endpoint, headers: &str, within: Duration) -> Client {
        let tls = endpoint.is_tls.then(connector).flatten();
        Client { tls, endpoint, headers: read_headers(headers), within }
    }

    /// Sends one message, and waits for the answer.
    pub(super) async fn post(&self, message: Vec<u8>) -> Answer {
        let later = |reason: String| Answer::Later { reason, after: None };
        match tokio::time::timeout(self.within, self.exchange(message)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => later(reason),
            Err(_) => later(format!("it does not answer within {} s", self.within.as_secs())),
        }
    }

    async fn exchange(&self, message: Vec<u8>) -> Result<Answer, String> {
        let Endpoint { host, port, .. } = &self.endpoint;
        let connected = TcpStream::connect((host.as_str(), *port)).await;
        let stream = connected.map_err(|error| crate::relay::connect::plain_reason(&error))?;
        if !self.endpoint.is_tls {
            return self.speak(stream, message).await;
        }
        let tls = self.tls.as_ref().ok_or("this system has no TLS")?;
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| error.to_string())?;
        self.speak(stream, message).await
    }

    async fn speak<S>(&self, stream: S, message: Vec<u8>) -> Result<Answer, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let plain = |error: hyper::Error| error.to_string();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(plain)?;
        let exchange = async {
            let response = sender.send_request(self.request(message)?).await.map_err(plain)?;
            let (head, body) = response.into_parts();
            let body = to_bytes(Body::new(body), LONGEST_ANSWER).await.unwrap_or_default();
            Ok(answer(head.status, head.headers.get(RETRY_AFTER), &body))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            answer = &mut exchange => answer,
            // What came before the connection's end is still to be read.
            _ = &mut connection => exchange.await,
        }
    }

    fn request(&self, message: Vec<u8>) -> Result<Request<Body>, String> {
        let mut request = Request::post(self.endpoint.path.as_str())
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_LENGTH, message.len())
            .header(USER_AGENT, concat!("rdpscope/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(message)).map_err(|error| error.to_string())
    }
}

/// What an answer means (OTLP specification, "OTLP/HTTP Response").
fn answer(status: StatusCode, retry_after: Option<&HeaderValue>, body: &[u8]) -> Answer {
    let reason = format!("it answers {status}");
    match status.as_u16() {
        200..300 => Answer::Taken(body.to_vec()),
        429 | 502..=504 => {
            let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Answer::Later { reason, after: seconds.map(Duration::from_secs) }
        }
        _ => Answer::Refused(reason),
    }
}

fn connector() -> Option<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

/// `key=value,key2=value2`, values percent-encoded; what is no header is left out.
fn read_headers(text: &str) -> Vec<(HeaderName, HeaderValue)> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let mut value = HeaderValue::from_bytes(&percent_decoded(value.trim())).ok()?;
        value.set_sensitive(true);
        Some((name.trim().parse().ok()?, value))
    };
    text.split(',').filter_map(header).collect()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped =
            (*first == b'%').then(|| after.get(..2)).flatten().and_then(|digits| hex::decode(digits).ok());
        match escaped {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_to_the_usual_path_unless_another_is_named() {
        for (text, means) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://collector", "https://collector:443/v1/traces"),
            ("http://[::1]:4318/otlp/v1/traces", "http://[::1]:4318/otlp/v1/traces"),
            ("http://10.0.0.1/x?key=1", "http://10.0.0.1:80/x"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), means);
        }
        for wrong in
            ["", "collector", "collector:4318", "ftp://collector", "http://", "http://c:99999", "/v1/traces"]
        {
            assert_eq!(wrong.parse::<Endpoint>(), Err(EndpointError::NotAnUrl), "{wrong}");
        }
        assert_eq!("http://me:secret@collector".parse::<Endpoint>(), Err(EndpointError::HasSecret));
    }

    #[test]
    fn headers_are_read_as_opentelemetry_writes_them() {
        let headers = read_headers("authorization=Basic%20YWJj, x-scope=a%zz,broken,=x");
        let shown: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(shown, [("authorization", &b"Basic YWJj"[..]), ("x-scope", b"a%zz")]);
        assert!(!format!("{headers:?}").contains("YWJj"));
    }

    #[test]
    fn answers_are_told_apart_as_the_specification_does() {
        let after = HeaderValue::from_static("7");
        for status in [429, 502, 503, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            let Answer::Later { after, .. } = answer(status, Some(&after), b"") else { panic!("{status}") };
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        for status in [400, 401, 404, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(matches!(answer(status, None, b""), Answer::Refused(_)), "{status}");
        }
        assert_eq!(answer(StatusCode::OK, None, b"x"), Answer::Taken(b"x".to_vec()));
    }
}
