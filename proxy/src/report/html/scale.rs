//! A time axis on which 25 s of typing and 2 ms of network are both seen: between two moments at which something
//! begins or ends the axis is as long as the logarithm of the time between them.

use crate::trace::Micros;

/// A stretch this long counts once; shorter ones are narrower, longer ones wider by their logarithm, µs.
const UNIT_US: f64 = 200.0;
/// Stretches from here on are marked as pauses, µs.
const PAUSE_US: Micros = 1_000_000;
/// Room between the labels of two moments.
const LABEL_ROOM: f64 = 62.0;

/// Where moments are on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    /// Moments in their order with their places.
    points: Vec<(Micros, f64)>,
}

/// A long stretch without anything beginning or ending.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pause {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) us: Micros,
}

impl Scale {
    /// The axis for these moments, from `left` to `right`.
    pub(super) fn new(moments: impl Iterator<Item = Micros>, left: f64, right: f64) -> Scale {
        let mut moments: Vec<Micros> = moments.collect();
        moments.sort_unstable();
        moments.dedup();
        let widths: Vec<f64> =
            moments.windows(2).map(|pair| (1.0 + (pair[1] - pair[0]) as f64 / UNIT_US).ln()).collect();
        let whole: f64 = widths.iter().sum();
        let unit = if whole > 0.0 { (right - left) / whole } else { 0.0 };
        let mut at = left;
        let mut points = Vec::with_capacity(moments.len());
        for (place, moment) in moments.iter().enumerate() {
            points.push((*moment, at));
            at += widths.get(place).copied().unwrap_or_default() * unit;
        }
        Scale { points }
    }

    /// Where `moment` is; one between two known ones lies in proportion.
    pub(super) fn place(&self, moment: Micros) -> f64 {
        let after = self.points.partition_point(|(known, _)| *known < moment);
        let (Some(next), Some(before)) = (self.points.get(after), self.points.get(after.saturating_sub(1)))
        else {
            return self.points.last().map_or(0.0, |(_, at)| *at);
        };
        if next.0 <= moment || next.0 == before.0 {
            return next.1;
        }
        let part = moment.saturating_sub(before.0) as f64 / (next.0 - before.0) as f64;
        before.1 + part * (next.1 - before.1)
    }

    /// Moments whose labels do not run into each other; the first and the last are among them.
    pub(super) fn ticks(&self) -> Vec<(Micros, f64)> {
        let Some(last) = self.points.last().copied() else { return Vec::new() };
        let mut ticks: Vec<(Micros, f64)> = Vec::new();
        for point in &self.points {
            let is_free = ticks.last().is_none_or(|tick| point.1 - tick.1 >= LABEL_ROOM);
            if is_free && (last.1 - point.1 >= LABEL_ROOM || *point == last) {
                ticks.push(*point);
            }
        }
        if ticks.last() != Some(&last) {
            ticks.push(last);
        }
        ticks
    }

    /// Stretches of a second and more.
    pub(super) fn pauses(&self) -> Vec<Pause> {
        let pairs = self.points.windows(2).map(|pair| (pair[0], pair[1]));
        let long = pairs.filter(|(from, to)| to.0 - from.0 >= PAUSE_US);
        long.map(|(from, to)| Pause { from: from.1, to: to.1, us: to.0 - from.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_password_and_a_handshake_are_both_seen() {
        let moments = [0, 500, 2_500, 25_002_500, 25_004_500];
        let scale = Scale::new(moments.into_iter(), 0.0, 700.0);
        let places: Vec<f64> = moments.iter().map(|moment| scale.place(*moment)).collect();
        let widths: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(widths[1] > 60.0 && widths[3] > 60.0, "2 ms are seen: {widths:?}");
        assert!(widths[2] < 500.0, "25 s do not fill the picture: {widths:?}");
        assert_eq!(scale.pauses().len(), 1);
        assert_eq!(scale.pauses()[0].us, 25_000_000);
    }

    #[test]
    fn an_axis_without_length_is_one_point() {
        let scale = Scale::new([7].into_iter(), 10.0, 20.0);
        assert_eq!((scale.place(7), scale.ticks().len()), (10.0, 1));
        assert_eq!(Scale::new([].into_iter(), 0.0, 1.0).place(3), 0.0);
    }

    proptest! {
        #[test]
        fn later_is_never_further_left(mut moments in prop::collection::vec(0u64..10_000_000_000, 1..40)) {
            let scale = Scale::new(moments.iter().copied(), 100.0, 900.0);
            moments.sort_unstable();
            let places: Vec<f64> = moments.iter().map(|moment| scale.place(*moment)).collect();
            prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6));
            prop_assert!(places.iter().all(|place| (99.9..=900.1).contains(place)));
            let ticks = scale.ticks();
            prop_assert!(ticks.windows(2).all(|pair| pair[1].1 - pair[0].1 > 0.0));
        }
    }
}
