//! Every oracle of the test suite as a fuzz target: one program, and a variable that names the oracle.

#![no_main]

#[path = "../../support/oracles.rs"]
mod oracles;

use oracles::{ORACLES, Oracle};
use std::sync::LazyLock;

/// Names the oracle, as its folder in the corpus is called.
const ORACLE_VARIABLE: &str = "ORACLE";

static ORACLE: LazyLock<Oracle> = LazyLock::new(|| {
    let name = std::env::var(ORACLE_VARIABLE).expect("ORACLE names an oracle");
    let found = ORACLES.iter().find(|(oracle, _)| *oracle == name);
    found.unwrap_or_else(|| panic!("no oracle is called {name}")).1
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ORACLE(bytes));
