//! Certificates and keys from files: PEM, DER, PFX. What goes wrong is said in one sentence without a word of what is
//! secret.

#[cfg(test)]
mod tests;

use crate::der;
use crate::identity::Identity;
use crate::inspect::inspect;
use crate::key::{KeyError, PrivateKey};
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use rsa::pkcs8::EncryptedPrivateKeyInfo;
use rsa::pkcs8::der::pem::{LineEnding, encode_string};
use rsa::pkcs8::pkcs5::EncryptionScheme;
use rsa::pkcs8::pkcs5::pbes2::Kdf;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use x509_parser::error::PEMError;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

/// Longest file that is read: a chain with its key takes some ten kilobytes, and a name typed wrong may lead to a disk
/// image.
const MAXIMUM_FILE_LENGTH: u64 = 1024 * 1024;
/// Iterations of PBKDF2 for one key: seconds of work. `openssl` asks for 2,048, careful users for a million.
const MOST_ITERATIONS: u32 = 5_000_000;
/// Memory of scrypt for one key, all its rounds together: `openssl` asks for 16 MiB, and reads no key that asks for more
/// than 32.
const MOST_SCRYPT_BYTES: u64 = 256 * 1024 * 1024;
/// How PEM begins.
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
/// Header of keys that are encrypted in the way of before PKCS #8 (RFC 1421 4.6.1.1).
const OLD_ENCRYPTION: &[u8] = b"Proc-Type: 4,ENCRYPTED";
/// Version of a PFX, the first element in it (RFC 7292 4).
const PFX_VERSION: &[u8] = &[3];

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Neither PEM nor DER nor PFX.
    #[error("it is neither PEM nor a DER certificate nor a PFX file")]
    UnknownFormat,
    /// A PEM block that begins and does not end.
    #[error("a PEM block in it is cut off: its END line is missing")]
    CutOff,
    /// A PEM block that is not base64.
    #[error("a PEM block in it is damaged")]
    Damaged,
    /// A certificate that is none.
    #[error("certificate {number} in it cannot be read: {reason}")]
    BadCertificate {
        /// Which, counted from 1.
        number: usize,
        /// What the parser met.
        reason: String,
    },
    /// A key that is none.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// No key.
    #[error("there is no private key in it")]
    NoKey,
    /// More than one key.
    #[error("there are {count} private keys in it, and which one is meant cannot be told")]
    SeveralKeys {
        /// How many.
        count: usize,
    },
    /// A key of no certificate.
    #[error("the private key in it belongs to none of the certificates in it")]
    KeyDoesNotMatch,
    /// Encrypted, and no password.
    #[error("it is protected with a password, and none was given")]
    PasswordNeeded,
    /// Encrypted, and another password.
    #[error("the password is wrong")]
    WrongPassword,
    /// Encrypted so that opening it takes minutes, or gigabytes.
    #[error(
        "its key is encrypted with more work than any program asks for: convert it with `openssl pkcs8 -topk8`"
    )]
    Costly,
    /// Encrypted in a way that is not read.
    #[error(
        "its key is encrypted in the old OpenSSL way, which is not read: convert it with `openssl pkcs8 -topk8`"
    )]
    OldEncryption,
    /// A PFX file that is damaged or uses something unknown.
    #[error("the PFX file cannot be read: {reason}")]
    Pfx {
        /// What the parser met.
        reason: String,
    },
}

/// Reads the file at `path`, up to one mebibyte.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, LoadError> {
    File::open(path).and_then(read_file).map_err(|source| LoadError::Io { path: path.to_owned(), source })
}

/// Reads an open file, up to one mebibyte.
pub(crate) fn read_file(file: File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAXIMUM_FILE_LENGTH + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAXIMUM_FILE_LENGTH {
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            "more than 1 MiB, it is longer than any certificate file",
        ));
    }
    Ok(bytes)
}

/// The certificates in a PEM, DER or PFX file, in its order.
pub fn certificates(bytes: &[u8], password: Option<&str>) -> Result<Vec<Vec<u8>>, LoadError> {
    let certificates =
        if is_pem(bytes) { pem_certificates(bytes)? } else { contents(bytes, password)?.certificates };
    checked(certificates)
}

/// The chain and the key in a PEM or PFX file. The certificate that the key belongs to comes first, whatever the
/// file's order.
pub fn identity(bytes: &[u8], password: Option<&str>) -> Result<Identity, LoadError> {
    let contents = contents(bytes, password)?;
    let mut chain = checked(contents.certificates)?;
    let key = only(contents.keys)?;
    let own = chain.iter().position(|der| key.belongs_to(der)).ok_or(LoadError::KeyDoesNotMatch)?;
    let leaf = chain.remove(own);
    chain.insert(0, leaf);
    Ok(Identity { chain, key })
}

/// The key in a PEM or PFX file; where there are certificates too, it must belong to one of them.
pub fn private_key(bytes: &[u8], password: Option<&str>) -> Result<PrivateKey, LoadError> {
    let contents = contents(bytes, password)?;
    let key = only(contents.keys)?;
    let fits = |der: &Vec<u8>| key.belongs_to(der);
    if contents.certificates.is_empty() || contents.certificates.iter().any(fits) {
        Ok(key)
    } else {
        Err(LoadError::KeyDoesNotMatch)
    }
}

