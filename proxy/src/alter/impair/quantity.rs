//! Durations, sizes and rates as people write them.

use std::time::Duration;

/// A duration such as `300ms`, `2s` or `1m 30s`; `None` where it is none, or none at all.
pub fn duration(text: &str) -> Option<Duration> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero())
}

/// A duration in milliseconds such as `300ms` or `0.5ms`, to the nanosecond: [`duration`] reads the same from it.
pub(super) fn milliseconds(duration: Duration) -> String {
    const NANOSECONDS: u128 = 1_000_000;
    let (whole, rest) = (duration.as_nanos() / NANOSECONDS, duration.as_nanos() % NANOSECONDS);
    let fraction = format!(".{rest:06}");
    format!("{whole}{}ms", fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// A number of bytes such as `100`, `64k` or `2m`, in powers of 1024; `None` where it is none, or none at all.
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &[("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30)])
}

/// Bits in a second, such as `128kbit` or `10mbit`, in powers of 1000; `None` where it is none, or none at all.
pub fn rate(text: &str) -> Option<u64> {
    let number = text.strip_suffix("bit")?;
    scaled(number, &[("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000)])
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let with_unit = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, *scale)));
    let (digits, scale) = with_unit.unwrap_or((text, 1));
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| is_number)?;
    count.checked_mul(scale).filter(|count| *count > 0)
}
