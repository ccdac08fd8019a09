//! Captures in: files into packets, packets into flows, flows through the same observers as a live session.
//!
//! Each stage hands on what it has and keeps no more than the open flows need: [`FlowSink`] is where packets have become
//! streams, and what TLS hides is read where its secrets are known. Only `file` opens files.

pub mod file;
mod flow;
mod flows;
mod frame;
mod packet;
mod reassembly;
#[cfg(test)]
mod scripted;
pub mod session;
mod tcp;
pub mod tls;

pub use flow::{FlowId, FlowKey, FlowOpened, FlowSink, FlowTransport, Missing, Nanoseconds};
pub use frame::Frame;
pub use packet::{PassedOver, PassedOverCounts};
pub(crate) use packet::{Whole, whole};
pub use reassembly::Contents;
