//! The RDP PDUs inside MCS (MS-RDPBCGR 2.2.1.10 and up), each from its own slice, without secrets.

pub mod autodetect;
pub mod capabilities;
pub mod client_info;
pub mod error_info;
pub mod heartbeat;
pub mod licensing;
pub mod logon;
pub mod message;
pub mod multitransport;
pub mod redirection;
pub mod security;
pub mod share;

pub use message::RdpMessage;
