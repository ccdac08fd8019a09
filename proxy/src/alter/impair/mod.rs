//! The declared impairments of a connection: later, slower, in smaller pieces, or cut on purpose. They change no byte.
//!
//! Each acts where rdpscope sends: `up` on the way from rdpscope to the server, `down` on the way from rdpscope to the
//! client. What rdpscope observes is therefore seen when it came in, and a latency of 300 ms each way makes 600 ms of a
//! round trip between client and server.

mod quantity;
mod shaper;
#[cfg(test)]
mod tests;

pub use quantity::{duration, rate, size};
pub use shaper::Shaper;

use crate::trace::{Direction, Effect, Micros, Phase};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longer than any client or server waits for the other.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Slower lines carry no handshake within a minute.
const LEAST_RATE: u64 = 1_000;
/// Above this it is rdpscope itself that would be the line.
const HIGHEST_RATE: u64 = 10_000_000_000;
/// What one read gives at most; larger pieces than that never come about.
const LARGEST_CHUNK: u64 = 64 * 1024;
/// The least that Linux takes, and the most that fits where every system holds it.
const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 88..=32_767;
/// A message whose delay is told: the longest record of TLS, and more than most flights of a handshake.
const MESSAGE_BITS: u64 = 16 * 1024 * 8;
/// Pieces that are asked for one by one come a millisecond apart, so that the other side reads them one by one.
pub const CHUNK_GAP_US: Micros = 1_000;

/// One impairment, as `--impair` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impairment {
    /// Where it acts; both ways where none is named.
    pub direction: Option<Direction>,
    /// What it does.
    pub action: Action,
}

/// What an impairment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Every byte, and the end of the stream, comes so much later.
    Latency(Duration),
    /// The latency grows by something between nothing and this, anew for each read; the order stays.
    Jitter(Duration),
    /// Bits in a second.
    Rate(u64),
    /// Bytes written at once.
    Chunk(usize),
    /// Largest segment of TCP, bytes.
    Mss(u32),
    /// The direction is cut at some point.
    Cut(Cut),
}

/// How a direction is cut, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// [`Effect::Stalled`], [`Effect::Reset`] or [`Effect::Closed`].
    pub effect: Effect,
    /// When.
    pub after: After,
}

/// When a direction is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// When this phase is over, and what was on its way then has passed. The phase active is never over before the
    /// session: of it the beginning counts.
    Phase(Phase),
    /// When so many bytes have passed.
    Bytes(u64),
}

/// Why an impairment, or several together, cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImpairmentError {
    /// It is none.
    #[error(
        "{0:?} is no impairment; write latency=300ms, jitter=50ms, rate=128kbit, chunk=100, mss=536, stall-after=PHASE, \
         reset-after=PHASE, close-after=PHASE or close-after=BYTES, with up: or down: before it for one direction"
    )]
    Unknown(String),
    /// Its value cannot be read, or makes no sense.
    #[error("{value:?} is no {what}; write for example {example}")]
    Value {
        /// The value.
        value: String,
        /// What it should be.
        what: &'static str,
        /// What it could look like.
        example: &'static str,
    },
    /// Its value is too small or too large.
    #[error("{setting} is out of range: {range}")]
    Range {
        /// What was asked for.
        setting: String,
        /// What can be had.
        range: String,
    },
    /// There is no such moment in a connection.
    #[error(
        "no byte of a connection passes after the phase {0}; name one before it, for example tls or active"
    )]
    Phase(Phase),
    /// Two say different things of one direction.
    #[error("{one} and {other} are about the same thing in the same direction; leave one of them out")]
    Conflict {
        /// One.
        one: Impairment,
        /// The other.
        other: Impairment,
    },
    /// So much cannot be held.
    #[error(
        "at {rate} bit/s and {delay_ms} ms, {needed} bytes are on their way at once, more than the {most} that rdpscope \
         holds; lower the rate or the latency"
    )]
    Memory {
        /// Bits in a second.
        rate: u64,
        /// Latency and jitter.
        delay_ms: u128,
        /// Bytes.
        needed: u64,
        /// Bytes.
        most: usize,
    },
}

impl FromStr for Impairment {
    type Err = ImpairmentError;

