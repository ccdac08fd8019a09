//! Keys and certificates for rdpscope. Knows nothing of the proxy, of sockets or of the time.

#![warn(missing_docs)]

pub mod authority;
pub mod clients;
mod der;
mod identity;
pub mod inspect;
pub mod key;
pub mod load;
pub mod mint;
mod mirror;
pub mod mode;
mod name;
pub mod save;
pub mod show;
mod template;
#[cfg(test)]
mod testing;
pub mod trust;

pub use identity::Identity;
pub use name::{Name, NameError};
