//! The client that this machine has, where the user names none.

use crate::client_system::mstsc;
use crate::relay::client_command::ClientCommand;
use std::path::{Path, PathBuf};

/// A client on this machine, which its user sees and types into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientProgram {
    /// Its name.
    pub(super) name: &'static str,
    /// What starts it on an .rdp file.
    pub(super) command: ClientCommand,
    /// It asks for the logon on the terminal.
    pub(super) asks_at_terminal: bool,
}

/// FreeRDP by its names, the ones that ask in a window first, with whether they ask on the terminal.
const FREERDP: [(&str, bool); 6] = [
    ("sdl-freerdp3", false),
    ("sdl-freerdp", false),
    ("xfreerdp3", true),
    ("xfreerdp", true),
    ("wlfreerdp3", true),
    ("wlfreerdp", true),
];
/// Where a display is named.
const DISPLAYS: [&str; 2] = ["DISPLAY", "WAYLAND_DISPLAY"];

/// The first that is here: mstsc on Windows, what opens such files on macOS, FreeRDP elsewhere where there is a display.
pub(super) fn find() -> Option<ClientProgram> {
    match std::env::consts::OS {
        "windows" => {
            let command = on_file(vec![text(&mstsc::program()?)]);
            Some(ClientProgram { name: "mstsc", command, asks_at_terminal: false })
        }
        "macos" => {
            let command = on_file(vec!["open".to_owned(), "-W".to_owned()]);
            Some(ClientProgram { name: "your client", command, asks_at_terminal: false })
        }
        _ => {
            let has_display =
                |name: &&&str| std::env::var_os(name).is_some_and(|display| !display.is_empty());
            DISPLAYS.iter().find(has_display)?;
            let here = |(name, asks): &(&'static str, bool)| in_path(name).map(|path| (*name, path, *asks));
            let (name, path, asks_at_terminal) = FREERDP.iter().find_map(here)?;
            let command = on_file(vec![text(&path)]).at_terminal();
            Some(ClientProgram { name, command, asks_at_terminal })
        }
    }
}

fn on_file(mut words: Vec<String>) -> ClientCommand {
    words.push("{rdp}".to_owned());
    ClientCommand::of_words(words)
}

/// Where a program is.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
