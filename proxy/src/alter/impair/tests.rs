use super::shaper::Shaper;
use super::*;
use proptest::prelude::*;

const MS: Micros = 1_000;
const SECOND: Micros = 1_000_000;

fn parsed(specs: &[&str]) -> Result<Impairments, ImpairmentError> {
    Impairments::new(specs.iter().map(|spec| spec.parse()).collect::<Result<_, _>>()?)
}

fn shape(specs: &[&str]) -> Shape {
    parsed(specs).unwrap().shape(Direction::Up)
}

/// Everything that comes out, each write with its time, where the sink takes whatever is due at once.
fn drained(shaper: &mut Shaper, mut now: Micros) -> Vec<(Micros, Vec<u8>)> {
    let mut out = Vec::new();
    while !shaper.is_empty() {
        now = now.max(shaper.due().unwrap());
        let bytes = shaper.next(now).expect("what is due may go on").to_vec();
        shaper.took(now, bytes.len());
        out.push((now, bytes));
    }
    out
}

#[test]
fn specs_read_as_people_write_them() {
    let specs =
        ["latency=300ms", "up:jitter=50ms", "down:rate=128kbit", "chunk=100", "mss=536", "stall-after=tls"];
    for spec in specs.into_iter().chain(["reset-after=x224", "up:close-after=4096", "close-after=credssp"]) {
        assert_eq!(spec.parse::<Impairment>().unwrap().to_string(), spec);
    }
    let same = [
        ("latency=2s", "latency=2000ms"),
        ("jitter=1500us", "jitter=1.5ms"),
        ("rate=10000kbit", "rate=10mbit"),
        ("chunk=2k", "chunk=2048"),
    ];
    for (one, other) in same {
        assert_eq!(one.parse::<Impairment>().unwrap().to_string(), other);
    }
}

#[test]
fn a_direction_has_what_is_asked_of_it_or_of_both() {
    let impairments =
        parsed(&["latency=300ms", "up:rate=64kbit", "down:mss=536", "down:stall-after=tls"]).unwrap();
    let (up, down) = (impairments.shape(Direction::Up), impairments.shape(Direction::Down));
    assert_eq!((up.latency, down.latency), (Duration::from_millis(300), Duration::from_millis(300)));
    assert_eq!((up.rate, down.rate), (Some(64_000), None));
    assert_eq!((impairments.mss(Direction::Up), impairments.mss(Direction::Down)), (None, Some(536)));
    let stall = Cut { effect: Effect::Stalled, after: After::Phase(Phase::Tls) };
    assert_eq!((up.cut, down.cut), (None, Some(stall)));
    assert!(Impairments::default().is_empty() && !impairments.is_empty());
}

#[test]
fn nonsense_is_refused_in_one_sentence() {
    let refused = [
        ("", "is no impairment"),
        ("latency", "is no impairment"),
        ("sideways:latency=1s", "is no impairment"),
        ("loss=3", "is no impairment"),
        ("latency=0ms", "is no duration"),
        ("latency=-1s", "is no duration"),
        ("latency=300", "is no duration"),
        ("jitter=61s", "nobody waits longer than 60 s"),
        ("rate=0kbit", "is no rate"),
        ("rate=64k", "is no rate"),
        ("rate=+1kbit", "is no rate"),
        ("rate=999bit", "from 1kbit to 10gbit"),
        ("rate=99999999999999999999kbit", "is no rate"),
        ("chunk=0", "is no size"),
        ("chunk=65537", "larger pieces than 65536"),
        ("mss=87", "from 88 to 32767"),
        ("mss=64k", "from 88 to 32767"),
        ("stall-after=lunch", "is no phase"),
        ("stall-after=100", "is no phase"),
        ("reset-after=closed", "no byte of a connection passes after the phase closed"),
        ("close-after=udp", "no byte of a connection passes after the phase udp"),
    ];
    for (spec, reason) in refused {
        let error = spec.parse::<Impairment>().unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains('\n') && !error.ends_with('.'), "{spec}: {error}");
    }
}

