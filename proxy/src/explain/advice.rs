//! What is to be done about numbers whose names and meanings [`crate::wire`] keeps.

use super::Entry;

/// Causes and commands for some numbers of a family.
pub(super) struct Advice {
    /// The numbers.
    pub(super) codes: &'static [u32],
    causes: &'static [&'static str],
    next: &'static [&'static str],
}

/// One line of a table of advice.
pub(super) const fn advice(
    codes: &'static [u32],
    causes: &'static [&'static str],
    next: &'static [&'static str],
) -> Advice {
    Advice { codes, causes, next }
}

/// A number as [`crate::wire`] knows it.
pub(super) struct Known {
    pub(super) code: u32,
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    pub(super) note: Option<&'static str>,
}

/// The table of a family: each number that is known with the advice for it.
pub(super) fn join(known: impl Iterator<Item = Known>, table: &'static [Advice]) -> Vec<Entry> {
    let entry = |Known { code, name, meaning, note }| {
        let Advice { causes, next, .. } = table.iter().find(|advice| advice.codes.contains(&code))?;
        Some(Entry { code, name, meaning, causes, next, note, documented: true })
    };
    known.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use crate::explain::{Family, error_info, tls_alert};
    use crate::wire::credssp::status;
    use crate::wire::rdp::error_info::ERROR_INFO;
    use crate::wire::rdp::licensing;
    use crate::wire::tls::alert::ALERT_DESCRIPTIONS;
    use crate::wire::x224;

    #[test]
    fn whatever_the_wire_names_is_explained_once_and_nothing_else() {
        let names = |table: &[(u32, &str)]| -> Vec<u32> { table.iter().map(|(code, _)| *code).collect() };
        let error_info_codes = ERROR_INFO.iter().map(|known| known.code).collect();
        let alerts: Vec<u32> = ALERT_DESCRIPTIONS.iter().map(|known| known.number.into()).collect();
        for (family, on_the_wire) in [
            (Family::Errinfo, error_info_codes),
            (Family::Tls, alerts),
            (Family::X224, names(x224::FAILURE_CODES)),
            (Family::Licensing, names(licensing::ERROR_CODES)),
            (Family::Ntstatus, names(status::NTSTATUS)),
            (Family::Sspi, names(status::SSPI)),
        ] {
            let explained: Vec<u32> = family.entries().map(|entry| entry.code).collect();
            assert_eq!(explained, on_the_wire, "{family:?}");
        }
        for (family, table) in [(Family::Errinfo, error_info::ADVICE), (Family::Tls, tls_alert::ADVICE)] {
            let mut advised: Vec<u32> = table.iter().flat_map(|advice| advice.codes).copied().collect();
            advised.sort_unstable();
            let explained: Vec<u32> = family.entries().map(|entry| entry.code).collect();
            assert_eq!(advised, explained, "{family:?}: advice without a number, or twice for one");
        }
    }
}
