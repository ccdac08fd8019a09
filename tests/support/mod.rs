//! What the tests stand on: real peers, certificates, scripted conversations, and the program under test.

pub(crate) mod certificates;
pub(crate) mod left_out;
pub(crate) mod oracles;
#[cfg(target_os = "linux")]
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod rdpscope;
pub(crate) mod scripted;
pub(crate) mod seeds;
