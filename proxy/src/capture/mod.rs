//! Captures in: files into packets, packets into flows, flows through the same observers as a live session.
//!
//! Each stage hands on what it has and keeps no more than the open flows need: [`FlowSink`] is where packets have become
//! streams, and what TLS hides is read where its secrets are known.

mod flow;
pub mod session;
pub mod tls;

pub use flow::{FlowId, FlowKey, FlowOpened, FlowSink, FlowTransport, Missing, Nanoseconds};
