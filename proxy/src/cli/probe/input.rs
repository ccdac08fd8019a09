//! The targets from the command line and from files.

use super::arguments::ProbeArguments;
use crate::cli::Failure;
use crate::probe::targets::{Named, Targets};
use crate::rdpfile::Encoding;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a file of targets: far more than the most targets a run may have need. A device that never ends is none.
const MOST_BYTES: u64 = 16 << 20;
/// The name of a file that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// All targets of the run, or everything that is wrong with what was named.
pub(super) fn targets(arguments: &ProbeArguments) -> Result<Named, Failure> {
    let mut targets = Targets::default();
    for word in &arguments.words {
        match word.strip_prefix('@') {
            Some(file) => add(&mut targets, Path::new(file))?,
            None => targets.word(word),
        }
    }
    for file in &arguments.targets {
        add(&mut targets, file)?;
    }
    targets.finish().map_err(Failure::usage)
}

fn add(targets: &mut Targets, file: &Path) -> Result<(), Failure> {
    let is_standard_input = file == Path::new(STANDARD_INPUT);
    let name = if is_standard_input { "standard input".to_owned() } else { file.display().to_string() };
    let read = if is_standard_input { read(io::stdin().lock()) } else { File::open(file).and_then(read) };
    let content =
        read.map_err(|error| Failure::not_done(format!("cannot read targets from {name}: {error}")))?;
    if content.len() as u64 > MOST_BYTES {
        return Err(Failure::not_done(format!(
            "{name} is no list of targets: it has more than {} MiB",
            MOST_BYTES >> 20
        )));
    }
    targets.lines(&name, &text(&content));
    Ok(())
}

/// PowerShell's `>` and `Out-File` write UTF-16.
fn text(content: &[u8]) -> String {
    let encoding = Encoding::of(content);
    let (text, _) = encoding.decode(content.strip_prefix(encoding.mark()).unwrap_or(content));
    text
}

/// Up to one byte more than is allowed.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_the_encodings_of_windows() {
        let list = "srv01\r\nsrv02\r\n";
        for encoding in [
            Encoding::Utf8 { mark: true },
            Encoding::Utf16Little { mark: true },
            Encoding::Utf16Little { mark: false },
            Encoding::Utf16Big { mark: true },
        ] {
            let content = [encoding.mark(), &encoding.encode(list)].concat();
            assert_eq!(text(&content), list, "{encoding}");
        }
    }
}
