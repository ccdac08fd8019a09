//! What the fields of a trace hold, by their keys. A test lists the fields of the schema that are not named here: each of them
//! is a sentence, in which names are looked for.

use super::Kind;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// A name of this kind and nothing else.
    Name(Kind),
    /// A machine with its port, `host:port`.
    Target,
    /// An address, with its port or without.
    Address,
    /// The common name of a certificate: a machine's, or an authority's.
    CommonName,
    /// A distinguished name, `CN=…, O=…`.
    DistinguishedName,
    /// A URL, or a service principal: a machine after the first slash.
    Locator,
    /// Bytes in hex.
    Hex,
    /// What someone wrote who is no protocol: it is left out, because nobody can say what it names.
    Foreign,
    /// Words of the protocol and of rdpscope: left as they are.
    Vocabulary,
    /// A sentence, or anything else in which names may stand.
    Text,
}

use Field::{Address, CommonName, DistinguishedName, Foreign, Hex, Locator, Name, Target, Text, Vocabulary};

/// Fields that hold something of their own; every other is [`Text`].
const FIELDS: [(&str, Field); 50] = [
    ("address", Target),
    ("addresses", Address),
    ("after", Hex),
    ("before", Hex),
    ("asked_for", Target),
    ("blob", Foreign),
    ("bytes", Hex),
    ("client_address", Address),
    ("client_name", Name(Kind::Host)),
    ("consent_message", Foreign),
    ("cookie", Name(Kind::User)),
    ("crl", Locator),
    ("dns_computer", Name(Kind::Host)),
    ("dns_domain", Name(Kind::Domain)),
    ("dns_forest", Name(Kind::Domain)),
    ("domain", Name(Kind::Domain)),
    ("first_bytes", Hex),
    ("issuer", DistinguishedName),
    ("issuer_cn", CommonName),
    ("issuers", Locator),
    ("local", Address),
    ("missing_issuers", DistinguishedName),
    ("netbios_computer", Name(Kind::Host)),
    ("netbios_domain", Name(Kind::Domain)),
    ("ocsp", Locator),
    ("particulars", Foreign),
    ("peer", Address),
    ("proxy", Locator),
    ("realm", Name(Kind::Domain)),
    ("resources", Target),
    ("reverse", Name(Kind::Host)),
    ("routing_token", Foreign),
    ("sans", CommonName),
    ("server", Address),
    ("server_name", CommonName),
    ("service", Locator),
    ("sni", CommonName),
    ("subject", DistinguishedName),
    ("subject_cn", CommonName),
    ("target", Target),
    ("target_fqdn", Name(Kind::Host)),
    ("target_name", Name(Kind::Host)),
    ("target_net_address", Address),
    ("target_net_addresses", Address),
    ("target_net_bios_name", Name(Kind::Host)),
    ("target_spn", Locator),
    ("targets", Target),
    ("user", Name(Kind::User)),
    ("user_name", Name(Kind::User)),
    ("workstation", Name(Kind::Host)),
];

/// Fields that no name is looked for in: readers know their words.
const VOCABULARY: [&str; 81] = [
    "activity",
    "alpn",
    "alternatives",
    "arm",
    "auth_scheme",
    "call",
    "check",
    "cipher",
    "cipher_id",
    "commands",
    "connection_id",
    "correlation_id",
    "description_name",
    "error_info",
    "event",
    "extended_key_usage",
    "factor",
    "field",
    "flag_names",
    "flags",
    "frame",
    "guilty",
    "id",
    "ja3",
    "ja3_full",
    "ja3s",
    "ja3s_full",
    "ja4",
    "key_algorithm",
    "key_sha256",
    "key_usage",
    "keys",
    "leg",
    "legacy_version",
    "level",
    "level_name",
    "logged",
    "max_version",
    "meaning",
    "mechanism",
    "mechanisms",
    "method",
    "methods",
    "mode",
    "names",
    "not_after",
    "not_before",
    "pdu",
    "phase",
    "property",
    "protocol",
    "provider",
    "rdp_version",
    "rdpscope",
    "record_version",
    "redirection_guid",
    "requested_protocol_names",
    "requested_protocols",
    "scheme",
    "schemes",
    "selected",
    "selected_mechanism",
    "selected_protocol",
    "selected_protocol_name",
    "serial",
    "session",
    "sha1",
    "sha256",
    "signature_algorithm",
    "started",
    "state",
    "status",
    "structure",
    "supported_versions",
    "tls_client_max",
    "tls_version",
    "token",
    "type",
    "unreadable_extensions",
    "version",
    "why",
];

/// What the field with this key holds.
pub(super) fn field(key: &str) -> Field {
    if VOCABULARY.contains(&key) {
        return Vocabulary;
    }
    FIELDS.iter().find(|(name, _)| *name == key).map_or(Text, |(_, field)| *field)
}
