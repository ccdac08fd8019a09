//! A keytab as MIT's Kerberos keeps it (format 0x0502): keys of services, one entry after another.

use super::kerberos_key::Key;
use crate::wire::Malformed;
use crate::wire::reader::Reader;
use std::fmt;
use zeroize::Zeroizing;

/// The version that every program has written for decades; the one before it has numbers in the machine's own order.
const FORMAT: u16 = 0x0502;
/// Parts of a service's name at most: `TERMSRV` and the host are two.
const MOST_PARTS: u16 = 16;

/// The keys of services. They are overwritten when this is dropped, and never shown.
pub(super) struct Keytab {
    entries: Vec<Entry>,
}

/// One key.
pub(super) struct Entry {
    /// `TERMSRV/host`.
    pub(super) service: String,
    pub(super) realm: String,
    /// Key version number (kvno).
    pub(super) version: u32,
    /// Encryption type (RFC 3961 8).
    pub(super) encryption: u32,
    key: Zeroizing<Vec<u8>>,
}

impl Entry {
    /// `SERVICE@REALM`.
    pub(super) fn principal(&self) -> String {
        format!("{}@{}", self.service, self.realm)
    }

    /// The key; `None` where its encryption type is not one that we compute.
    pub(super) fn key(&self) -> Option<Key> {
        Key::new(self.encryption, &self.key)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (version {}, type {})", self.principal(), self.version, self.encryption)
    }
}

impl Keytab {
    /// From the content of such a file, with at least one key in it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Keytab, Malformed> {
        let mut reader = Reader::new("keytab", bytes);
        if reader.u16_be()? != FORMAT {
            return Err(reader.malformed("the file does not begin with 05 02"));
        }
        let mut entries = Vec::new();
        while !reader.is_empty() {
            match i32::from_be_bytes(reader.array()?) {
                // What is there for a later entry.
                0 => break,
                length @ 1.. => entries.push(entry(reader.take(length.unsigned_abs() as usize)?)?),
                // An entry that was taken out.
                hole => {
                    reader.take(hole.unsigned_abs() as usize)?;
                }
            }
        }
        if entries.is_empty() {
            return Err(reader.malformed("there is no key in it"));
        }
        Ok(Keytab { entries })
    }

    /// All keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The keys of a service: its name and realm, whatever their case, in which Active Directory does not tell names
    /// apart.
    pub(super) fn of_service<'a>(
        &'a self,
        service: &'a str,
        realm: &'a str,
    ) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| {
            entry.service.eq_ignore_ascii_case(service) && entry.realm.eq_ignore_ascii_case(realm)
        })
    }

    /// Whose keys there are, each once.
    pub(super) fn principals(&self) -> Vec<String> {
        let mut principals: Vec<String> = self.entries.iter().map(Entry::principal).collect();
        principals.sort_unstable();
        principals.dedup();
        principals
    }
}

fn entry(bytes: &[u8]) -> Result<Entry, Malformed> {
    let mut reader = Reader::new("keytab entry", bytes);
    let parts = reader.u16_be()?;
    if !(1..=MOST_PARTS).contains(&parts) {
        return Err(reader.malformed("the name has no parts, or too many"));
    }
    let realm = text(&mut reader)?;
    let parts = (0..parts).map(|_| text(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    // The kind of name, and when the entry was written.
    reader.take(8)?;
    let short_version = u32::from(reader.u8()?);
    let encryption = u32::from(reader.u16_be()?);
    let length = usize::from(reader.u16_be()?);
    let key = Zeroizing::new(reader.take(length)?.to_vec());
    // Added later for versions over 255; zeros may fill an entry up.
    let version = if reader.remaining() >= 4 { reader.u32_be()? } else { 0 };
    let version = if version == 0 { short_version } else { version };
    Ok(Entry { service: parts.join("/"), realm, version, encryption, key })
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let length = usize::from(reader.u16_be()?);
    let text = std::str::from_utf8(reader.take(length)?);
    text.map(str::to_owned).map_err(|_| reader.malformed("a name is not UTF-8"))
}
