//! What must hold for any bytes that are redacted, and for any file that is said to be a bundle.

use super::files::{RAW, segments};
use super::pieces;
use rdpscope::bundle::{MANIFEST_PATH, verify_file};
use rdpscope::capture::Frame;
use rdpscope::capture::file;
use rdpscope::capture::session::{Options, Sessions};
use rdpscope::capture::tls::Secrets;
use rdpscope::rdpfile::Profile;
use rdpscope::rdpfile::keys::is_secret;
use rdpscope::redact::capture::CaptureRedaction;
use rdpscope::redact::{ClearText, Keep, Names, PseudonymKey, Redactor, learn};
use rdpscope::trace::Side;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Names as somebody would have learnt them before.
fn names() -> Names {
    let mut names = Names::new(PseudonymKey::new([7; 32]), Keep::new());
    learn::target(&mut names, "srv10.corp.example");
    learn::user(&mut names, "CORP\\walther");
    learn::address(&mut names, "192.0.2.1");
    names
}

/// Whatever a bundle takes in: redacted it is of the same shape. The first byte chooses what it is.
pub(super) fn redaction(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    match kind % 7 {
        0 => {
            let mut redactor = Redactor::new(names());
            let once = redactor.text(&text);
            assert_eq!(redactor.text(&once), once, "a pseudonym is no name");
        }
        1 => {
            let mut redacted = rest.to_vec();
            Redactor::new(names()).bytes(&mut redacted);
            assert_eq!(redacted.len(), rest.len());
        }
        2 => profile(rest),
        3 => {
            let mut names = names();
            names.learn_event_log(&text);
            let redacted = Redactor::new(names).event_log(&text);
            assert!(redacted.is_empty() || !redacted.contains("srv10.corp.example\""), "{redacted}");
        }
        4 => {
            let Ok(mut line) = serde_json::from_str::<serde_json::Value>(&text) else { return };
            let mut names = names();
            names.learn_line(&line);
            Redactor::new(names).line(&mut line);
            assert!(!line.to_string().is_empty());
        }
        5 => clear_text(rest),
        _ => capture(rest),
    }
}

/// Every line stays, and no value that is secret.
fn profile(bytes: &[u8]) {
    let mut names = names();
    names.learn_rdp_file(bytes);
    let redacted = Redactor::new(names).rdp_file(bytes);
    let (before, after) = (Profile::read(bytes), Profile::read(&redacted));
    assert_eq!(before.lines().len(), after.lines().len(), "{after:?}");
    for (_, setting) in after.settings().filter(|(_, setting)| is_secret(&setting.key.to_ascii_lowercase())) {
        assert_eq!(setting.value, "(left out)", "{}", setting.key);
    }
}

/// What no TLS protects, blanked: the same for any chunking.
fn clear_text(bytes: &[u8]) {
    let steps = super::steps_in(bytes);
    let blanked = |cut: fn(&[u8]) -> Vec<&[u8]>| {
        let (mut clear_text, mut went, mut count) = (ClearText::default(), [Vec::new(), Vec::new()], 0);
        for (side, sent) in &steps {
            for piece in cut(sent) {
                let mut piece = piece.to_vec();
                count += clear_text.blank(*side, &mut piece);
                went[side.index()].extend(piece);
            }
        }
        (
            went,
            count,
            clear_text.is_encrypted(),
            [Side::Client, Side::Server].map(|side| clear_text.said_to_proxy(side)),
        )
    };
    let whole = blanked(|sent| vec![sent]);
    assert_eq!(whole, blanked(|sent| sent.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, blanked(pieces), "in other pieces");
}

/// A capture of the packets is read again, with every packet that was kept.
fn capture(bytes: &[u8]) {
    let mut redaction = CaptureRedaction::new(None);
    for (number, (at, packet)) in (1..).zip(segments(bytes)) {
        let length = packet.len() as u32;
        redaction.frame(&Frame {
            number,
            at: u64::from(at) * 1_000,
            link: RAW as u16,
            bytes: &packet,
            length,
        });
    }
    let mut names = names();
    redaction.learn(&mut names);
    let redacted = redaction.finish(&mut Redactor::new(names), &[b"# no secrets\n"]).expect("it is short");
    let options =
        Options { capture: "any".into(), ids: "any".into(), gateways: Vec::new(), knows_command: |_| true };
    let mut sessions = Sessions::new(options, Arc::new(Secrets::new()), drop);
    let outcome =
        file::read_bytes(Path::new("any"), &redacted.bytes, &mut sessions).expect("it is a capture");
    assert_eq!((outcome.contents.frames, outcome.damage.len()), (redacted.packets, 0));
}

/// A bundle: the bytes as they are (0), or two bytes for the length of a manifest, it, and the content of one file.
pub(super) fn bundle(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let zip = match (kind, rest) {
        (0, _) => rest.to_vec(),
        (_, [high, low, rest @ ..]) => {
            let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
            zipped(&rest[..length], &rest[length..])
        }
        _ => return,
    };
    let read = verify_file(Path::new("any"), Cursor::new(zip));
    match read {
        Ok(verification) => {
            let most = 2 * verification.manifest.files.len() + 16 + rest.len();
            assert!(verification.differences.len() <= most);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A zip file with `manifest` and one file beside it.
fn zipped(manifest: &[u8], content: &[u8]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in [(MANIFEST_PATH, manifest), ("trace.jsonl", content)] {
        zip.start_file(path, options).expect("a file begins");
        zip.write_all(bytes).expect("memory takes what is written");
    }
    zip.finish().expect("it is finished").into_inner()
}
