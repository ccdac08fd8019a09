//! Accepts every certificate and remembers it: what is wrong with it is to be told, not to be refused.

use rdpscope_certs::inspect::inspect;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Offered besides those that can be checked, so that servers which can do nothing else are reached.
const NOT_CHECKED: [SignatureScheme; 3] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];

/// RSA keys below this many bits are not checked.
const MINIMUM_RSA_BITS: u32 = 2048;

/// What the server showed in its handshake.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// DER, the server's own first.
    pub(super) chain: Vec<Vec<u8>>,
    /// Whether it proved that the key is its own; `None` where that could not be checked.
    pub(super) signature_ok: Option<bool>,
}

/// Has no certificate to show, and remembers that one was asked for.
#[derive(Debug, Default)]
pub(super) struct EmptyHanded {
    pub(super) was_asked: AtomicBool,
}

impl ResolvesClientCert for EmptyHanded {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// For one connection.
#[derive(Debug)]
pub(super) struct Witness {
    seen: Mutex<Seen>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Witness {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Witness {
        Witness { seen: Mutex::default(), algorithms }
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Remembers whether the signature is good, and goes on in any case.
    fn signature(
        &self,
        check: SignatureCheck,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verdict = match check(message, certificate, signed, &self.algorithms) {
            Ok(_) => Some(true),
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) if !is_short_rsa(certificate) => {
                Some(false)
            }
            Err(_) => None,
        };
        self.note(|seen| seen.signature_ok = verdict);
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// How the server proves its key: each version of TLS has its own way.
type SignatureCheck = fn(
    &[u8],
    &CertificateDer<'_>,
    &DigitallySignedStruct,
    &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error>;

fn is_short_rsa(certificate: &[u8]) -> bool {
    inspect(certificate).is_ok_and(|certificate| {
        certificate.key_algorithm == "RSA" && certificate.key_bits.is_none_or(|bits| bits < MINIMUM_RSA_BITS)
    })
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        self.note(|seen| seen.chain = chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls12_signature, message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(verify_tls13_signature, message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        schemes.extend(NOT_CHECKED);
        schemes
    }
}
