//! rdpscope: a transparent diagnostic proxy for Remote Desktop.
//!
//! Everything it knows comes from observers: they are fed `(time, side, bytes)` and answer with events. The relay,
//! and every later source of bytes, feeds the same observers; every conclusion is a rule over the finished record.
//! `wire`, `trace`, `rdpfile`, `observe`, `alter`, `explain`, `diagnose`, `experiment` and `report` know no socket, no clock
//! and no file.

pub mod alter;
pub mod build;
pub mod bundle;
pub mod capture;
pub mod cli;
pub mod client_system;
pub mod dashboard;
pub mod demo;
pub mod diagnose;
pub mod experiment;
pub mod explain;
pub mod intercept;
pub mod observe;
pub mod otlp;
pub mod probe;
pub mod rdpfile;
pub mod recorder;
pub mod redact;
pub mod relay;
pub mod report;
pub mod trace;
pub mod wire;
