//! State machines from `(time, side, bytes)` to events; they never fail and never change a byte.

pub mod udp;
pub mod udp_message;
