//! What must hold for any bytes that something stands in the way of.

use super::{Steps, pieces, steps_in};
use rdpscope::alter::Note;
use rdpscope::alter::gateway::{GatewayAlterations, GatewayGate, Split, TransportChoice, TunnelSplitter};
use rdpscope::alter::impair::{Impairment, Impairments, Shaper};
use rdpscope::trace::{Direction, Side};
use rdpscope::wire::proxy_talk::{self, Part, ProxyTalk};

/// A connection to a gateway through the gate: the same for any chunking, and what nothing is said about goes on as it
/// came. The first byte says what is to be changed.
pub(super) fn gateway_gate(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let transport = TransportChoice::ALL[usize::from(first >> 1) % TransportChoice::ALL.len()];
    let alterations = GatewayAlterations { udp_off: first & 1 != 0, transport };
    let steps = steps_in(rest);
    let whole = gated(alterations, &steps, |sent| vec![sent]);
    for other in
        [gated(alterations, &steps, |sent| sent.chunks(1).collect()), gated(alterations, &steps, pieces)]
    {
        assert_eq!(whole, other, "in other pieces");
    }
    let is_changed = whole.notes.iter().any(|note| matches!(note, Note::Altered(_)));
    if !is_changed && !whole.is_refused {
        for side in [Side::Client, Side::Server] {
            let sent: Vec<u8> =
                steps.iter().filter(|(from, _)| *from == side).flat_map(|(_, sent)| sent).copied().collect();
            assert_eq!(whole.went[side.index()], sent, "of the {side}");
        }
    }
}

/// What went through a gate to a gateway.
#[derive(Debug, PartialEq)]
struct Gated {
    went: [Vec<u8>; 2],
    notes: Vec<Note>,
    is_refused: bool,
}

fn gated<'a>(
    alterations: GatewayAlterations,
    steps: &'a Steps,
    cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>,
) -> Gated {
    let (mut gate, mut went, mut notes) = (GatewayGate::new(alterations, 1), [vec![], vec![]], vec![]);
    for (side, sent) in steps {
        for piece in cut(sent) {
            gate.pass(0, *side, piece, &mut went[side.index()], &mut notes);
        }
    }
    let is_refused = gate.take_refusal().is_some();
    [Side::Client, Side::Server].into_iter().for_each(|side| gate.flush(side, &mut went[side.index()]));
    Gated { went: went.map(|pieces| pieces.concat()), notes, is_refused }
}

/// RDP taken out of a tunnel: the same for any chunking, and no more than came. Of a tunnel that breaks in its middle
/// it is only the same that it does: what framed it is gone.
pub(super) fn tunnel_splitter(bytes: &[u8]) {
    let steps = steps_in(bytes);
    let whole = split(&steps, |sent| vec![sent]);
    assert_eq!(whole, split(&steps, |sent| sent.chunks(1).collect()), "in single bytes");
    assert_eq!(whole, split(&steps, pieces), "in other pieces");
    let sent: usize = steps.iter().map(|(_, sent)| sent.len()).sum();
    let data: usize =
        whole.0.iter().filter(|(_, kind, _)| *kind == "data").map(|(.., bytes)| bytes.len()).sum();
    assert!(data <= sent, "{data} bytes of RDP in {sent}");
}

