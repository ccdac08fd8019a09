//! Times as words and as bars.

use super::Style;
use crate::trace::{Micros, PhaseRecord};

/// Cells of a bar.
pub(super) const BAR_CELLS: usize = 8;
/// The bar's scale begins here: 0.1 ms, less than any network needs.
const SHORTEST_US: f64 = 100.0;
/// The bar's scale ends here: 100 s, longer than any client waits.
const LONGEST_US: f64 = 100_000_000.0;

/// What the cells of a bar mean, said once.
pub(super) fn legend(style: &Style) -> String {
    let [client, server] = glyphs(style);
    format!("log bars up to 100 s: {client} waiting for client, {server} for server")
}

/// A time in at most seven characters: `0.8 ms`, `123 ms`, `3.1 s`, `12m 03s`, `3h 12m`.
pub(super) fn short(us: Micros) -> String {
    let seconds = us / 1_000_000;
    match us {
        0..9_950 => format!("{:.1} ms", us as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..59_950_000 => format!("{:.1} s", us as f64 / 1e6),
        59_950_000..3_600_000_000 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// The bar of a phase, [`BAR_CELLS`] columns: how long it took, and who was waited for.
pub(super) fn phase_bar(record: &PhaseRecord, style: &Style) -> String {
    let waits = [record.waiting_for_client_us, record.waiting_for_server_us].map(Option::unwrap_or_default);
    bar(record.duration_us(), waits, style)
}

/// A bar for `total` µs, divided as the two `waits` (client, server) are.
pub(super) fn bar(total: Micros, waits: [Micros; 2], style: &Style) -> String {
    let cells = cells(total);
    let [client, server] = waits;
    let waited = client as f64 + server as f64;
    let mut for_client =
        if waited == 0.0 { 0 } else { (client as f64 / waited * cells as f64).round() as usize };
    if cells > 1 {
        // Neither is left out of sight, however short it is against the other.
        for_client = for_client.clamp(usize::from(client > 0), cells - usize::from(server > 0));
    }
    let [client, server] = glyphs(style);
    let drawn = client.repeat(for_client) + &server.repeat(cells - for_client);
    format!("{drawn:<BAR_CELLS$}")
}

fn glyphs(style: &Style) -> [&'static str; 2] {
    if style.ascii { ["-", "#"] } else { ["░", "█"] }
}

fn cells(us: Micros) -> usize {
    if us == 0 {
        return 0;
    }
    let part = (us as f64 / SHORTEST_US).log10() / (LONGEST_US / SHORTEST_US).log10();
    ((part * BAR_CELLS as f64).round() as usize).clamp(1, BAR_CELLS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { color: false, width: 80, verbose: 0, ascii: true };

    #[test]
    fn times_are_short_at_every_size() {
        let shown =
            [0, 40, 840, 9_940, 9_960, 12_400, 999_400, 999_600, 3_140_000, 63_000_000, 11_520_000_000]
                .map(short);
        let wanted = [
            "0.0 ms", "0.0 ms", "0.8 ms", "9.9 ms", "10 ms", "12 ms", "999 ms", "1.0 s", "3.1 s", "1m 03s",
            "3h 12m",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_third_of_a_millisecond_and_ten_seconds_are_both_readable() {
        let widths =
            [300, 3_000, 30_000, 300_000, 10_000_000].map(|us| bar(us, [0, us], &STYLE).trim().len());
        assert_eq!(widths, [1, 2, 3, 5, 7]);
        assert_eq!(bar(0, [0, 0], &STYLE), "        ");
        assert_eq!(bar(u64::MAX, [0, 0], &STYLE), "########");
    }

    #[test]
    fn a_bar_shows_both_sides_even_where_one_is_short() {
        assert_eq!(bar(10_000_000, [9_999_000, 1_000], &STYLE), "------# ");
        assert_eq!(bar(10_000_000, [5_000_000, 5_000_000], &STYLE), "----### ");
        assert_eq!(bar(10_000_000, [1_000, 9_999_000], &STYLE), "-###### ");
    }
}