#[test]
fn contradictions_are_refused_with_both_sides_named() {
    let conflicts: [&[&str]; 4] = [
        &["latency=1s", "latency=2s"],
        &["rate=64kbit", "up:rate=128kbit"],
        &["stall-after=tls", "down:close-after=64k"],
        &["up:mss=536", "up:mss=1000"],
    ];
    for specs in conflicts {
        let error = parsed(specs).unwrap_err();
        assert!(matches!(error, ImpairmentError::Conflict { .. }), "{error}");
    }
    assert!(
        parsed(&["up:latency=1s", "down:latency=2s", "up:reset-after=tls", "down:stall-after=tls"]).is_ok()
    );
}

#[test]
fn a_line_that_does_not_fit_into_memory_is_refused() {
    let error = parsed(&["rate=1gbit", "latency=2s"]).unwrap_err();
    assert!(matches!(error, ImpairmentError::Memory { needed: 250_000_000.., .. }), "{error}");
    assert!(parsed(&["rate=10gbit"]).is_ok() && parsed(&["rate=10mbit", "latency=2s"]).is_ok());
}

#[test]
fn the_delay_of_a_message_is_told() {
    let delay = |spec: &str| spec.parse::<Impairment>().unwrap().delay_us();
    assert_eq!(delay("latency=300ms"), Some(300 * MS));
    assert_eq!(delay("rate=128kbit"), Some(1_024 * MS));
    assert_eq!(delay("chunk=1k"), Some(16 * MS));
    assert_eq!(delay("mss=536"), Some(0));
    assert_eq!(delay("stall-after=tls"), None);
}

#[test]
fn latency_holds_everything_for_as_long_and_the_end_too() {
    let mut shaper = Shaper::new(shape(&["latency=300ms"]), 1);
    shaper.push(0, b"one");
    shaper.push(10 * MS, b"two");
    shaper.finish(20 * MS);
    assert_eq!(shaper.next(299 * MS), None);
    assert_eq!(shaper.due(), Some(300 * MS));
    assert_eq!(shaper.next(300 * MS), Some(&b"one"[..]));
    shaper.took(300 * MS, 2);
    assert_eq!(shaper.next(300 * MS), Some(&b"e"[..]), "what was not taken stays");
    shaper.took(301 * MS, 1);
    assert_eq!(shaper.next(309 * MS), None);
    shaper.took(310 * MS, 3);
    assert!(shaper.is_empty() && !shaper.has_ended(319 * MS) && shaper.has_ended(320 * MS));
    assert_eq!(shaper.due(), Some(320 * MS));
}

#[test]
fn a_rate_is_kept_to_and_an_idle_line_saves_nothing_up() {
    let mut shaper = Shaper::new(shape(&["rate=80kbit"]), 1);
    // 10,000 bytes a second.
    shaper.push(0, &[7; 5_000]);
    let out = drained(&mut shaper, 0);
    assert_eq!(out.last().map(|(at, _)| *at), Some(SECOND / 2));
    assert!(out.len() > 3, "it trickles");
    shaper.push(10 * SECOND, &[7; 10_000]);
    assert_eq!(drained(&mut shaper, 10 * SECOND).last().map(|(at, _)| *at), Some(11 * SECOND));
}

#[test]
fn a_line_takes_what_is_on_its_way_and_a_little_more() {
    let (rate, no_rate) =
        (Shaper::new(shape(&["rate=8mbit", "latency=990ms"]), 1), Shaper::new(Shape::default(), 1));
    assert_eq!(rate.room(), 1_000_000 + 16 * 1024);
    assert_eq!(no_rate.room(), 16 << 20);
    let mut full = Shaper::new(shape(&["rate=1kbit"]), 1);
    full.push(0, &vec![0; full.room()]);
    assert_eq!(full.room(), 0);
    full.took(0, 500);
    assert_eq!(full.room(), 500);
}

