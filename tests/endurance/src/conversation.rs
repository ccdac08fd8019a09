//! Recorded sessions: the seeds of the fuzz corpus, as who sends what.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// One message after the other.
pub type Steps = Vec<(Side, Vec<u8>)>;

/// The protocols that the first byte of a seed selects from: RDP, SSL, HYBRID, HYBRID_EX (MS-RDPBCGR 2.2.1.2.1).
const SELECTED: [u8; 4] = [0, 1, 2, 8];

/// All sessions of the corpus below `folder`, with their names.
pub fn recorded(folder: &Path) -> Result<Vec<(String, Steps)>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let sessions = paths.iter().map(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, steps(&fs::read(path)?)))
    });
    let sessions = sessions.collect::<Result<Vec<_>>>()?;
    ensure!(!sessions.is_empty(), "there is no session in {}", folder.display());
    Ok(sessions)
}

/// The seed of a session: a byte for how it begins, then steps, each with its side and length before its bytes.
fn steps(seed: &[u8]) -> Steps {
    let Some((beginning, mut rest)) = seed.split_first() else { return Steps::new() };
    let mut steps = match usize::from(beginning % 5) {
        0 => Steps::new(),
        beginning => negotiation(SELECTED[beginning - 1]),
    };
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(first & 0x7f) << 8 | usize::from(*second);
        let (sent, after) = after.split_at(length.min(after.len()));
        steps.push((side, sent.to_vec()));
        rest = after;
    }
    steps
}

/// A request that asks for everything, and the confirm that selects `protocol`.
fn negotiation(protocol: u8) -> Steps {
    let request = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 11, 0, 0, 0];
    let confirm = [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, protocol, 0, 0, 0];
    vec![(Side::Client, request.to_vec()), (Side::Server, confirm.to_vec())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_as_its_steps() {
        let seed = [2, 0x00, 2, 7, 8, 0x80, 1, 9, 0x00, 5, 1];
        let read = steps(&seed);
        assert_eq!(read[1].1[15], 1);
        let expected = [(Side::Client, vec![7, 8]), (Side::Server, vec![9]), (Side::Client, vec![1])];
        assert_eq!(read[2..], expected);
    }
}
