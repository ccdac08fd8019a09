//! Which certificate the client is shown: made once for each certificate of the server, off the way of later sessions.

use super::tls::{self, IdentityError, Judgement, ServerIdentity};
use rdpscope_certs::authority::{Authority, AuthorityError, Kept};
use rdpscope_certs::clients::{PlatformVerdict, by_rules};
use rdpscope_certs::inspect::{Certificate, inspect};
use rdpscope_certs::key::{KeyError, KeyKind, PrivateKey};
use rdpscope_certs::load::{self, LoadError};
use rdpscope_certs::mint::{self, LeafKey, MintError, Request};
use rdpscope_certs::mode::{CertificateMode, Recipe};
use rdpscope_certs::{Identity, Name};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long the verifier of the system may hold up the first session: its client waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// Certificates of the server for which one of ours is kept. A farm behind one name has some dozens; a server with a
/// new one for each connection must not fill our memory.
const MOST_KEPT: usize = 256;

/// What certificates are to be made of.
#[derive(Debug, Clone)]
pub struct PresenterSettings {
    /// `--cert`.
    pub mode: CertificateMode,
    /// The target's name, for which the server's own certificate is judged.
    pub server_name: String,
    /// What clients may dial: the target's name, what stands in its place, this machine.
    pub names: Vec<Name>,
    /// A CA that was made before, for all certificates of an experiment; nothing else is said of one then.
    pub authority: Option<Arc<Authority>>,
    /// What another presenter is to make with the same CA: inside the tunnel of a gateway there is a second one.
    pub shares_with: Option<Box<PresenterSettings>>,
    /// `--ca`: the folder of a CA that is kept across runs.
    pub keep_in: Option<PathBuf>,
    /// `--renew-with`: the server's own key, PEM or PFX.
    pub renew_with: Option<PathBuf>,
    /// The password of a PFX or of an encrypted key.
    pub password: Option<zeroize::Zeroizing<String>>,
}

/// Why no certificate can be presented.
#[derive(Debug, thiserror::Error)]
pub enum PresenterError {
    /// A file with a certificate or a key.
    #[error("{path}: {source}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The CA.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate could not be made.
    #[error("cannot make the certificate for --cert {mode}: {source}")]
    Mint {
        /// The mode.
        mode: String,
        /// Why.
        source: MintError,
    },
    /// TLS cannot present it.
    #[error("cannot present the certificate of --cert {mode}: {source}")]
    Tls {
        /// The mode.
        mode: String,
        /// Why.
        source: IdentityError,
    },
    /// The thread that makes it is gone.
    #[error("the certificate could not be made: {0}")]
    Interrupted(tokio::task::JoinError),
}

/// A certificate ready to be shown.
#[derive(Debug)]
pub struct Presented {
    /// What TLS presents.
    pub identity: ServerIdentity,
    /// The same for people.
    pub chain: Vec<Arc<Certificate>>,
    /// Its DER, end entity first.
    pub der: Vec<Arc<[u8]>>,
    /// Whether it is for the key of the certificate that stands first in the server's chain.
    pub same_key: bool,
    /// Where it differs from a mirrored original beyond key and issuer.
    pub differences: Vec<String>,
    /// What this machine thinks of the server's own.
    pub judgement: Judgement,
    /// What clients elsewhere think of it by their rules.
    pub by_rules: Vec<PlatformVerdict>,
}

/// Made by the first session that needs it; others wait for that.
type Cell = Arc<OnceCell<Arc<Presented>>>;

/// Makes and keeps certificates.
#[derive(Debug)]
pub struct Presenter {
    source: Arc<Source>,
    /// By the server's own certificate.
    presented: Mutex<HashMap<Vec<u8>, Cell>>,
}

/// A certificate with its key.
#[derive(Debug)]
struct Made {
    identity: Identity,
    served: ServerIdentity,
    differences: Vec<String>,
}

/// What they are made of.
#[derive(Debug)]
struct Source {
    mode: CertificateMode,
    server_name: String,
    names: Vec<Name>,
    authority: Option<Arc<Authority>>,
    key: Option<PrivateKey>,
    /// `--cert file:`.
    file: Option<Identity>,
    /// The one that serves for every server's certificate, as nothing is mirrored.
    made: OnceLock<Arc<Made>>,
}

