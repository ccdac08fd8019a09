//! ServerKeyExchange of TLS 1.2 and older: which group, how strong, signed how (RFC 5246 section 7.4.3, RFC 8422).

use super::super::{Malformed, Reader};
use super::names::{self, CodePoint};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tls_parser::{TlsCipherKx, TlsCipherSuite};

/// ECCurveType named_curve.
const NAMED_CURVE: u8 = 3;

/// How the server exchanges keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerKeyExchange {
    /// The curve, where the exchange is ECDHE.
    pub named_curve: Option<CodePoint>,
    /// Bits of the prime, where the exchange is DHE; clients refuse short ones.
    pub diffie_hellman_bits: Option<u32>,
    /// How the parameters are signed; visible in TLS 1.2 only.
    pub signature_scheme: Option<CodePoint>,
}

impl ServerKeyExchange {
    /// Reads the body of a handshake message of type 12 under the cipher suite and version name of the
    /// ServerHello. Key exchanges other than ECDHE and DHE give an empty answer.
    pub fn decode(body: &[u8], cipher_suite: u16, version: &str) -> Result<ServerKeyExchange, Malformed> {
        let mut reader = Reader::new("ServerKeyExchange", body);
        let mut exchange = ServerKeyExchange::default();
        match TlsCipherSuite::from_id(cipher_suite).map(|suite| suite.kx) {
            Some(TlsCipherKx::Ecdhe) => exchange.named_curve = named_curve(&mut reader)?,
            Some(TlsCipherKx::Dhe) => exchange.diffie_hellman_bits = Some(diffie_hellman_bits(&mut reader)?),
            _ => return Ok(exchange),
        }
        if version == "TLS1.2" && reader.remaining() >= 2 {
            exchange.signature_scheme = Some(names::signature_scheme(reader.u16_be()?));
        }
        Ok(exchange)
    }
}

fn named_curve(reader: &mut Reader<'_>) -> Result<Option<CodePoint>, Malformed> {
    if reader.u8()? != NAMED_CURVE {
        return Err(reader.malformed("the curve is not named"));
    }
    let curve = names::named_group(reader.u16_be()?);
    let length = usize::from(reader.u8()?);
    reader.take(length)?;
    Ok(Some(curve))
}

fn diffie_hellman_bits(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let mut bits = 0;
    for part in ["dh_p", "dh_g", "dh_Ys"] {
        let length = usize::from(reader.u16_be()?);
        let number = reader.take(length)?;
        if part == "dh_p" {
            bits = bit_length(number);
        }
    }
    Ok(bits)
}

fn bit_length(number: &[u8]) -> u32 {
    let significant = number.iter().position(|&byte| byte != 0).map_or(&[][..], |start| &number[start..]);
    let Some(first) = significant.first() else { return 0 };
    // At most 2^16 bytes stand behind a u16 length.
    u32::try_from(significant.len()).unwrap_or(u32::MAX / 8).saturating_mul(8) - first.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ECDHE_RSA: u16 = 0xc030;
    const DHE_RSA: u16 = 0x009f;

    #[test]
    fn reads_the_curve_and_the_signature_scheme() {
        let body = [3, 0, 29, 3, 1, 2, 3, 8, 4, 0, 1, 9];
        let exchange = ServerKeyExchange::decode(&body, ECDHE_RSA, "TLS1.2").unwrap();
        assert_eq!(exchange.named_curve.unwrap().to_string(), "x25519");
        assert_eq!(exchange.signature_scheme.unwrap().to_string(), "rsa_pss_rsae_sha256");
        let old = ServerKeyExchange::decode(&body, ECDHE_RSA, "TLS1.0").unwrap();
        assert_eq!(old.signature_scheme, None);
    }

    #[test]
    fn measures_a_diffie_hellman_prime() {
        let body = [0, 3, 0, 0x1f, 0xff, 0, 1, 2, 0, 1, 5, 4, 1];
        let exchange = ServerKeyExchange::decode(&body, DHE_RSA, "TLS1.2").unwrap();
        assert_eq!(exchange.diffie_hellman_bits, Some(13));
        assert_eq!(exchange.signature_scheme.unwrap().to_string(), "rsa_pkcs1_sha256");
        assert!(ServerKeyExchange::decode(&body[..4], DHE_RSA, "TLS1.2").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(
            body in proptest::collection::vec(any::<u8>(), 0..80),
            cipher_suite in prop_oneof![Just(ECDHE_RSA), Just(DHE_RSA), Just(0x002f)],
        ) {
            let _ = ServerKeyExchange::decode(&body, cipher_suite, "TLS1.2");
        }
    }
}
