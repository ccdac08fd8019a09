//! Names and addresses taken out of traces, captures, certificates and profiles, and put back as pseudonyms.
//!
//! A pseudonym is as long as what it stands for, so that it fits wherever the name stood, and made with a key of this
//! machine: the same name is the same pseudonym in every file and every bundle, and nobody without the key can try names.
//! First every file is asked which names it has ([`learn`]), then they are replaced everywhere ([`Redactor`]): in fields, in
//! sentences and in bytes, in the encodings that protocols use.

pub mod capture;
mod certificate;
mod clear_text;
mod event_log;
mod fields;
pub mod learn;
mod line;
mod names;
mod packet;
mod pseudonym;
mod rdp_file;
mod redactor;
#[cfg(test)]
mod tests;

pub use clear_text::ClearText;
pub use names::{Keep, Kind, Names};
pub use pseudonym::PseudonymKey;
pub use redactor::{Redactor, Replaced};
