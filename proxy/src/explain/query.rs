//! What the user asked for: a family where one is named, and a number or a name.

use super::{ExplainError, Family};

/// A code as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) family: Option<Family>,
    pub(super) wanted: Wanted,
}

/// The part after the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A number; where it has digits only, `as_hex` is what it would be without its `0x` forgotten.
    Code { code: u32, as_hex: Option<u32> },
    /// A name.
    Name(String),
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Query, ExplainError> {
        let (family, rest) = match text.trim().split_once(':') {
            Some((id, rest)) => {
                let family = Family::named(id.trim());
                (Some(family.ok_or_else(|| ExplainError::UnknownFamily(id.trim().to_owned()))?), rest.trim())
            }
            None => (None, text.trim()),
        };
        let wanted = parse_code(rest).or_else(|| parse_name(rest));
        let wanted = wanted.ok_or_else(|| ExplainError::NotACode(text.trim().to_owned()))?;
        Ok(Query { family, wanted })
    }
}

fn parse_code(text: &str) -> Option<Wanted> {
    let lower = text.to_ascii_lowercase();
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok().and_then(narrow);
    if let Some(digits) = lower.strip_prefix("0x") {
        return hex(digits).map(|code| Wanted::Code { code, as_hex: None });
    }
    if let Some(digits) = lower.strip_prefix('-') {
        let positive: u32 = digits.parse().ok()?;
        return (positive <= 1 << 31).then(|| Wanted::Code { code: positive.wrapping_neg(), as_hex: None });
    }
    if !lower.is_empty() && lower.bytes().all(|byte| byte.is_ascii_digit()) {
        let code = lower.parse().ok().and_then(narrow)?;
        return Some(Wanted::Code { code, as_hex: hex(&lower) });
    }
    // Words such as "decade" have letters only; a code has a digit somewhere.
    let with_digit = lower.bytes().any(|byte| byte.is_ascii_digit());
    hex(&lower)
        .filter(|_| with_digit && !lower.starts_with('+'))
        .map(|code| Wanted::Code { code, as_hex: None })
}

/// 32 bits, or 64 of which the upper half only repeats the sign, as some tools print an HRESULT.
fn narrow(number: u64) -> Option<u32> {
    const SIGN_REPEATED: u64 = 0xFFFF_FFFF;
    match number >> 32 {
        0 => Some(number as u32),
        SIGN_REPEATED => Some(number as u32).filter(|code| code >> 31 == 1),
        _ => None,
    }
}

fn parse_name(text: &str) -> Option<Wanted> {
    let separator = |letter: char| matches!(letter, '_' | '-' | ' ');
    let fits = text.chars().all(|letter| letter.is_ascii_alphanumeric() || separator(letter));
    let is_name = fits && text.starts_with(|first: char| first.is_ascii_alphabetic());
    is_name.then(|| Wanted::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> u32 {
        match Query::parse(text).map(|query| query.wanted) {
            Ok(Wanted::Code { code, .. }) => code,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_come_in_many_forms() {
        for text in [
            "0xC000006D",
            "c000006d",
            "3221225581",
            "-1073741715",
            "0xFFFFFFFFC000006D",
            " ntstatus:0xc000006d ",
        ] {
            assert_eq!(code(text), 0xC000_006D, "{text}");
        }
        assert_eq!(code("59dd"), 0x59DD);
        assert_eq!(code("-2147483648"), 0x8000_0000);
        let digits = Query::parse("904").unwrap().wanted;
        assert_eq!(digits, Wanted::Code { code: 904, as_hex: Some(0x904) });
    }

    #[test]
    fn a_family_and_a_name_are_told_from_numbers() {
        let query = Query::parse("TLS:certificate_expired").unwrap();
        assert_eq!(query.family, Some(Family::Tls));
        assert_eq!(query.wanted, Wanted::Name("certificate_expired".to_owned()));
        assert_eq!(Query::parse("decade").unwrap().wanted, Wanted::Name("decade".to_owned()));
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in
            ["", "  ", "0x", "0xZZ", "12345678901234567890123", "-99999999999", "+7", "é", "tls:", "7.5"]
        {
            assert_eq!(Query::parse(text), Err(ExplainError::NotACode(text.trim().to_owned())), "{text}");
        }
        assert_eq!(Query::parse("foo:7"), Err(ExplainError::UnknownFamily("foo".to_owned())));
    }
}