#[test]
fn chunks_are_so_large_and_so_far_apart() {
    let mut shaper = Shaper::new(shape(&["chunk=4"]), 1);
    shaper.push(0, b"0123456789");
    let out = drained(&mut shaper, 0);
    let expected: [(Micros, &[u8]); 3] = [(0, b"0123"), (MS, b"4567"), (2 * MS, b"89")];
    assert_eq!(out.iter().map(|(at, bytes)| (*at, &bytes[..])).collect::<Vec<_>>(), expected);
}

#[test]
fn jitter_is_the_same_for_the_same_seed_and_stays_in_its_bounds() {
    let times = |seed| {
        let mut shaper = Shaper::new(shape(&["latency=100ms", "jitter=50ms"]), seed);
        (0..100)
            .map(|turn| {
                let now = turn * SECOND;
                shaper.push(now, b"x");
                let due = shaper.due().unwrap() - now;
                shaper.took(now + due, 1);
                due
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(times(7), times(7));
    assert_ne!(times(7), times(8));
    assert!(times(7).iter().all(|due| (100 * MS..=150 * MS).contains(due)));
    assert!(times(7).iter().any(|due| *due > 140 * MS) && times(7).iter().any(|due| *due < 110 * MS));
}

#[test]
fn what_nobody_takes_any_more_is_forgotten() {
    let mut shaper = Shaper::new(shape(&["latency=1s"]), 1);
    shaper.push(0, &[1; 1_000]);
    shaper.clear();
    assert!(shaper.is_empty() && shaper.room() == 16 << 20 && shaper.due().is_none());
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let delay = || (0..500u64).prop_map(Duration::from_millis);
    (delay(), delay(), proptest::option::of(8_000..10_000_000u64), proptest::option::of(1..3_000usize))
        .prop_map(|(latency, jitter, rate, chunk)| Shape { latency, jitter, rate, chunk, cut: None })
}

proptest! {
    #[test]
    fn bytes_come_out_as_they_went_in_and_never_too_early(
        shape in any_shape(),
        pieces in proptest::collection::vec((0..2 * SECOND, 1..5_000usize), 1..30),
        takes in proptest::collection::vec(1..4_000usize, 1..20),
        seed: u64,
    ) {
        let mut shaper = Shaper::new(shape, seed);
        let (mut now, mut sent, mut arrivals) = (0, Vec::new(), Vec::new());
        for (pause, length) in pieces {
            now += pause;
            let piece: Vec<u8> = (0..length).map(|index| (sent.len() + index) as u8).collect();
            shaper.push(now, &piece);
            arrivals.extend(std::iter::repeat_n(now, length));
            sent.extend(piece);
        }
        shaper.finish(now);
        let first = arrivals[0];
        let latency = shape.latency.as_micros() as Micros;
        let (mut received, mut at, mut takes) = (Vec::new(), first, takes.into_iter().cycle());
        while !shaper.is_empty() {
            at = at.max(shaper.due().unwrap());
            let bytes = shaper.next(at).unwrap();
            prop_assert!(shape.chunk.is_none_or(|chunk| bytes.len() <= chunk));
            let count = bytes.len().min(takes.next().unwrap());
            received.extend_from_slice(&bytes[..count]);
            shaper.took(at, count);
            prop_assert!(at >= arrivals[received.len() - 1] + latency);
            if let Some(rate) = shape.rate {
                let line = received.len() as u128 * 8 * 1_000_000 / u128::from(rate);
                prop_assert!(u128::from(at) + 1 >= u128::from(first + latency) + line);
            }
        }
        prop_assert_eq!(received, sent);
        let end = shaper.due().unwrap();
        prop_assert!(end >= now + latency && shaper.has_ended(at.max(end)));
    }
}
