//! Sessions whose TLS ends here: one connection with the client and one with the server, what lies between them in
//! clear, and rdpscope as a party to what it otherwise only relays.

#[cfg(feature = "nla")]
pub mod credssp;
pub mod presenter;
pub mod settings;
pub mod tls;
