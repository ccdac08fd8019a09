//! rdpscope: a transparent diagnostic proxy for Remote Desktop.
//!
//! Everything it knows comes from observers: they are fed `(time, side, bytes)` and answer with events. The relay,
//! and every later source of bytes, feeds the same observers; every conclusion is a rule over the finished record.
//! `wire`, `trace`, `observe`, `explain`, `diagnose` and `report` know no socket, no clock and no file.

#![warn(missing_docs)]

pub mod diagnose;
pub mod observe;
pub mod trace;
pub mod wire;
