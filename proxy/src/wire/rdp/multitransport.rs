//! Initiate Multitransport Request and Response PDUs (MS-RDPBCGR 2.2.15), which lead to the UDP side channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::named::Code;
use crate::wire::{Malformed, Reader};

const PROTOCOLS: &[(u32, &str)] =
    &[(1, "INITIATE_REQUEST_PROTOCOL_UDPFECR"), (2, "INITIATE_REQUEST_PROTOCOL_UDPFECL")];
const RESULTS: &[(u32, &str)] = &[(0, "S_OK"), (0x8000_4004, "E_ABORT")];

/// Initiate Multitransport Request PDU without the security cookie, which opens the tunnel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MultitransportRequest {
    /// `requestId`, which the response and the UDP tunnel repeat.
    pub request_id: u32,
    /// `requestedProtocol`.
    pub requested_protocol: Code,
    /// The 16 bytes of the cookie are there.
    pub security_cookie: bool,
}

/// Initiate Multitransport Response PDU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MultitransportResponse {
    /// `requestId` of the request.
    pub request_id: u32,
    /// `hrResponse`.
    pub hr_response: Code,
}

/// Decodes the request behind its security header; servers may append more than the specification lists.
pub fn multitransport_request(body: &[u8]) -> Result<MultitransportRequest, Malformed> {
    let mut reader = Reader::new("SERVER_INITIATE_MULTITRANSPORT_REQUEST", body);
    let request_id = reader.u32_le()?;
    let requested_protocol = Code::new(reader.u16_le()?.into(), PROTOCOLS);
    reader.take(2)?;
    Ok(MultitransportRequest { request_id, requested_protocol, security_cookie: reader.remaining() >= 16 })
}

/// Decodes the response behind its security header.
pub fn multitransport_response(body: &[u8]) -> Result<MultitransportResponse, Malformed> {
    let mut reader = Reader::new("CLIENT_INITIATE_MULTITRANSPORT_RESPONSE", body);
    let request_id = reader.u32_le()?;
    Ok(MultitransportResponse { request_id, hr_response: Code::new(reader.u32_le()?, RESULTS) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_without_its_cookie_and_response() {
        let mut body = vec![7, 0, 0, 0, 1, 0, 0, 0];
        body.extend(b"hunter2-canary!!{}");
        let request = multitransport_request(&body).unwrap();
        assert_eq!((request.request_id, request.security_cookie), (7, true));
        assert_eq!(request.requested_protocol.name.as_deref(), Some("INITIATE_REQUEST_PROTOCOL_UDPFECR"));
        assert!(!serde_json::to_string(&request).unwrap().contains("canary"));
        assert!(!multitransport_request(&body[..20]).unwrap().security_cookie);
        let response = multitransport_response(&[7, 0, 0, 0, 4, 0x40, 0, 0x80]).unwrap();
        assert_eq!(response.hr_response.name.as_deref(), Some("E_ABORT"));
        assert!(multitransport_response(&[7, 0, 0, 0]).is_err());
    }
}
