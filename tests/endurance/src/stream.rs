//! What a session of the soak sends, made anew by whoever receives it.

use crate::wire;
use fastrand::Rng;

/// Bytes of application records: from a keystroke to a tile of the screen.
const RECORD: std::ops::Range<usize> = 40..4096;

/// The bytes of one direction of a session, in order: its handshake, then application records without end.
#[derive(Debug)]
pub struct Stream {
    random: Rng,
    ready: Vec<u8>,
    at: usize,
}

impl Stream {
    /// What the client of session `number` sends behind its connection request.
    pub fn up(number: u64) -> Self {
        let beginning = [wire::client_hello(), wire::client_finish()].concat();
        Self { random: Rng::with_seed(number << 1), ready: beginning, at: 0 }
    }

    /// What its server sends behind the connection confirm.
    pub fn down(number: u64) -> Self {
        let beginning = [wire::server_flight(), wire::server_finish()].concat();
        Self { random: Rng::with_seed(number << 1 | 1), ready: beginning, at: 0 }
    }

    /// The next `length` bytes.
    pub fn next(&mut self, length: usize) -> &[u8] {
        self.ready.drain(..self.at);
        while self.ready.len() < length {
            let record = wire::application_record(self.random.usize(RECORD), self.random.u64(..));
            self.ready.extend(record);
        }
        self.at = length;
        &self.ready[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_come_in_any_pieces() {
        let (mut whole, mut pieces) = (Stream::up(7), Stream::up(7));
        let expected = whole.next(30_000).to_vec();
        let mut got = Vec::new();
        for length in [1, 9999, 0, 20_000] {
            got.extend_from_slice(pieces.next(length));
        }
        assert!(got == expected && Stream::down(7).next(30_000) != expected);
    }
}
