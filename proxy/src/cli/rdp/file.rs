//! Profiles on the disk.

use crate::cli::Failure;
use crate::rdpfile::{MOST_BYTES, Profile};
use crate::relay::connect::plain_reason;
use rdpscope_certs::save::{self, Readers, SaveError};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The name of a file that stands for standard input.
pub(super) const STANDARD_INPUT: &str = "-";

/// What to call a file in a sentence.
pub(super) fn shown(path: &Path) -> String {
    match path == Path::new(STANDARD_INPUT) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// The profile in a file; a sentence where there is none.
pub(super) fn read(path: &Path) -> Result<Profile, String> {
    let is_standard_input = path == Path::new(STANDARD_INPUT);
    let bytes = if is_standard_input { bytes(io::stdin().lock()) } else { File::open(path).and_then(bytes) };
    let bytes = bytes.map_err(|error| format!("cannot read {}: {}", shown(path), plain_reason(&error)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!(
            "{} has more than {} KiB, and a profile some KiB at most: name the .rdp file, or make one with `rdpscope rdp \
             new`",
            shown(path),
            MOST_BYTES >> 10
        ));
    }
    Ok(Profile::read(&bytes))
}

/// Up to one byte more than is allowed.
fn bytes(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes the whole file or none of it; one that is there only where that is meant.
pub(super) fn write(path: &Path, content: &[u8], replace: bool) -> Result<(), Failure> {
    let rights = std::fs::metadata(path).ok().map(|metadata| metadata.permissions());
    save::write(path, content, Readers::Usual, replace).map_err(|error| match error {
        SaveError::Exists { .. } => Failure::not_done(format!(
            "{} exists already: add --force to replace it, or name another file with -o",
            path.display()
        )),
        error => Failure::not_done(error),
    })?;
    match rights {
        Some(rights) => std::fs::set_permissions(path, rights).map_err(|error| {
            Failure::not_done(format!(
                "cannot give {} the rights that it had: {}",
                path.display(),
                plain_reason(&error)
            ))
        }),
        None => Ok(()),
    }
}