impl Presenter {
    /// Reads the files that the settings name and makes the CA, which may also sign for the names in `server_chain`
    /// (DER, end entity first). `now` in seconds since 1970. Says how a CA that is kept came to be.
    pub fn new(
        settings: PresenterSettings,
        server_chain: &[Vec<u8>],
        now: i64,
    ) -> Result<(Presenter, Option<Kept>), PresenterError> {
        let password = settings.password.as_deref().map(String::as_str);
        let names = settings.names;
        let mut kept = None;
        let (authority, file) = match &settings.mode {
            CertificateMode::File(path) => (None, Some(identity(path, password)?)),
            CertificateMode::Mint(_) | CertificateMode::Passthrough => {
                let other = settings.shares_with.as_deref();
                let other_names = other.map(|other| other.names.clone()).unwrap_or_default();
                let permitted = [names.clone(), names_in(server_chain), other_names].concat();
                // Most servers have certificates signed with RSA, and a mirrored one should differ in as little as can be.
                let mirrors =
                    |mode: &CertificateMode| matches!(mode, CertificateMode::Mint(Recipe::Mirror(_)));
                let kind = if mirrors(&settings.mode) || other.is_some_and(|other| mirrors(&other.mode)) {
                    KeyKind::WINDOWS
                } else {
                    KeyKind::P256
                };
                let authority = match (settings.authority, &settings.keep_in) {
                    (Some(authority), _) => authority,
                    (None, Some(folder)) => {
                        let (authority, how) = Authority::keep_in(folder, &permitted, kind, now)?;
                        kept = Some(how);
                        Arc::new(authority)
                    }
                    (None, None) => Arc::new(Authority::new(&permitted, PrivateKey::generate(kind)?, now)?),
                };
                (Some(authority), None)
            }
        };
        let key = settings.renew_with.as_deref().map(|path| private_key(path, password)).transpose()?;
        let source = Source {
            mode: settings.mode,
            server_name: settings.server_name,
            names,
            authority,
            key,
            file,
            made: OnceLock::new(),
        };
        Ok((Presenter { source: Arc::new(source), presented: Mutex::default() }, kept))
    }

    /// The CA that clients have to trust; none where the certificate comes from a file.
    pub fn authority(&self) -> Option<&Arc<Authority>> {
        self.source.authority.as_ref()
    }

    /// The mode, as `--cert` takes it.
    pub fn mode(&self) -> &CertificateMode {
        &self.source.mode
    }

    /// Makes now what the first session would otherwise wait for; `server_chain` (DER, end entity first) where it is
    /// known already. Blocks for as long as making an RSA key takes.
    pub fn prepare(&self, server_chain: &[Vec<u8>]) -> Result<(), PresenterError> {
        match self.source.mode {
            CertificateMode::Mint(Recipe::Mirror(_)) if server_chain.is_empty() => Ok(()),
            CertificateMode::Mint(Recipe::Mirror(_)) => {
                let presented = self.source.present(server_chain)?;
                // Nobody else has it yet.
                let _ = self.cell(server_chain.first().map(Vec::as_slice).unwrap_or_default()).set(presented);
                Ok(())
            }
            _ => self.source.made_once().map(drop),
        }
    }

    /// What the client is shown in the place of `server_chain` (DER, end entity first).
    pub async fn present(&self, server_chain: &[Vec<u8>]) -> Result<Arc<Presented>, PresenterError> {
        let cell = self.cell(server_chain.first().map(Vec::as_slice).unwrap_or_default());
        let made = cell.get_or_try_init(|| async {
            let (source, chain) = (self.source.clone(), server_chain.to_vec());
            // Making an RSA key takes long enough to hold up other sessions.
            tokio::task::spawn_blocking(move || source.present(&chain))
                .await
                .map_err(PresenterError::Interrupted)?
        });
        made.await.cloned()
    }

    fn cell(&self, leaf: &[u8]) -> Cell {
        let mut kept = self.presented.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_KEPT && !kept.contains_key(leaf) {
            kept.clear();
        }
        kept.entry(leaf.to_vec()).or_default().clone()
    }
}

