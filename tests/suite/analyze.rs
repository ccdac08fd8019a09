//! `rdpscope analyze` over real captures and over files that are none.

mod bad_input;
mod known;
pub(crate) mod program;
mod secrets;
mod shown;
