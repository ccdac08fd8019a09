//! rdpscope as a party to what it otherwise only relays.

#[cfg(feature = "nla")]
pub mod credssp;
