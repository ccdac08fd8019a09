//! Asking a verifier that goes by names, in the place of that of Windows or macOS.

use super::super::system::System;
use super::support::*;
use rdpscope_certs::inspect::inspect;
use rdpscope_certs::key::KeyKind;
use rdpscope_certs::mint::LeafKey;
use rdpscope_certs::mode::{Fault as Broken, Recipe};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Long enough for any answer here.
const PATIENCE: Duration = Duration::from_secs(60);

fn system() -> System {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority().certificate().to_vec())).unwrap();
    let provider = Arc::new(ring::default_provider());
    System::of(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap())
}

fn refusal(system: &System, chain: &[Vec<u8>]) -> Option<String> {
    system.refusal(chain, &inspect(&chain[0]).unwrap(), NOW, PATIENCE).unwrap()
}

#[test]
fn it_is_asked_for_a_name_of_the_certificate() {
    assert_eq!(refusal(&system(), &identity().chain), None);
    for (fault, words) in [
        (Broken::WrongName, None),
        (Broken::Expired, Some("it expired ")),
        (Broken::WrongUsage, Some("it is not for the authentication of servers")),
    ] {
        let chain = minted(&Recipe::Broken(fault), &[], LeafKey::New(KeyKind::P256)).chain;
        let refusal = refusal(&system(), &chain);
        assert_eq!(refusal.is_some(), words.is_some(), "{fault:?}: {refusal:?}");
        assert!(refusal.unwrap_or_default().starts_with(words.unwrap_or_default()), "{fault:?}");
    }
}

/// Answers always the same, once it may.
#[derive(Debug)]
struct Answers {
    error: Option<CertificateError>,
    name: Mutex<Option<String>>,
    waits: Option<Mutex<mpsc::Receiver<()>>>,
}

impl Answers {
    fn with(error: Option<CertificateError>) -> Arc<Answers> {
        Arc::new(Answers { error, name: Mutex::default(), waits: None })
    }
}

impl ServerCertVerifier for Answers {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(waits) = &self.waits {
            let _ = waits.lock().unwrap().recv();
        }
        *self.name.lock().unwrap() = Some(name.to_str().into_owned());
        self.error.clone().map_or(Ok(ServerCertVerified::assertion()), |error| Err(error.into()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!()
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!()
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}

#[test]
fn odd_names_can_be_asked_for_too() {
    let mut certificate = inspect(&identity().chain[0]).unwrap();
    let asked = |certificate: &_| {
        let answers = Answers::with(None);
        let refusal = System::of(answers.clone()).refusal(&identity().chain, certificate, NOW, PATIENCE);
        assert_eq!(refusal, Some(None));
        answers.name.lock().unwrap().take().unwrap()
    };
    certificate.sans = vec!["not a name".to_owned(), "*.corp.example".to_owned()];
    assert_eq!(asked(&certificate), "www.corp.example");
    certificate.sans = vec!["192.0.2.7".to_owned()];
    assert_eq!(asked(&certificate), "192.0.2.7");
    (certificate.sans, certificate.subject_cn) = (Vec::new(), Some("WIN-SRV_10".to_owned()));
    assert_eq!(asked(&certificate), "WIN-SRV_10");
    certificate.subject_cn = None;
    assert_eq!(asked(&certificate), "name.invalid");
}

#[test]
fn each_answer_has_its_words() {
    let words = |error| refusal(&System::of(Answers::with(Some(error))), &identity().chain).unwrap();
    assert_eq!(words(CertificateError::Revoked), "its issuer has revoked it");
    assert!(words(CertificateError::NotValidForName).starts_with("cannot be judged: no name in it"));
    assert!(
        words(CertificateError::UnknownIssuer).ends_with("does not lead to a root that this machine trusts")
    );
    let other = OtherError(Arc::new(std::io::Error::other("error -67609")));
    assert_eq!(words(CertificateError::Other(other)), "the verifier refuses it: error -67609");
}

#[test]
fn it_is_not_waited_for_longer_than_told() {
    let (go_on, waits) = mpsc::channel();
    let answers = Answers { error: None, name: Mutex::default(), waits: Some(Mutex::new(waits)) };
    let system = System::of(Arc::new(answers));
    let chain = &identity().chain;
    let certificate = inspect(&chain[0]).unwrap();
    assert_eq!(system.refusal(chain, &certificate, NOW, Duration::from_millis(1)), None);
    drop(go_on);
}
