//! What the tests stand on: real peers, certificates, scripted conversations, and the program under test.

#[cfg(target_os = "linux")]
pub(crate) mod browser;
pub(crate) mod captures;
#[cfg(target_os = "linux")]
pub(crate) mod capturing;
pub(crate) mod certificates;
pub(crate) mod flows;
#[cfg(target_os = "linux")]
pub(crate) mod gateway;
pub(crate) mod left_out;
#[cfg(target_os = "linux")]
pub(crate) mod netns;
pub(crate) mod oracles;
pub(crate) mod pcap;
#[cfg(target_os = "linux")]
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod rdpscope;
pub(crate) mod schema;
pub(crate) mod scripted;
pub(crate) mod seeds;
pub(crate) mod sources;
#[cfg(target_os = "linux")]
pub(crate) mod tshark;
