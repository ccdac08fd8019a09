//! An experiment that starts mstsc for each attempt, as one on Windows does by itself.

use super::*;
use crate::support::left_out::say_left_out;
use std::io::{Read, Write};
use std::path::PathBuf;

/// Two arms, each so often.
const RUNS: usize = 2;

/// The program that stands in for mstsc, which is built with the tests.
pub(super) fn stand_in() -> Option<PathBuf> {
    let suite = std::env::current_exe().expect("this program has a name");
    let built = suite.ancestors().nth(2).expect("it lies in a folder of its build");
    let program = built.join("examples").join(format!("mstsc{}", std::env::consts::EXE_SUFFIX));
    program.is_file().then_some(program)
}

/// Answers every client that NLA is required, until the tests end.
pub(super) fn refuse_everybody(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // A client that leaves at once hurts no other.
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(&negotiation_failure(5));
        }
    });
}

#[test]
fn an_experiment_starts_it_for_each_attempt_and_leaves_nothing_behind() {
    let Some(stand_in) = stand_in() else {
        return say_left_out(
            "its stand-in is not built; cargo test builds it, and so does cargo build --example mstsc",
        );
    };
    let folder = TempDir::new().expect("a temporary folder is made");
    let listener = listener();
    let target = local(&listener).to_string();
    refuse_everybody(listener);
    let arguments = ["ab", &target, "--vary", "cert", "--runs", &RUNS.to_string(), "--json", "--no-trace"];
    let mut command = program();
    let client = format!("'{}' {{rdp}}", stand_in.display());
    command.args(arguments).args(["--listen", "127.0.0.1:0", "--client", &client]);
    let temporary = folder.path().join("temporary");
    std::fs::create_dir(&temporary).expect("a folder is made");
    command.envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &temporary)));
    let ran = run_command(command);

    assert_eq!(ran.exit_code, Some(1), "{}", ran.stderr);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let address = lines[0]["address"].as_str().expect("it says where it listens");
    let attempts = ran.stderr.lines().filter(|line| line.starts_with("attempt ")).count();
    let said: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("stand-in: ")).collect();
    assert_eq!((attempts, said.len()), (2 * RUNS, 2 * RUNS), "{}", ran.stderr);
    let content = format!("full address:s:{address}\r\nauthentication level:i:2\r\n");
    for line in said {
        assert!(line.contains(".rdp\"") && line.contains(&format!("{content:?}")), "{line}");
    }
    assert_eq!(lines.iter().filter(|line| line["type"] == "experiment").count(), 1, "{}", ran.stdout);
    let left: Vec<_> = std::fs::read_dir(&temporary).expect("the folder is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