impl Source {
    /// What a client is shown in the place of `server_chain`.
    fn present(&self, server_chain: &[Vec<u8>]) -> Result<Arc<Presented>, PresenterError> {
        let made = match (&self.mode, self.made.get()) {
            (CertificateMode::Mint(Recipe::Mirror(_)), _) => Arc::new(self.make(server_chain)?),
            (_, Some(made)) => made.clone(),
            (_, None) => self.made_once()?,
        };
        let same_key = server_chain.first().is_some_and(|leaf| made.identity.key.belongs_to(leaf));
        let chain = made.identity.chain.iter().filter_map(|der| inspect(der).ok()).map(Arc::new).collect();
        let now = jiff::Timestamp::now().as_second();
        let judgement = tls::judge(server_chain, &self.server_name, now, PATIENCE);
        let inspected: Vec<Certificate> = server_chain.iter().map_while(|der| inspect(der).ok()).collect();
        let by_rules = by_rules(&inspected, Some(&self.server_name), now);
        Ok(Arc::new(Presented {
            identity: made.served.clone(),
            chain,
            der: made.identity.chain.iter().map(|der| Arc::from(der.as_slice())).collect(),
            same_key,
            differences: made.differences.clone(),
            judgement,
            by_rules,
        }))
    }

    fn made_once(&self) -> Result<Arc<Made>, PresenterError> {
        let made = Arc::new(self.make(&[])?);
        Ok(self.made.get_or_init(|| made).clone())
    }

    fn make(&self, server_chain: &[Vec<u8>]) -> Result<Made, PresenterError> {
        let (identity, differences) = match (&self.mode, &self.authority, &self.file) {
            (CertificateMode::Mint(recipe), Some(authority), _) => {
                self.mint(recipe, authority, server_chain)?
            }
            (_, Some(authority), None) => self.mint(&Recipe::Fresh, authority, server_chain)?,
            (_, _, Some(file)) => (file.clone(), Vec::new()),
            (_, None, None) => return Err(self.mint_error(MintError::NothingToMirror)),
        };
        let served = ServerIdentity::new(&identity)
            .map_err(|source| PresenterError::Tls { mode: self.mode.to_string(), source })?;
        Ok(Made { identity, served, differences })
    }

    fn mint(
        &self,
        recipe: &Recipe,
        authority: &Authority,
        server_chain: &[Vec<u8>],
    ) -> Result<(Identity, Vec<String>), PresenterError> {
        let key = match &self.key {
            Some(key) => LeafKey::Given(key),
            None => LeafKey::New(KeyKind::WINDOWS),
        };
        let now = jiff::Timestamp::now().as_second();
        let request = Request { names: &self.names, server_chain, authority, now, key };
        let minted = mint::mint(recipe, &request).map_err(|source| self.mint_error(source))?;
        Ok((minted.identity, minted.differences))
    }

    fn mint_error(&self, source: MintError) -> PresenterError {
        PresenterError::Mint { mode: self.mode.to_string(), source }
    }
}

/// What clients may dial to reach `host` through a listener at `listen`: the host, `address` where that stands in its
/// place, and this machine.
pub fn names_in_use(host: &str, address: Option<&str>, listen: IpAddr) -> Vec<Name> {
    let named = [Some(host), address].into_iter().flatten().filter_map(|name| name.parse().ok());
    let this_machine = [
        Name::Dns("localhost".to_owned()),
        Name::Ip(Ipv4Addr::LOCALHOST.into()),
        Name::Ip(Ipv6Addr::LOCALHOST.into()),
        Name::Ip(listen),
    ];
    let mut names: Vec<Name> = Vec::new();
    for name in named.chain(this_machine) {
        let means_any = matches!(name, Name::Ip(address) if address.is_unspecified());
        if !means_any && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The names that the server's certificate is for, which a mirrored one carries, too.
fn names_in(server_chain: &[Vec<u8>]) -> Vec<Name> {
    let Some(leaf) = server_chain.first().and_then(|der| inspect(der).ok()) else { return Vec::new() };
    leaf.sans.iter().chain(leaf.subject_cn.as_ref()).filter_map(|name| name.parse().ok()).collect()
}

fn identity(path: &Path, password: Option<&str>) -> Result<Identity, PresenterError> {
    let error = |source| PresenterError::Load { path: path.to_owned(), source };
    load::identity(&load::read(path).map_err(error)?, password).map_err(error)
}

fn private_key(path: &Path, password: Option<&str>) -> Result<PrivateKey, PresenterError> {
    let error = |source| PresenterError::Load { path: path.to_owned(), source };
    load::private_key(&load::read(path).map_err(error)?, password).map_err(error)
}
