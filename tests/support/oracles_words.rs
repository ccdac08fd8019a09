//! What must hold for any text: of the command line, of lists and of files that others wrote.

use rdpscope::client_system::logged;
use rdpscope::explain;
use rdpscope::intercept::tls::VersionRange;
use rdpscope::probe::targets::{MOST_TARGETS, Targets, expand};
use rdpscope::rdpfile::Address;
use rdpscope::relay::target::Target;
use rdpscope::relay::upstream_proxy::UpstreamProxy;
use rdpscope_certs::load;
use rdpscope_certs::mode::CertificateMode;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// A port for those that name none.
const PORT: u16 = 3389;
/// Bytes of a field of an event, and the name before it.
const LONGEST_FIELD: usize = 2 * 256 + 2;

/// Words that name something: what is understood is written so that it is understood again.
pub(super) fn words(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(target) = Target::parse(text, PORT) {
        assert_eq!(Target::parse(&target.to_string(), PORT), Ok(target));
    }
    written_and_read::<UpstreamProxy>(text);
    written_and_read::<CertificateMode>(text);
    let _either = (text.parse::<VersionRange>().is_ok(), Address::parse(text).is_ok());
    if let Ok(targets) = expand(text) {
        assert!((1..=MOST_TARGETS).contains(&(targets.len() as u64)), "{} targets", targets.len());
    }
    let mut list = Targets::default();
    list.lines("list", text);
    match list.finish() {
        Ok(named) => assert!(named.targets.len() as u64 <= MOST_TARGETS),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match explain::run(text, None) {
        Ok(explanation) => assert!(!explanation.meanings.is_empty(), "{explanation:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn written_and_read<T: FromStr<Err: Debug + PartialEq> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>(), Ok(value));
    }
}

/// Windows' event log as XML: every entry is short, of one line a field, and of an event in the text.
pub(super) fn event_log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let entries = logged(&text);
    assert!(entries.len() <= text.matches("<").count(), "{} entries", entries.len());
    for (_, entry) in entries {
        let fields = entry.particulars.iter().chain(&entry.target).chain(&entry.activity);
        for field in fields.chain([&entry.provider, &entry.logged]) {
            assert!(field.len() <= LONGEST_FIELD && !field.chars().any(char::is_control), "{field:?}");
        }
    }
}

/// A file with certificates, and perhaps a key: in PEM, DER or PFX, with a password and without.
pub(super) fn certificate_file(bytes: &[u8]) {
    for password in [None, Some("rdpscope")] {
        let certificates = load::certificates(bytes, password).unwrap_or_default();
        assert!(certificates.iter().all(|certificate| rdpscope_certs::inspect::inspect(certificate).is_ok()));
        if let Ok(identity) = load::identity(bytes, password) {
            assert!(identity.key.belongs_to(identity.leaf()));
        }
        let _either = load::private_key(bytes, password).is_ok();
    }
}
