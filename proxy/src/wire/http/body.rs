//! Where the body of a message ends (RFC 9112 6.3).

use super::chunked::Chunks;
use super::head::Framing;
use crate::wire::Malformed;

/// A piece of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Bytes of the content.
    Data(&'a [u8]),
    /// There is no more; what follows is another message.
    End,
}

/// Follows one body.
#[derive(Debug)]
pub enum Body {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks are.
    Chunked(Chunks),
    /// Everything belongs to it.
    UntilClose,
    /// It is over.
    Over,
}

impl Body {
    /// The body that `framing` announces.
    pub fn new(framing: Framing) -> Body {
        match framing {
            Framing::None => Body::Length(0),
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::default()),
            Framing::UntilClose | Framing::Upgraded => Body::UntilClose,
        }
    }

    /// Takes the next part from the front of `input`; `None` when all of it is used, or the body is over.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Result<Part<'a>, Malformed>> {
        match self {
            Body::Over => None,
            Body::Length(0) => {
                *self = Body::Over;
                Some(Ok(Part::End))
            }
            Body::Length(left) => {
                let count = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= count as u64;
                take(input, count)
            }
            Body::Chunked(chunks) => chunks.next(input),
            Body::UntilClose => take(input, input.len()),
        }
    }
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<Result<Part<'a>, Malformed>> {
    let (data, rest) = input.split_at(count);
    *input = rest;
    (count > 0).then_some(Ok(Part::Data(data)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(framing: Framing, bytes: &[u8]) -> (Vec<Part<'_>>, &[u8]) {
        let (mut body, mut input) = (Body::new(framing), bytes);
        let parts = std::iter::from_fn(|| body.next(&mut input)).map(Result::unwrap).collect();
        (parts, input)
    }

    #[test]
    fn each_framing_has_its_end() {
        assert_eq!(parts(Framing::None, b"next"), (vec![Part::End], &b"next"[..]));
        assert_eq!(
            parts(Framing::Length(3), b"abcnext"),
            (vec![Part::Data(b"abc"), Part::End], &b"next"[..])
        );
        assert_eq!(parts(Framing::Length(9), b"abc"), (vec![Part::Data(b"abc")], &b""[..]));
        assert_eq!(
            parts(Framing::Chunked, b"1\r\na\r\n0\r\n\r\nn"),
            (vec![Part::Data(b"a"), Part::End], &b"n"[..])
        );
        assert_eq!(parts(Framing::UntilClose, b"abc"), (vec![Part::Data(b"abc")], &b""[..]));
    }
}
