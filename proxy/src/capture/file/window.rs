//! A sliding window over a file: blocks are borrowed from it, nothing is copied for each of them.

use std::io::{ErrorKind, Read, Result};
use zeroize::Zeroizing;

/// Bytes asked for at once. Large enough that reading costs few calls, small enough to stay in a processor's cache.
const READ_SIZE: usize = 512 * 1024;
/// The first read; each one is twice as large as the one before, so that a small file costs little.
const FIRST_READ: usize = 16 * 1024;

/// Its buffer is wiped when it goes, because key logs pass through it.
pub(super) struct Window<R> {
    source: R,
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
    offset: u64,
    at_end: bool,
    broken: Option<String>,
}

impl<R: Read> Window<R> {
    /// At the beginning of `source`.
    pub(super) fn new(source: R) -> Self {
        let buffer = Zeroizing::new(vec![0; FIRST_READ]);
        Self { source, buffer, start: 0, end: 0, offset: 0, at_end: false, broken: None }
    }

    /// What is in the window.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where in the file (after decompression) the window begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Why decompression ended early, once.
    pub(super) fn take_broken(&mut self) -> Option<String> {
        self.broken.take()
    }

    /// Reads until the window has `length` bytes or the file ends; how many there are. Fails where reading fails.
    pub(super) fn want(&mut self, length: usize) -> Result<usize> {
        if self.end - self.start < length && !self.at_end {
            self.make_room(length);
            while self.end - self.start < length && !self.at_end {
                self.fill()?;
            }
        }
        Ok(self.end - self.start)
    }

    /// Moves the window on by `length` bytes, at most to its end.
    pub(super) fn pass(&mut self, length: usize) {
        let length = length.min(self.end - self.start);
        self.start += length;
        self.offset += length as u64;
    }

    fn make_room(&mut self, length: usize) {
        let kept = self.end - self.start;
        let size = length.next_power_of_two().max(READ_SIZE.min(2 * self.buffer.len()));
        if size > self.buffer.len() {
            let mut larger = Zeroizing::new(vec![0; size]);
            larger[..kept].copy_from_slice(&self.buffer[self.start..self.end]);
            self.buffer = larger;
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
        }
        (self.start, self.end) = (0, kept);
    }

    fn fill(&mut self) -> Result<()> {
        match self.source.read(&mut self.buffer[self.end..]) {
            Ok(0) => self.at_end = true,
            Ok(count) => self.end += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Only the decompressor says so, of what it was given: the file is damaged, reading it works.
            Err(error) if is_damage(error.kind()) => {
                self.at_end = true;
                self.broken = Some(error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a call.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            (into[0], self.0) = (*first, rest);
            Ok(1)
        }
    }

    #[test]
    fn what_is_wanted_is_there_however_slowly_it_comes() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut window = Window::new(Slow(&bytes));
        assert_eq!(window.want(10).unwrap(), 10);
        window.pass(4);
        assert_eq!((window.want(20).unwrap(), window.offset()), (20, 4));
        assert_eq!(window.bytes(), &bytes[4..24]);
        assert_eq!(window.want(1000).unwrap(), 252);
        window.pass(1000);
        assert_eq!((window.want(1).unwrap(), window.offset()), (0, 256));
    }

    /// As gzip unpacks a small file to a huge one.
    #[test]
    fn what_never_ends_passes_through_a_buffer_of_one_size() {
        const BOMB: u64 = 32 << 20;
        let mut window = Window::new(std::io::repeat(0).take(BOMB));
        while window.want(FIRST_READ).unwrap() > 0 {
            window.pass(FIRST_READ);
            assert!(window.buffer.len() <= READ_SIZE, "{} bytes are held", window.buffer.len());
        }
        assert_eq!(window.offset(), BOMB);
    }

    #[test]
    fn a_block_longer_than_the_buffer_is_read_whole() {
        let bytes: Vec<u8> = (0..3 * READ_SIZE).map(|place| place as u8).collect();
        let mut window = Window::new(&bytes[..]);
        window.want(100).unwrap();
        window.pass(100);
        assert!(window.want(2 * READ_SIZE).unwrap() >= 2 * READ_SIZE);
        assert_eq!(window.bytes()[..2 * READ_SIZE], bytes[100..100 + 2 * READ_SIZE]);
    }
}
