//! `--open`: the client of this system is found on the path; a program of the tests stands in for it.

use super::mstsc::{refuse_everybody, stand_in};
use super::*;
use crate::support::left_out::say_left_out;

#[test]
fn what_is_missing_is_said() {
    let nothing = TempDir::new().expect("a temporary folder is made");
    let mut command = program();
    command.args(["proxy", "127.0.0.1:9", "--no-trace", "--open"]).env("PATH", nothing.path());
    run_command(command).assert_refused(3, "no client that opens .rdp files is on the path");
    let both = run(&["proxy", "127.0.0.1:9", "--open", "--client", "x"]);
    assert_eq!(both.exit_code, Some(2), "one of them is enough:\n{}", both.stderr);
}

/// What the stand-in says of the file that it was opened on, with `arguments` for rdpscope.
fn opened(folder: &std::path::Path, arguments: &[&str]) -> Option<String> {
    let [path, traces] = ["path", "traces of today"].map(|name| folder.join(name));
    std::fs::create_dir(&path).expect("a folder is made");
    std::os::unix::fs::symlink(stand_in()?, path.join("xfreerdp")).expect("a link is made");
    let mut command = program();
    command.args(["proxy", "--listen", "127.0.0.1:0", "--open", "--trace"]).arg(&traces);
    // One of these is only looked for where there is a display, which the stand-in does not need.
    command.args(arguments).env("PATH", &path).env("DISPLAY", ":0");
    let ran = run_command(command);
    let said = ran.stderr.lines().find(|line| line.starts_with("stand-in: "));
    let said = said.unwrap_or_else(|| panic!("nothing was opened:\n{}", ran.stderr)).to_owned();
    assert!(ran.stderr.contains("this opens a client on it: "), "{}", ran.stderr);
    let left = std::fs::read_dir(&traces).expect("it is there").map(|entry| entry.expect("an entry").path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some_and(|ending| ending == "rdp")).collect();
    assert!(left.is_empty(), "{left:?}");
    Some(said)
}

#[test]
fn a_client_is_opened_on_a_file_that_points_here_and_is_gone_afterwards() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let listener = listener();
    let target = local(&listener).to_string();
    refuse_everybody(listener);
    let Some(said) = opened(folder.path(), &[&target, "--sessions", "1"]) else {
        return say_left_out("its stand-in is not built; cargo build --example mstsc builds it");
    };
    let [file, content] = [".rdp\"", "full address:s:127.0.0.1:"];
    assert!(said.contains(file) && said.contains("traces of today") && said.contains(content), "{said}");
}

#[test]
fn a_client_that_goes_through_a_gateway_is_told_of_it() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let server = listener();
    let target = local(&server).to_string();
    refuse_everybody(server);
    // The stand-in knows no gateways, and dials the server itself.
    let arguments = [&target, "--gateway", "127.0.0.1:9", "--for", "20s"];
    let Some(said) = opened(folder.path(), &arguments) else {
        return say_left_out("its stand-in is not built; cargo build --example mstsc builds it");
    };
    let content = [format!("full address:s:{target}"), "gatewayhostname:s:127.0.0.1:".to_owned()];
    assert!(content.iter().all(|line| said.contains(line.as_str())), "{said}");
}
