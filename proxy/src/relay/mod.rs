//! The relay: accepts a client, connects to the server, copies bytes both ways and stamps the time.
//!
//! It changes nothing that it was not told to change: bytes, half-closes and resets pass on as they came. What passes is
//! shown to the observers after it was sent on, so that looking costs no time on the wire.

pub mod attempts;
mod busy_poll;
pub mod client_command;
mod client_log;
mod conclude;
pub mod connect;
mod exchange;
pub mod gateway;
mod impaired;
mod intercepted;
pub mod listener;
pub mod pump;
mod reach;
pub mod resolve;
pub mod room;
pub mod series;
pub mod session;
pub mod socket;
mod splice;
pub(crate) mod static_names;
pub mod target;
pub(crate) mod tcp_info;
mod tcp_socket;
mod teller;
pub mod udp;
pub mod upstream_proxy;
mod workers;
