//! Which certificate the client is shown, as text: `mirror+dates,names`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Every way to write a mode, for the one sentence that a wrong word gets.
const ALLOWED: &str = "passthrough, fresh, mirror, mirror+FIX[,FIX…] with FIX one of dates, names, issuer, usage, \
    strength, expired, not-yet-valid, wrong-name, self-signed, wrong-usage, sha1, weak-key, file:PATH";
const FILE: &str = "file:";
const MIRROR: &str = "mirror";

/// Which certificate the client is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateMode {
    /// The server's own; TLS is not terminated.
    Passthrough,
    /// One that is made for the session.
    Mint(Recipe),
    /// The one in this file, PEM or PFX, with its key.
    File(PathBuf),
}

/// How a certificate is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// New key, right names, valid, issued by the session CA.
    Fresh,
    /// The server's certificate rebuilt field by field, with these properties repaired.
    Mirror(BTreeSet<Repair>),
    /// A fresh one with just one property broken.
    Broken(Fault),
}

/// A property of a mirrored certificate that is put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Repair {
    /// Valid now.
    Dates,
    /// Also carries the names that the client may compare with.
    Names,
    /// Issued by the session CA although the original signs itself.
    Issuer,
    /// For server authentication.
    Usage,
    /// RSA 2048 and SHA-256, X.509 version 3, a positive serial number.
    Strength,
}

/// The one property that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Over since yesterday.
    Expired,
    /// Begins tomorrow.
    NotYetValid,
    /// For another name.
    WrongName,
    /// Signed by itself.
    SelfSigned,
    /// For client authentication.
    WrongUsage,
    /// Signed with SHA-1.
    Sha1,
    /// A key of RSA 1024.
    WeakKey,
}

impl Repair {
    /// All, in the order in which they are written.
    pub const ALL: [Repair; 5] =
        [Repair::Dates, Repair::Names, Repair::Issuer, Repair::Usage, Repair::Strength];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Repair::Dates => "dates",
            Repair::Names => "names",
            Repair::Issuer => "issuer",
            Repair::Usage => "usage",
            Repair::Strength => "strength",
        }
    }
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 7] = [
        Fault::Expired,
        Fault::NotYetValid,
        Fault::WrongName,
        Fault::SelfSigned,
        Fault::WrongUsage,
        Fault::Sha1,
        Fault::WeakKey,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Expired => "expired",
            Fault::NotYetValid => "not-yet-valid",
            Fault::WrongName => "wrong-name",
            Fault::SelfSigned => "self-signed",
            Fault::WrongUsage => "wrong-usage",
            Fault::Sha1 => "sha1",
            Fault::WeakKey => "weak-key",
        }
    }
}

/// Text that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no certificate mode; allowed are {ALLOWED}")]
pub struct ModeError {
    /// What was given.
    pub text: String,
}

impl FromStr for CertificateMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<CertificateMode, ModeError> {
        if text == "passthrough" {
            return Ok(CertificateMode::Passthrough);
        }
        if let Some(path) = text.strip_prefix(FILE).filter(|path| !path.is_empty()) {
            return Ok(CertificateMode::File(PathBuf::from(path)));
        }
        recipe(text).map(CertificateMode::Mint).ok_or_else(|| ModeError { text: text.to_owned() })
    }
}

fn recipe(text: &str) -> Option<Recipe> {
    if let Some(rest) = text.strip_prefix(MIRROR) {
        return repairs(rest).map(Recipe::Mirror);
    }
    if text == "fresh" {
        return Some(Recipe::Fresh);
    }
    Fault::ALL.into_iter().find(|fault| fault.word() == text).map(Recipe::Broken)
}

fn repairs(text: &str) -> Option<BTreeSet<Repair>> {
    if text.is_empty() {
        return Some(BTreeSet::new());
    }
    let words = text.strip_prefix('+')?.split(',');
    words.map(|word| Repair::ALL.into_iter().find(|repair| repair.word() == word)).collect()
}

impl fmt::Display for CertificateMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateMode::Passthrough => formatter.write_str("passthrough"),
            CertificateMode::Mint(recipe) => recipe.fmt(formatter),
            CertificateMode::File(path) => write!(formatter, "{FILE}{}", path.display()),
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipe::Fresh => formatter.write_str("fresh"),
            Recipe::Broken(fault) => formatter.write_str(fault.word()),
            Recipe::Mirror(repairs) => {
                let words: Vec<_> = repairs.iter().map(|repair| repair.word()).collect();
                let plus = if words.is_empty() { "" } else { "+" };
                write!(formatter, "{MIRROR}{plus}{}", words.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn modes_are_read_as_they_are_written() {
        for text in
            ["passthrough", "fresh", "mirror", "mirror+dates", "mirror+dates,names,issuer,usage,strength"]
                .into_iter()
                .chain(Fault::ALL.map(Fault::word))
                .chain(["file:/srv/rdp key.pfx", "file:C:\\keys\\rdp.pfx", "file:mirror"])
        {
            assert_eq!(text.parse::<CertificateMode>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn repairs_are_a_set() {
        let mode: CertificateMode = "mirror+names,dates,names".parse().unwrap();
        assert_eq!(mode.to_string(), "mirror+dates,names");
        assert_eq!(mode, CertificateMode::Mint(Recipe::Mirror([Repair::Dates, Repair::Names].into())));
    }

    #[test]
    fn wrong_words_are_told_what_is_allowed() {
        let bad = [
            "",
            "Fresh",
            "fresh ",
            "mirror+",
            "mirror+dates,",
            "mirrordates",
            "mirror+key",
            "file:",
            "file",
            "sha-1",
            "expired,sha1",
            "fresh+dates",
        ];
        for text in bad {
            let error = text.parse::<CertificateMode>().unwrap_err().to_string();
            assert!(
                error
                    .starts_with(&format!("{text:?} is no certificate mode; allowed are passthrough, fresh"))
            );
            assert!(error.ends_with("weak-key, file:PATH"), "{error}");
        }
    }

    fn mode() -> impl Strategy<Value = CertificateMode> {
        prop_oneof![
            Just(CertificateMode::Passthrough),
            Just(CertificateMode::Mint(Recipe::Fresh)),
            proptest::sample::subsequence(Repair::ALL.to_vec(), 0..=5)
                .prop_map(|repairs| CertificateMode::Mint(Recipe::Mirror(repairs.into_iter().collect()))),
            proptest::sample::select(Fault::ALL.to_vec())
                .prop_map(|fault| CertificateMode::Mint(Recipe::Broken(fault))),
            ".+".prop_map(|path| CertificateMode::File(path.into())),
        ]
    }

    proptest! {
        #[test]
        fn text_and_back(mode in mode()) {
            prop_assert_eq!(mode.to_string().parse::<CertificateMode>().unwrap(), mode);
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            let _ = text.parse::<CertificateMode>();
        }
    }
}
