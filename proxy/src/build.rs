//! What this very program was built from and with. Nothing in it comes from a clock.

use jiff::Timestamp;
use std::fmt::Write as _;
use std::sync::OnceLock;

/// Its version alone.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Facts by name, in the order in which they are told; what was not known when it was built is absent.
pub fn facts() -> Vec<(&'static str, String)> {
    let known = |name, value: &str| (!value.is_empty()).then(|| (name, value.to_owned()));
    let date =
        env!("RDPSCOPE_BUILD_DATE").parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let facts = [
        known("commit", env!("RDPSCOPE_BUILD_COMMIT")),
        date.map(|date| ("of", date.strftime("%Y-%m-%d").to_string())),
        known("target", env!("RDPSCOPE_BUILD_TARGET")),
        known("compiler", env!("RDPSCOPE_BUILD_RUSTC")),
        known("profile", env!("RDPSCOPE_BUILD_PROFILE")),
        known("linked", env!("RDPSCOPE_BUILD_LINKED")),
        known("features", env!("RDPSCOPE_BUILD_FEATURES")),
        Some(("tls", tls())),
    ];
    facts.into_iter().flatten().collect()
}

/// The stacks that terminate TLS.
fn tls() -> String {
    let rustls = format!("rustls {} with ring", env!("RDPSCOPE_BUILD_RUSTLS")).replace("  ", " ");
    #[cfg(feature = "legacy-tls")]
    let rustls = format!("{rustls}, {}", openssl::version::version());
    rustls
}

/// The version and every fact, a line each: what `--version` says.
pub fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        facts().into_iter().fold(VERSION.to_owned(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{name:<9} {value}");
            text
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_first_and_every_fact_has_a_line() {
        let lines: Vec<&str> = text().lines().collect();
        assert_eq!(lines[0], VERSION);
        assert_eq!(lines.len(), facts().len() + 1);
        let names: Vec<&str> = facts().into_iter().map(|(name, _)| name).collect();
        for name in ["target", "compiler", "profile", "tls"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(text().contains("rustls 0."), "{}", text());
    }
}