/// What came out, neighbours of one kind and side joined; what was noted, and whether data may be put in.
type Came = (Vec<(Side, &'static str, Vec<u8>)>, Vec<Note>, [bool; 2]);

fn split<'a>(steps: &'a Steps, cut: impl Fn(&'a [u8]) -> Vec<&'a [u8]>) -> Came {
    let (mut splitter, mut came, mut notes) = (TunnelSplitter::new(1), Came::default().0, Vec::new());
    for (side, sent) in steps {
        for piece in cut(sent) {
            let mut splits = Vec::new();
            splitter.pass(0, *side, piece, &mut splits, &mut notes);
            for split in splits {
                let (kind, bytes) = match split {
                    Split::Other(bytes) => ("other", bytes),
                    Split::Data(bytes) => ("data", bytes),
                    Split::End(bytes) => ("end", bytes),
                    Split::Rpc(bytes) => ("rpc", bytes),
                };
                match came.last_mut() {
                    Some((last, same, before)) if *last == *side && *same == kind => before.extend(bytes),
                    _ => came.push((*side, kind, bytes)),
                }
            }
        }
    }
    came.retain(|(.., bytes)| !bytes.is_empty());
    let is_broken =
        |note: &Note| matches!(note, Note::NotAltered(not) if not.reason.contains("is no tunnel"));
    if notes.iter().any(is_broken) {
        came.clear();
    }
    let takes_data = [Side::Client, Side::Server].map(|side| splitter.takes_data(side));
    for (side, _) in [Side::Client, Side::Server].into_iter().zip(takes_data).filter(|(_, takes)| *takes) {
        assert!(splitter.wrap(side, b"rdp", [1, 2, 3, 4]).len() > 3, "it stands in a packet");
    }
    (came, notes, takes_data)
}

/// A bad line: every byte that goes in comes out, in its order, and none before its time. The input is the impairment
/// in a line of text, then bytes that come, each after as many milliseconds as the one before it says.
pub(super) fn impairment(bytes: &[u8]) {
    /// An hour, in which every line of the least rate is done with what a fuzzer puts in.
    const LONG: u64 = 3_600_000_000;
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..line]) else { return };
    let words = text.split(' ').filter(|word| !word.is_empty());
    let Ok(asked) = words.map(str::parse::<Impairment>).collect::<Result<Vec<_>, _>>() else { return };
    for impairment in &asked {
        assert_eq!(impairment.to_string().parse::<Impairment>().as_ref(), Ok(impairment));
    }
    let Ok(impairments) = Impairments::new(asked) else { return };
    let came = bytes.get(line + 1..).unwrap_or_default();
    let mut shaper = Shaper::new(impairments.shape(Direction::Up), 1);
    let (mut now, mut went) = (0, Vec::new());
    for piece in pieces(came) {
        now += u64::from(piece[0]) * 1_000;
        drain(&mut shaper, now, &mut went);
        let room = shaper.room().min(piece.len());
        shaper.push(now, &piece[..room]);
        if room < piece.len() {
            return;
        }
    }
    shaper.finish(now);
    let end = now + LONG;
    while let Some(due) = shaper.due().filter(|due| *due <= end) {
        now = now.max(due);
        let before = went.len();
        drain(&mut shaper, now, &mut went);
        if went.len() == before {
            break;
        }
    }
    assert!(came.starts_with(&went), "in its order");
    assert!(!shaper.is_empty() || went == came, "{} of {} bytes came", went.len(), came.len());
}

fn drain(shaper: &mut Shaper, now: u64, went: &mut Vec<u8>) {
    while let Some(bytes) = shaper.next(now) {
        assert!(!bytes.is_empty(), "something is due");
        let count = bytes.len();
        went.extend_from_slice(bytes);
        shaper.took(now, count);
    }
}

/// The talk with a proxy: the same for any chunking, and nothing of a logon is taken for anything else.
pub(super) fn proxy_talk(bytes: &[u8]) {
    for start in [ProxyTalk::of_client, ProxyTalk::of_server] {
        let mut talk = start();
        let parts: Vec<Part> = bytes.iter().map(|byte| talk.byte(*byte)).collect();
        let through = parts.iter().position(|part| matches!(part, Part::Through | Part::Unknown));
        let through = through.unwrap_or(parts.len());
        assert!(parts[through..].iter().all(|part| Some(part) == parts.get(through)), "it stays as it is");
        assert_eq!(talk.length(), through);
        let mut whole = start();
        let past = whole.past(bytes);
        assert_eq!(past, (parts.get(through) != Some(&Part::Unknown)).then_some(through));
        assert_eq!((whole.destination(), whole.scheme()), (talk.destination(), talk.scheme()));
    }
    let _either = proxy_talk::destination_in(bytes);
}
