//! RPC over HTTP version 2 (MS-RPCH), the oldest transport of an RD Gateway, and the TsProxy interface in it (MS-TSGU
//! 3.2.6).
//!
//! Two HTTP bodies without end carry PDUs of connection-oriented DCE/RPC: what the client sends in that of RPC_IN_DATA,
//! what the gateway sends in that of the answer to RPC_OUT_DATA. [`rts`] sets up and keeps the two, [`rpc`] is the
//! calls' frame, [`tsproxy`] what they say.
//!
//! What authenticates somebody is never kept: tokens, cookies and statements of health are lengths.

mod ndr;
pub mod rpc;
pub mod rts;
pub mod tsproxy;
pub mod write;

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