    fn from_str(text: &str) -> Result<Impairment, ImpairmentError> {
        let (direction, rest) = match (text.strip_prefix("up:"), text.strip_prefix("down:")) {
            (Some(rest), _) => (Some(Direction::Up), rest),
            (None, Some(rest)) => (Some(Direction::Down), rest),
            (None, None) => (None, text),
        };
        let unknown = || ImpairmentError::Unknown(text.to_owned());
        let (name, value) = rest.split_once('=').ok_or_else(unknown)?;
        let action = match name {
            "latency" => Action::Latency(delay(name, value)?),
            "jitter" => Action::Jitter(delay(name, value)?),
            "rate" => Action::Rate(bits(value)?),
            "chunk" => Action::Chunk(chunk(value)?),
            "mss" => Action::Mss(segment(value)?),
            "stall-after" => Action::Cut(Cut { effect: Effect::Stalled, after: After::Phase(phase(value)?) }),
            "reset-after" => Action::Cut(Cut { effect: Effect::Reset, after: After::Phase(phase(value)?) }),
            "close-after" => {
                let after = match size(value) {
                    Some(bytes) => After::Bytes(bytes),
                    None => After::Phase(phase(value)?),
                };
                Action::Cut(Cut { effect: Effect::Closed, after })
            }
            _ => return Err(unknown()),
        };
        Ok(Impairment { direction, action })
    }
}

fn no(value: &str, what: &'static str, example: &'static str) -> ImpairmentError {
    ImpairmentError::Value { value: value.to_owned(), what, example }
}

fn out_of_range(name: &str, value: &str, range: String) -> ImpairmentError {
    ImpairmentError::Range { setting: format!("{name}={value}"), range }
}

fn delay(name: &str, value: &str) -> Result<Duration, ImpairmentError> {
    let delay = duration(value).ok_or_else(|| no(value, "duration", "300ms or 2s"))?;
    if delay > LONGEST_DELAY {
        let range = format!("nobody waits longer than {} s", LONGEST_DELAY.as_secs());
        return Err(out_of_range(name, value, range));
    }
    Ok(delay)
}

fn bits(value: &str) -> Result<u64, ImpairmentError> {
    let bits = rate(value).ok_or_else(|| no(value, "rate", "128kbit or 10mbit"))?;
    if (LEAST_RATE..=HIGHEST_RATE).contains(&bits) {
        return Ok(bits);
    }
    Err(out_of_range("rate", value, "it goes from 1kbit to 10gbit".to_owned()))
}

fn chunk(value: &str) -> Result<usize, ImpairmentError> {
    let bytes = size(value).ok_or_else(|| no(value, "size", "100 or 4k"))?;
    let fits = usize::try_from(bytes).ok().filter(|_| bytes <= LARGEST_CHUNK);
    fits.ok_or_else(|| {
        out_of_range("chunk", value, format!("nothing is sent in larger pieces than {LARGEST_CHUNK} bytes"))
    })
}

fn segment(value: &str) -> Result<u32, ImpairmentError> {
    let bytes = size(value).ok_or_else(|| no(value, "size", "536 or 1k"))?;
    let fits = u32::try_from(bytes).ok().filter(|_| SEGMENT_SIZES.contains(&bytes));
    let (least, most) = (SEGMENT_SIZES.start(), SEGMENT_SIZES.end());
    fits.ok_or_else(|| out_of_range("mss", value, format!("it goes from {least} to {most} bytes")))
}

fn phase(value: &str) -> Result<Phase, ImpairmentError> {
    let value_of = serde::de::value::StrDeserializer::<serde::de::value::Error>::new;
    match Phase::deserialize(value_of(value)) {
        Ok(phase @ (Phase::Udp | Phase::Closed)) => Err(ImpairmentError::Phase(phase)),
        Ok(phase) => Ok(phase),
        Err(_) => Err(no(value, "phase", "x224, tls, credssp, mcs or active")),
    }
}

impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(direction) = self.direction {
            write!(f, "{direction}:")?;
        }
        match &self.action {
            Action::Latency(delay) => write!(f, "latency={}", quantity::milliseconds(*delay)),
            Action::Jitter(delay) => write!(f, "jitter={}", quantity::milliseconds(*delay)),
            Action::Rate(bits) => f.write_str("rate=").and_then(|()| write_rate(f, *bits)),
            Action::Chunk(bytes) => write!(f, "chunk={bytes}"),
            Action::Mss(bytes) => write!(f, "mss={bytes}"),
            Action::Cut(cut) => cut.fmt(f),
        }
    }
}

fn write_rate(f: &mut fmt::Formatter<'_>, bits: u64) -> fmt::Result {
    for (unit, scale) in [("g", 1_000_000_000), ("m", 1_000_000), ("k", 1_000)] {
        if bits.is_multiple_of(scale) {
            return write!(f, "{}{unit}bit", bits / scale);
        }
    }
    write!(f, "{bits}bit")
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.effect {
            Effect::Stalled => "stall-after=",
            Effect::Reset => "reset-after=",
            Effect::Closed | Effect::Shaped => "close-after=",
        })?;
        match self.after {
            After::Phase(phase) => write!(f, "{phase}"),
            After::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

impl Impairment {
    fn acts_in(&self, direction: Direction) -> bool {
        self.direction.is_none_or(|own| own == direction)
    }

    /// How much later, by this alone, a message of 16 KiB may come to its end; `None` where it is cut instead.
    pub fn delay_us(&self) -> Option<Micros> {
        match self.action {
            Action::Latency(delay) | Action::Jitter(delay) => u64::try_from(delay.as_micros()).ok(),
            Action::Rate(bits) => Some(MESSAGE_BITS * 1_000_000 / bits),
            Action::Chunk(bytes) => Some(MESSAGE_BITS / 8 / bytes.max(1) as u64 * CHUNK_GAP_US),
            Action::Mss(_) => Some(0),
            Action::Cut(_) => None,
        }
    }
}

/// Everything that is asked of a connection, free of contradictions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Impairments {
    asked: Vec<Impairment>,
}

/// What is asked of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shape {
    /// How much later bytes come.
    pub latency: Duration,
    /// By how much the latency varies.
    pub jitter: Duration,
    /// Bits in a second.
    pub rate: Option<u64>,
    /// Bytes written at once.
    pub chunk: Option<usize>,
    /// How it is cut.
    pub cut: Option<Cut>,
}

impl Impairments {
    /// Those that were asked for.
    ///
    /// # Errors
    /// Where two contradict each other in some direction, or need more memory than there is for one connection.
    pub fn new(asked: Vec<Impairment>) -> Result<Impairments, ImpairmentError> {
        for (index, other) in asked.iter().enumerate() {
            let same = |one: &&Impairment| {
                let meet = Direction::ALL.iter().any(|it| one.acts_in(*it) && other.acts_in(*it));
                meet && std::mem::discriminant(&one.action) == std::mem::discriminant(&other.action)
            };
            if let Some(one) = asked.iter().take(index).find(same) {
                return Err(ImpairmentError::Conflict { one: *one, other: *other });
            }
        }
        let impairments = Impairments { asked };
        for direction in Direction::ALL {
            shaper::fits(&impairments.shape(direction))?;
        }
        Ok(impairments)
    }

    /// In the order in which they were asked for.
    pub fn asked(&self) -> &[Impairment] {
        &self.asked
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// What is asked of `direction`.
    pub fn shape(&self, direction: Direction) -> Shape {
        let mut shape = Shape::default();
        for impairment in self.asked.iter().filter(|impairment| impairment.acts_in(direction)) {
            match impairment.action {
                Action::Latency(latency) => shape.latency = latency,
                Action::Jitter(jitter) => shape.jitter = jitter,
                Action::Rate(rate) => shape.rate = Some(rate),
                Action::Chunk(chunk) => shape.chunk = Some(chunk),
                Action::Cut(cut) => shape.cut = Some(cut),
                Action::Mss(_) => {}
            }
        }
        shape
    }

    /// The largest segment on the connection that `direction` leads to.
    pub fn mss(&self, direction: Direction) -> Option<u32> {
        self.asked.iter().find_map(|impairment| match impairment.action {
            Action::Mss(mss) if impairment.acts_in(direction) => Some(mss),
            _ => None,
        })
    }
}
