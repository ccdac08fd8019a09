//! The observers against captures of real sessions and what another analyser says of them.

mod analyzed;
mod chunking;
mod comparison;
mod credssp;
mod decryption;
mod gateways;
mod inference;
mod lab;
mod truth;
