//! The report, opened in whatever the user reads pages with.

use std::path::Path;
use std::process::{Command, Stdio};

/// Opens a file as a double click does; whether that could be begun.
pub(super) fn open(file: &Path) -> bool {
    let Some(program) = opener() else { return false };
    let mut command = Command::new(program);
    command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

/// What opens files here. Without a display `xdg-open` would start a browser in this terminal.
fn opener() -> Option<&'static str> {
    match std::env::consts::OS {
        "windows" => Some("explorer.exe"),
        "macos" => Some("open"),
        _ => {
            let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")).then_some("xdg-open")
        }
    }
}
