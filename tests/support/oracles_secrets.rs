//! What must hold for any TLS whose secrets are said to be known, or that rdpscope terminates.

use super::{Steps, are_bounded, pieces, steps_in};
use rdpscope::capture::tls::{Secrets, TlsStream};
use rdpscope::observe::Opened;
use rdpscope::observe::Timeline;
use rdpscope::observe::terminated::TerminatedObserver;
use rdpscope::trace::{Event, Line, Side};
use rdpscope_certs::Name;
use rdpscope_certs::authority::Authority;
use rdpscope_certs::inspect::inspect;
use rdpscope_certs::key::{KeyKind, PrivateKey};
use rdpscope_certs::mint::{LeafKey, Request, mint};
use rdpscope_certs::mode::{Recipe, Repair};
use std::sync::{Arc, OnceLock};

/// Some moment, in seconds since 1970.
const NOW: i64 = 1_795_219_200;

/// TLS of a capture, opened with a key log: the same for any chunking, and no more than came. Two bytes say how long the
/// key log is, then it comes, then steps.
pub(super) fn decryption(bytes: &[u8]) {
    let [high, low, rest @ ..] = bytes else { return };
    let (key_log, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(rest.len()));
    let secrets = Arc::new(Secrets::new());
    let outcome = secrets.add_key_log(key_log);
    let lines = key_log.split(|byte| *byte == b'\n').count() as u64;
    assert!(outcome.taken + outcome.not_needed + outcome.not_understood <= lines, "{outcome:?}");
    let steps = steps_in(rest);
    let whole = opened(&secrets, &steps, |sent| vec![sent]);
    assert_eq!(whole, opened(&secrets, &steps, |sent| sent.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, opened(&secrets, &steps, pieces), "in other pieces");
    let sent: usize = steps.iter().map(|(_, sent)| sent.len()).sum();
    let clear: usize = whole.0.iter().map(length).sum();
    assert!(clear <= sent, "{clear} bytes out of {sent}");
}

fn length(opened: &Opened) -> usize {
    match opened {
        Opened::Plaintext { bytes, .. } => bytes.len(),
        Opened::Certificate { chain, .. } => chain.iter().map(Vec::len).sum(),
        _ => 0,
    }
}

fn opened<'a>(
    secrets: &Arc<Secrets>,
    steps: &'a Steps,
    cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
) -> (Vec<Opened>, String) {
    let (mut stream, mut out) = (TlsStream::new(Arc::clone(secrets)), Vec::new());
    for (side, sent) in steps {
        cut(sent).into_iter().for_each(|piece| stream.data(*side, piece, &mut out));
    }
    (out, format!("{:?}", stream.status()))
}

/// Private keys for captures, as files.
pub(super) fn private_key(bytes: &[u8]) {
    let secrets = Secrets::new();
    match secrets.add_rsa_key(bytes) {
        Ok(()) => assert!(!secrets.is_empty()),
        Err(error) => assert!(secrets.is_empty() && !error.to_string().is_empty()),
    }
}

/// A session whose TLS is terminated: the same lines for any chunking, and no more than the bytes account for. The first
/// byte chooses the selected protocol; then steps, in which two bits below the side say what comes: bytes of TLS from
/// it, bytes of TLS from us, what it says inside, or a message of CredSSP.
pub(super) fn terminated_observer(bytes: &[u8]) {
    let Some((protocol, mut rest)) = bytes.split_first() else { return };
    let protocol = super::SELECTED_PROTOCOLS[usize::from(*protocol) % super::SELECTED_PROTOCOLS.len()];
    let (mut steps, mut sent) = (Vec::new(), 0);
    while let [first, second, after @ ..] = rest {
        let side = if first & 0x80 == 0 { Side::Client } else { Side::Server };
        let length = usize::from(first & 0x1f) << 8 | usize::from(*second);
        let (bytes, after) = after.split_at(length.min(after.len()));
        steps.push((side, first >> 5 & 3, bytes));
        (rest, sent) = (after, sent + bytes.len());
    }
    let whole = terminated(protocol, &steps, |bytes| vec![bytes]);
    assert_eq!(whole, terminated(protocol, &steps, |bytes| bytes.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, terminated(protocol, &steps, pieces), "in other pieces");
    are_bounded(&whole, sent);
}

fn terminated<'a>(
    protocol: Option<u32>,
    steps: &[(Side, u8, &'a [u8])],
    cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
) -> Vec<Line> {
    let (mut observer, mut events) = (TerminatedObserver::new(protocol), Vec::<Event>::new());
    let mut t_us = 0;
    for (side, what, bytes) in steps {
        t_us += 1000;
        match what {
            0 | 1 => cut(bytes)
                .into_iter()
                .for_each(|piece| observer.wire(t_us, *side, *what == 1, piece, &mut events)),
            2 => cut(bytes).into_iter().for_each(|piece| observer.plaintext(t_us, *side, piece, &mut events)),
            _ => observer.credssp(t_us, *side, false, bytes, &mut events),
        }
    }
    [Side::Client, Side::Server].into_iter().for_each(|side| observer.ended(t_us, side, &mut events));
    let (mut timeline, mut lines) = (Timeline::default(), Vec::new());
    events.into_iter().for_each(|event| timeline.push(event, &mut lines));
    timeline.finish(t_us, &mut lines);
    lines
}

/// A server's certificate, mirrored: there is none, or one for our key that can be read. The first byte chooses what
/// is repaired.
pub(super) fn mirror(bytes: &[u8]) {
    static MADE: OnceLock<(Authority, PrivateKey)> = OnceLock::new();
    let Some((repairs, original)) = bytes.split_first() else { return };
    let name = Name::Dns("host.example".to_owned());
    let (authority, key) = MADE.get_or_init(|| {
        let key = || PrivateKey::generate(KeyKind::P256).expect("a key is made");
        (Authority::new(std::slice::from_ref(&name), key(), NOW).expect("a CA is made"), key())
    });
    let chosen = |(bit, repair): (usize, &Repair)| (repairs >> bit & 1 == 1).then_some(*repair);
    let recipe = Recipe::Mirror(Repair::ALL.iter().enumerate().filter_map(chosen).collect());
    let (names, server_chain) = ([name], [original.to_vec()]);
    let request =
        Request { names: &names, server_chain: &server_chain, authority, now: NOW, key: LeafKey::Given(key) };
    if let Ok(minted) = mint(&recipe, &request) {
        let leaf = minted.identity.leaf();
        assert!(key.belongs_to(leaf), "it is for our key");
        assert!(inspect(leaf).is_ok(), "{}", String::from_utf8_lossy(leaf));
    }
}
