//! The client that this machine has, where the user names none.

use crate::relay::client_command::ClientCommand;
use std::path::PathBuf;

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

/// The first that is here: mstsc on Windows, FreeRDP where there is a display.
pub(super) fn find() -> Option<ClientProgram> {
    let is_here = |name: &&'static str| in_path(name).is_some();
    if cfg!(windows) {
        let name = ["mstsc.exe"].into_iter().find(is_here)?;
        return Some(ClientProgram { name: "mstsc", command: on_file(name), asks_at_terminal: false });
    }
    std::env::var_os("DISPLAY").filter(|display| !display.is_empty())?;
    let name = ["xfreerdp3", "xfreerdp"].into_iter().find(is_here)?;
    Some(ClientProgram { name, command: on_file(name).at_terminal(), asks_at_terminal: true })
}

fn on_file(program: &str) -> ClientCommand {
    ClientCommand::of_words(vec![program.to_owned(), "{rdp}".to_owned()])
}

/// Where a program is.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
