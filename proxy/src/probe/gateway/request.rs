//! The requests, as clients of gateways write them: Windows' for the gateway's own methods, MSRPC's for RPC over HTTP.

use crate::probe::credssp::NEGOTIATE;
use crate::probe::tls::random;
use crate::trace::GatewayRequest;
use crate::wire::http::base64;
use std::fmt::Write;

const GATEWAY_PATH: &str = "/remoteDesktopGateway/";
const RPC_PATH: &str = "/rpc/rpcproxy.dll?localhost:3388";
const KDC_PROXY_PATH: &str = "/KdcProxy";
/// NTLM in packets of the tunnel (MS-TSGU 2.2.3.1.1).
pub(super) const SSPI_NTLM: &str = "SSPI_NTLM";
/// A cookie in the place of a logon.
pub(super) const PAA: &str = "PAA";

/// A request that can be sent. No credentials are ever in one.
pub(super) struct Request<'a> {
    pub(super) what: GatewayRequest,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// The gateway as a client names it: without the port where that is the usual one.
    pub(super) host: &'a str,
    /// RDG-Connection-Id.
    pub(super) id: &'a str,
    /// RDG-Auth-Scheme.
    pub(super) scheme: Option<&'a str>,
    /// The scheme of HTTP in which NTLM's first message is sent.
    pub(super) ntlm: Option<&'a str>,
    /// Content-Length where one is sent, and what is sent of it at once.
    pub(super) content: u64,
    pub(super) body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// `what` of the gateway `host`.
    pub(super) fn new(what: GatewayRequest, host: &'a str, id: &'a str) -> Request<'a> {
        let (method, path) = match what {
            GatewayRequest::Websocket | GatewayRequest::OutChannel | GatewayRequest::OldHttp => {
                ("RDG_OUT_DATA", GATEWAY_PATH)
            }
            GatewayRequest::InChannel => ("RDG_IN_DATA", GATEWAY_PATH),
            GatewayRequest::RpcOut => ("RPC_OUT_DATA", RPC_PATH),
            GatewayRequest::RpcIn => ("RPC_IN_DATA", RPC_PATH),
            GatewayRequest::KdcProxy => ("POST", KDC_PROXY_PATH),
            GatewayRequest::Page => ("GET", "/"),
            GatewayRequest::Options => ("OPTIONS", "/"),
        };
        Request { what, method, path, host, id, scheme: None, ntlm: None, content: 0, body: Vec::new() }
    }

    /// The head, and the body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let version = if self.what == GatewayRequest::OldHttp { "1.0" } else { "1.1" };
        let mut head = format!("{} {} HTTP/{version}\r\n", self.method, self.path);
        for (name, value) in self.headers() {
            // Writing into memory cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let plain = |pairs: &[(&'static str, &str)]| -> Vec<_> {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let mut headers = match self.what {
            GatewayRequest::Websocket => plain(&[
                ("Cache-Control", "no-cache"),
                ("Connection", "Upgrade"),
                ("Pragma", "no-cache"),
                ("Upgrade", "websocket"),
            ]),
            GatewayRequest::OutChannel | GatewayRequest::InChannel => {
                plain(&[("Cache-Control", "no-cache"), ("Connection", "Keep-Alive"), ("Pragma", "no-cache")])
            }
            GatewayRequest::OldHttp => plain(&[("Cache-Control", "no-cache"), ("Pragma", "no-cache")]),
            GatewayRequest::RpcOut | GatewayRequest::RpcIn => plain(&[
                ("Cache-Control", "no-cache"),
                ("Connection", "Keep-Alive"),
                ("Pragma", "no-cache"),
                ("Accept", "application/rpc"),
                ("User-Agent", "MSRPC"),
            ]),
            GatewayRequest::KdcProxy => plain(&[
                ("Cache-Control", "no-cache"),
                ("Connection", "Keep-Alive"),
                ("Pragma", "no-cache"),
                ("Content-Type", "application/kerberos"),
                ("User-Agent", "kerberos/1.0"),
            ]),
            GatewayRequest::Page | GatewayRequest::Options => plain(&[("Accept", "*/*")]),
        };
        if matches!(self.what, GatewayRequest::RpcOut | GatewayRequest::RpcIn | GatewayRequest::KdcProxy) {
            headers.push(("Content-Length", self.content.to_string()));
        }
        if self.is_of_tunnel() {
            headers.extend(plain(&[("Accept", "*/*"), ("User-Agent", "MS-RDGateway/1.0")]));
            headers.push(("RDG-Connection-Id", self.id.to_owned()));
            headers.extend(self.scheme.map(|scheme| ("RDG-Auth-Scheme", scheme.to_owned())));
        }
        if self.what == GatewayRequest::Websocket {
            let key: [u8; 16] = random().and_then(|it| it.first_chunk().copied()).unwrap_or_default();
            headers.push(("Sec-WebSocket-Key", base64::encode(&key)));
            headers.push(("Sec-WebSocket-Version", "13".to_owned()));
        }
        if self.what == GatewayRequest::InChannel {
            headers.push(("Transfer-Encoding", "chunked".to_owned()));
        }
        if let Some(scheme) = self.ntlm {
            headers.push(("Authorization", format!("{scheme} {}", base64::encode(&NEGOTIATE))));
        }
        headers.push(("Host", self.host.to_owned()));
        headers
    }

    fn is_of_tunnel(&self) -> bool {
        use GatewayRequest::{InChannel, OldHttp, OutChannel, Websocket};
        matches!(self.what, Websocket | OutChannel | InChannel | OldHttp)
    }
}

/// A GUID as RDG-Connection-Id has it.
pub(super) fn connection_id() -> String {
    let digits = hex::encode_upper(random().unwrap_or_default());
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("{{{}-{}-4{}-A{}-{}}}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Framing, RequestHead};

    #[test]
    fn every_request_can_be_read_and_names_nobody() {
        use GatewayRequest::*;
        for what in [Websocket, OutChannel, InChannel, RpcOut, RpcIn, KdcProxy, Page, Options, OldHttp] {
            let id = connection_id();
            let request = Request::new(what, "gw.corp.example", &id);
            let head = RequestHead::decode(&request.bytes()).unwrap();
            assert_eq!((head.method.as_str(), head.fault), (request.method, None));
            assert!(head.authorization.is_none(), "{what:?}");
            assert_eq!(head.upgrade, what == Websocket);
            assert_eq!(head.framing == Framing::Chunked, what == InChannel);
        }
    }

    #[test]
    fn the_first_message_of_ntlm_is_all_that_is_ever_in_authorization() {
        let request = Request { ntlm: Some("NTLM"), ..Request::new(GatewayRequest::Websocket, "gw", "{1}") };
        let head = RequestHead::decode(&request.bytes()).unwrap();
        assert_eq!(head.authorization.unwrap().token.as_deref(), Some("NTLM negotiate"));
        assert_eq!(connection_id().len(), 38);
    }
}
