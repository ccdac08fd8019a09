//! Whose doing a fault of the certificate is that the client saw: the server's, or rdpscope's, which showed another.

use super::facts::Facts;
use super::rule::Remedy;
use crate::trace::Where;
use rdpscope_certs::mode::{CertificateMode, Fault, Recipe, Repair};

/// Where a property of the certificate comes from that the client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose<'a> {
    /// It is the server's own certificate.
    Server,
    /// It is copied from the server's own.
    Mirrored,
    /// `--cert` asks for it.
    Asked(&'a str),
    /// rdpscope made it so.
    Proxy,
}

/// A client refuses what only rdpscope's certificate has: there is nothing to mend on the server.
pub(super) const OTHER_MODE: &[Remedy] = &[Remedy::by_hand(
    Where::Client,
    "There is nothing to mend on the server: this is what the certificate in its place was made to be. Choose another \
     --cert, or none, to see how the client takes the server's own.",
)];
/// A client that does not know rdpscope's CA.
pub(super) const TRUST_OURS: &[Remedy] = &[
    Remedy::command(
        Where::Client,
        "For the test, let the client trust rdpscope's CA, which --ca-out ca.pem writes; `certutil -user -delstore \
         Root` with its serial number takes it out again.",
        "certutil -user -addstore Root ca.pem",
    ),
    Remedy::by_hand(
        Where::Client,
        "A FreeRDP client takes it from the environment: SSL_CERT_FILE=ca.pem. With --ca DIR one CA serves all later \
         runs and has to be trusted only once.",
    ),
];

impl Whose<'_> {
    /// Whether the server's administrator has to know.
    pub(super) fn is_servers(self) -> bool {
        matches!(self, Whose::Server | Whose::Mirrored)
    }

    /// The certificate, as the subject of a sentence.
    pub(super) fn certificate(self) -> &'static str {
        match self {
            Whose::Server => "the server's certificate",
            _ => "the certificate that rdpscope showed in the place of the server's",
        }
    }

    /// What has to be said of it right after [`Whose::certificate`].
    pub(super) fn aside(self) -> String {
        match self {
            Whose::Server | Whose::Proxy => String::new(),
            Whose::Mirrored => ", in this a copy of it,".to_owned(),
            Whose::Asked(mode) => format!(", as --cert {mode} asks for,"),
        }
    }

    /// What has to be said of it at the end of the sentence.
    pub(super) fn remark(self) -> String {
        match self {
            Whose::Server => String::new(),
            Whose::Mirrored => "; that is copied from the server's own".to_owned(),
            Whose::Asked(mode) => {
                format!("; --cert {mode} asks for that, and it says nothing against the server")
            }
            Whose::Proxy => "; that is rdpscope's own doing and says nothing against the server".to_owned(),
        }
    }
}

impl<'a> Facts<'a> {
    /// Where this property of the certificate comes from that the client saw.
    pub(super) fn whose(&self, property: Repair) -> Whose<'a> {
        let Some(presented) = self.tls.presented.as_ref().filter(|_| !self.shows_the_servers_own()) else {
            return Whose::Server;
        };
        match presented.mode.parse() {
            Ok(CertificateMode::Mint(Recipe::Mirror(repairs))) => match property {
                _ if repairs.contains(&property) => Whose::Proxy,
                Repair::Issuer if !presented.certificate.leaf.self_issued => Whose::Proxy,
                _ => Whose::Mirrored,
            },
            Ok(CertificateMode::Mint(Recipe::Broken(fault))) if breaks(fault) == property => {
                Whose::Asked(presented.mode)
            }
            Ok(CertificateMode::File(_)) => Whose::Asked(presented.mode),
            _ => Whose::Proxy,
        }
    }

    /// Whether the client saw what it would see without rdpscope, as far as this property goes.
    pub(super) fn sees_the_servers(&self, property: Repair) -> bool {
        match self.whose(property) {
            Whose::Server => self.shown().is_some(),
            Whose::Mirrored => {
                let but = self.tls.presented.as_ref().map_or(&[][..], |presented| presented.differences);
                // Dates, names and usage are copied or made as `repairs` say; the rest depends on how it is signed.
                property != Repair::Issuer && (property != Repair::Strength || but.is_empty())
            }
            Whose::Asked(_) | Whose::Proxy => false,
        }
    }

    /// Whether the client was shown a certificate of rdpscope's CA, which it may not know.
    pub(super) fn shows_our_authority(&self) -> bool {
        let Some(presented) = self.tls.presented.as_ref().filter(|_| !self.shows_the_servers_own()) else {
            return false;
        };
        let is_file = matches!(presented.mode.parse(), Ok(CertificateMode::File(_)));
        !is_file && !presented.certificate.leaf.self_issued
    }

    /// Whether TLS passes through, or the file of `--cert file:` is the server's own certificate.
    fn shows_the_servers_own(&self) -> bool {
        let own = self.tls.certificate.as_ref().map(|certificate| certificate.leaf.sha256.as_str());
        self.tls
            .presented
            .as_ref()
            .is_none_or(|presented| own == Some(presented.certificate.leaf.sha256.as_str()))
    }
}

/// The property that a single-fault mode breaks.
fn breaks(fault: Fault) -> Repair {
    match fault {
        Fault::Expired | Fault::NotYetValid => Repair::Dates,
        Fault::WrongName => Repair::Names,
        Fault::SelfSigned => Repair::Issuer,
        Fault::WrongUsage => Repair::Usage,
        Fault::Sha1 | Fault::WeakKey => Repair::Strength,
    }
}
