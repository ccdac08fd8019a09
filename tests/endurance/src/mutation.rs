//! Ways in which a session is damaged.

use crate::conversation::{Side, Steps};
use fastrand::Rng;

/// A way to damage a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// Some bits of one message.
    BitsFlipped,
    /// A byte becomes one of those that lengths and types break at.
    ByteReplaced,
    /// Some bytes of a message are missing.
    BytesCut,
    /// Bytes that nobody sent are in a message.
    BytesInserted,
    /// Some bytes of a message come twice.
    BytesRepeated,
    /// Two messages change places.
    Reordered,
    /// A message comes from the other side.
    Turned,
    /// A message of another session stands between.
    Spliced,
    /// The session ends after a message, or within one.
    EndsEarly,
}

/// All of them.
pub const MUTATIONS: [Mutation; 9] = [
    Mutation::BitsFlipped,
    Mutation::ByteReplaced,
    Mutation::BytesCut,
    Mutation::BytesInserted,
    Mutation::BytesRepeated,
    Mutation::Reordered,
    Mutation::Turned,
    Mutation::Spliced,
    Mutation::EndsEarly,
];

/// Mutations of one session at most: with more, little of RDP would be left to find a way through.
const MOST_MUTATIONS: usize = 4;
/// Bits flipped in one message at most.
const MOST_BITS: usize = 8;
/// Bytes inserted at once at most: more than any length field of one byte.
const MOST_INSERTED: usize = 300;
/// Values at which lengths, signs and types break.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0x81, 0x82, 0xfe, 0xff];

/// Damages `steps` in one to [`MOST_MUTATIONS`] ways, and says in which; `other` is another session.
pub fn mutate(steps: &mut Steps, other: &Steps, random: &mut Rng) -> Vec<Mutation> {
    let count = random.usize(1..=MOST_MUTATIONS);
    let chosen: Vec<Mutation> = (0..count).map(|_| MUTATIONS[random.usize(..MUTATIONS.len())]).collect();
    for mutation in &chosen {
        apply(*mutation, steps, other, random);
    }
    steps.retain(|(_, bytes)| !bytes.is_empty());
    chosen
}

fn apply(mutation: Mutation, steps: &mut Steps, other: &Steps, random: &mut Rng) {
    if steps.is_empty() {
        return;
    }
    let index = random.usize(..steps.len());
    match mutation {
        Mutation::Reordered => {
            let second = random.usize(..steps.len());
            steps.swap(index, second);
        }
        Mutation::Turned => {
            let side = &mut steps[index].0;
            *side = if *side == Side::Client { Side::Server } else { Side::Client };
        }
        Mutation::Spliced if !other.is_empty() => {
            steps.insert(index, other[random.usize(..other.len())].clone());
        }
        Mutation::EndsEarly => {
            steps.truncate(index + 1);
            let last = &mut steps[index].1;
            last.truncate(random.usize(..=last.len()));
        }
        mutation => damage(mutation, &mut steps[index].1, random),
    }
}

fn damage(mutation: Mutation, bytes: &mut Vec<u8>, random: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let start = random.usize(..bytes.len());
    let range = start..random.usize(start..bytes.len()) + 1;
    match mutation {
        Mutation::BitsFlipped => {
            for _ in 0..random.usize(1..=MOST_BITS) {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u8(..8);
            }
        }
        Mutation::ByteReplaced => bytes[start] = EDGES[random.usize(..EDGES.len())],
        Mutation::BytesCut => drop(bytes.drain(range)),
        Mutation::BytesInserted => {
            let inserted: Vec<u8> = (0..random.usize(1..=MOST_INSERTED)).map(|_| random.u8(..)).collect();
            bytes.splice(start..start, inserted);
        }
        _ => bytes.extend_from_within(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_damages_in_the_same_way_and_every_way_comes() {
        let session =
            || vec![(Side::Client, vec![1; 40]), (Side::Server, vec![2; 40]), (Side::Client, vec![3; 9])];
        let mut seen = Vec::new();
        for seed in 0..200 {
            let (mut one, mut two) = (session(), session());
            let first = mutate(&mut one, &session(), &mut Rng::with_seed(seed));
            let second = mutate(&mut two, &session(), &mut Rng::with_seed(seed));
            assert_eq!((one, &first), (two, &second));
            seen.extend(first);
        }
        assert!(MUTATIONS.iter().all(|mutation| seen.contains(mutation)));
    }
}
