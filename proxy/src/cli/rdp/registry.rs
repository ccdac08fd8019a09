//! The registry of this machine, to look at.

use super::switches::{Present, Switch};

/// What `switch` is set to.
pub(super) fn present(switch: &Switch) -> Present {
    match look(switch) {
        None => Present::Elsewhere,
        Some(Ok(None)) => Present::Missing,
        Some(Ok(Some(value))) => Present::Value(value),
        Some(Err(reason)) => Present::Unreadable(reason),
    }
}

/// The value, where there is one; `None` where there is no registry.
#[cfg(windows)]
fn look(switch: &Switch) -> Option<Result<Option<u32>, String>> {
    use super::switches::Root;
    use windows_registry::{CURRENT_USER, LOCAL_MACHINE, Type};

    let root = match switch.root {
        Root::CurrentUser => CURRENT_USER,
        Root::LocalMachine => LOCAL_MACHINE,
    };
    Some(match root.open(switch.path).and_then(|key| key.get_value(switch.name)) {
        Ok(value) if value.ty() != Type::U32 => Err("it is not of the type REG_DWORD".to_owned()),
        Ok(value) => u32::try_from(value).map(Some).map_err(|error| plain(&error.message())),
        Err(error) if error.code().0 == NOT_FOUND => Ok(None),
        Err(error) => Err(plain(&error.message())),
    })
}

/// Windows' sentence as a part of ours.
#[cfg(windows)]
fn plain(message: &str) -> String {
    message.trim_end_matches(['.', ' ']).to_owned()
}

/// ERROR_FILE_NOT_FOUND, for keys and for values.
#[cfg(windows)]
const NOT_FOUND: i32 = 0x8007_0002_u32 as i32;

#[cfg(not(windows))]
fn look(_: &Switch) -> Option<Result<Option<u32>, String>> {
    None
}
