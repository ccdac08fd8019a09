//! The oracles of the test suite, as fuzz targets call them.

#[path = "../../support/oracles.rs"]
mod oracles;

/// Lets the oracle of `target` judge `bytes`; it panics where they break a promise.
pub fn judge(target: &str, bytes: &[u8]) {
    let oracle = oracles::ORACLES.iter().find(|(name, _)| *name == target);
    oracle.unwrap_or_else(|| panic!("no oracle is called {target}")).1(bytes);
}
