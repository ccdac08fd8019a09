//! Records of TLS 1.3 whose keys the record itself must show: early data that the server may refuse, and handshakes of
//! which a key log has the secrets of application data alone. Authentication proves which keys fit.

use super::decryption::{Decryption, Misfit};
use super::opener::Opener;
use super::secrets::{Secret, Secrets};
use super::session::Handshake;
use super::stream::{Epoch, label};
use crate::trace::Side;
use crate::wire::tls::names::TLS_1_3;
use crate::wire::tls::{ContentType, RecordHeader};

/// Records that may pass without any of the keys fitting: a flight of certificates is at most 8, early data of common
/// clients 1.
const MAXIMUM_PASSED_OVER: u32 = 64;

struct Candidate {
    epoch: Epoch,
    opener: Opener,
    secret: Option<Secret>,
}

/// Keys of which one may fit.
#[derive(Default)]
pub(super) struct Tentative {
    candidates: Vec<Candidate>,
    has_early: bool,
    has_later: bool,
    passed_over: u32,
}

/// The keys that fitted, and what the record was.
pub(super) struct Opened {
    pub(super) content_type: ContentType,
    pub(super) epoch: Epoch,
    pub(super) opener: Opener,
    pub(super) secret: Option<Secret>,
}

impl Tentative {
    /// After early data that the server refused: more of it may be on its way.
    pub(super) fn after_early_data(opener: Opener) -> Tentative {
        let candidates = vec![Candidate { epoch: Epoch::Early, opener, secret: None }];
        Tentative { candidates, has_early: true, has_later: false, passed_over: 0 }
    }

    /// Opens a record in place with whichever keys fit; `None` where it is passed over.
    pub(super) fn open(
        &mut self,
        handshake: &Handshake,
        secrets: &Secrets,
        from: Side,
        header: RecordHeader,
        fragment: &mut Vec<u8>,
    ) -> Result<Option<Opened>, Decryption> {
        self.gather(handshake, secrets, from)?;
        for (place, candidate) in self.candidates.iter_mut().enumerate() {
            let mut attempt = fragment.clone();
            if let Ok(content_type) = candidate.opener.open(header, &mut attempt) {
                *fragment = attempt;
                let Candidate { epoch, opener, secret } = self.candidates.swap_remove(place);
                return Ok(Some(Opened { content_type, epoch, opener, secret }));
            }
        }
        self.passed_over += 1;
        match (self.passed_over > MAXIMUM_PASSED_OVER, self.candidates.is_empty()) {
            (true, true) => Err(Decryption::NoSecrets),
            (true, false) => Err(Decryption::SecretsDoNotFit { reason: Misfit::NotAuthentic }),
            (false, _) => Ok(None),
        }
    }

    /// Takes the keys that there are by now; an error where there are none and never will be.
    fn gather(&mut self, handshake: &Handshake, secrets: &Secrets, from: Side) -> Result<(), Decryption> {
        if !self.has_early && from == Side::Client {
            self.has_early = true;
            let early = handshake.keys_of_early_data(secrets).into_iter();
            self.candidates.extend(early.map(|opener| Candidate {
                epoch: Epoch::Early,
                opener,
                secret: None,
            }));
        }
        if self.has_later || handshake.version() != Some(TLS_1_3) {
            return Ok(());
        }
        self.has_later = true;
        for epoch in [Epoch::Handshake, Epoch::Application] {
            match handshake.keys_of_traffic(secrets, label(from, epoch)) {
                Ok((opener, secret)) => {
                    self.candidates.push(Candidate { epoch, opener, secret: Some(secret) });
                }
                Err(why) if epoch == Epoch::Application && self.candidates.is_empty() => return Err(why),
                Err(_) => {}
            }
        }
        Ok(())
    }
}
