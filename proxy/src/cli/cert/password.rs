//! Passwords come from files: never from the command line, where others see them.

use crate::cli::Failure;
use rdpscope_certs::load;
use std::path::Path;
use zeroize::Zeroizing;

/// The first line of the file.
pub(in crate::cli) fn read(path: Option<&Path>) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let bytes = load::read(path).map_err(Failure::not_done)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        Failure::not_done(format!("the password in {} is not UTF-8: save the file so", path.display()))
    })?;
    let line = text.strip_prefix('\u{feff}').unwrap_or(text).lines().next().unwrap_or_default();
    if line.is_empty() {
        let path = path.display();
        return Err(Failure::not_done(format!("there is no password in the first line of {path}")));
    }
    Ok(Some(Zeroizing::new(line.to_owned())))
}
