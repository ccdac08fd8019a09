//! Profiles of the client (.rdp): lines `name:type:value` in any of the encodings that clients write.
//!
//! A profile is read without loss: every line keeps its bytes, and only a line that is changed is written anew. The
//! names that are known stand in [`keys`], what is wrong with a profile is found by [`lint`], [`retarget`] leads one
//! through the proxy, and [`new`] writes a minimal one.

pub mod address;
pub mod encoding;
pub mod keys;
pub mod lint;
pub mod new;
mod profile;
pub mod retarget;
mod shown;
pub mod signature;

pub use address::Address;
pub use encoding::Encoding;
pub use profile::{Ending, Line, Profile, Setting};

/// Bytes of the longest profile that is looked at. Real ones have some kilobytes, half of that a signature; what is
/// longer is another kind of file.
pub const MOST_BYTES: u64 = 1 << 20;
