//! The observers against captures of real sessions and what another analyser says of them.

mod chunking;
mod comparison;
mod credssp;
mod gateways;
mod inference;
mod lab;
mod truth;