/// A certificate in DER as one PEM block.
pub fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// One PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    // Fails only on a label that is no text, or on lengths that do not fit the address space.
    encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

#[derive(Default)]
struct Contents {
    certificates: Vec<Vec<u8>>,
    keys: Vec<PrivateKey>,
}

fn contents(bytes: &[u8], password: Option<&str>) -> Result<Contents, LoadError> {
    if is_pem(bytes) {
        pem_contents(bytes, password)
    } else if is_pfx(bytes) {
        pfx_contents(bytes, password)
    } else if inspect(bytes).is_ok() {
        Ok(Contents { certificates: vec![bytes.to_vec()], keys: Vec::new() })
    } else {
        Err(LoadError::UnknownFormat)
    }
}

fn checked(certificates: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, LoadError> {
    for (index, der) in certificates.iter().enumerate() {
        inspect(der)
            .map_err(|error| LoadError::BadCertificate { number: index + 1, reason: error.reason })?;
    }
    if certificates.is_empty() { Err(LoadError::NoCertificate) } else { Ok(certificates) }
}

fn only(mut keys: Vec<PrivateKey>) -> Result<PrivateKey, LoadError> {
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (Some(_), others) => Err(LoadError::SeveralKeys { count: others + 1 }),
        (None, _) => Err(LoadError::NoKey),
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, PEM_BEGIN)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_pfx(bytes: &[u8]) -> bool {
    der::read(bytes)
        .and_then(|(pfx, _)| der::read(pfx.content))
        .is_some_and(|(version, _)| version.tag == der::INTEGER && version.content == PFX_VERSION)
}

/// The certificates alone: a key beside them is of no concern, whatever its state.
fn pem_certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, LoadError> {
    let blocks = Pem::iter_from_buffer(bytes).map(|block| block.map_err(pem_error));
    blocks
        .filter_map(|block| match block {
            Ok(block) if is_certificate(&block.label) => Some(Ok(block.contents)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
        .collect()
}

fn pem_contents(bytes: &[u8], password: Option<&str>) -> Result<Contents, LoadError> {
    if contains(bytes, OLD_ENCRYPTION) {
        return Err(LoadError::OldEncryption);
    }
    let mut contents = Contents::default();
    for block in Pem::iter_from_buffer(bytes) {
        let block = block.map_err(pem_error)?;
        let der = Zeroizing::new(block.contents);
        match block.label.as_str() {
            label if is_certificate(label) => contents.certificates.push(der.to_vec()),
            "PRIVATE KEY" => contents.keys.push(PrivateKey::from_pkcs8(&der)?),
            "RSA PRIVATE KEY" => contents.keys.push(PrivateKey::from_pkcs1(&der)?),
            "EC PRIVATE KEY" => contents.keys.push(PrivateKey::from_sec1(&der)?),
            "ENCRYPTED PRIVATE KEY" => contents.keys.push(decrypt(&der, password)?),
            _ => {}
        }
    }
    Ok(contents)
}

fn is_certificate(label: &str) -> bool {
    ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"].contains(&label)
}

fn pem_error(error: PEMError) -> LoadError {
    match error {
        PEMError::IncompletePEM => LoadError::CutOff,
        _ => LoadError::Damaged,
    }
}

fn decrypt(der: &[u8], password: Option<&str>) -> Result<PrivateKey, LoadError> {
    let encrypted = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| KeyError::Malformed)?;
    let password = password.ok_or(LoadError::PasswordNeeded)?;
    if is_costly(&encrypted.encryption_algorithm) {
        return Err(LoadError::Costly);
    }
    let clear = encrypted.decrypt(password).map_err(|_| LoadError::WrongPassword)?;
    // A wrong password passes the check of the padding once in 256 times.
    PrivateKey::from_pkcs8(clear.as_bytes()).map_err(|error| match error {
        KeyError::Malformed => LoadError::WrongPassword,
        other => LoadError::Key(other),
    })
}

/// Whether the key of an encryption takes more time or memory than [`MOST_ITERATIONS`] and [`MOST_SCRYPT_BYTES`].
fn is_costly(scheme: &EncryptionScheme<'_>) -> bool {
    // The iterations of PBES1 have 16 bits.
    let EncryptionScheme::Pbes2(parameters) = scheme else { return false };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count > MOST_ITERATIONS,
        // Blocks of 128 bytes, as many as the cost times their size (RFC 7914 section 6), so often one after the other.
        Kdf::Scrypt(scrypt) => {
            let rounds = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization) * 128;
            rounds.saturating_mul(scrypt.cost_parameter) > MOST_SCRYPT_BYTES
        }
        _ => false,
    }
}

fn pfx_contents(bytes: &[u8], password: Option<&str>) -> Result<Contents, LoadError> {
    let archive =
        Pkcs12Archive::from_pkcs12(bytes, password.unwrap_or_default()).map_err(|error| {
            match (error, password) {
                (Pkcs12Error::MacError(_), None) => LoadError::PasswordNeeded,
                (Pkcs12Error::MacError(_), Some(_)) => LoadError::WrongPassword,
                (other, _) => LoadError::Pfx { reason: other.to_string() },
            }
        })?;
    let keys = archive.keys.iter().map(|bag| PrivateKey::from_pkcs8(bag.key.as_der()));
    Ok(Contents {
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
        keys: keys.collect::<Result<_, _>>()?,
    })
}
