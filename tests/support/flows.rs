//! A sink that keeps everything that a capture's flows tell.

use rdpscope::capture::{FlowId, FlowOpened, FlowSink, Missing, Nanoseconds};
use rdpscope::trace::{How, Side, TcpEvidence};

/// One flow.
#[derive(Debug, PartialEq)]
pub(crate) struct Flow {
    /// How it began.
    pub(crate) opened: FlowOpened,
    /// Chunks in the order in which they were told.
    pub(crate) chunks: Vec<(Nanoseconds, Side, Vec<u8>)>,
    /// Holes, and how many bytes of their side were told before.
    pub(crate) holes: Vec<(Missing, usize)>,
    /// Who ended, in order.
    pub(crate) endings: Vec<(Side, How)>,
    /// Datagrams with their length on the wire.
    pub(crate) datagrams: Vec<(Side, Vec<u8>, usize)>,
    /// What was told at its close.
    pub(crate) evidence: Option<TcpEvidence>,
    /// Whether it was closed.
    pub(crate) is_closed: bool,
}

impl Flow {
    /// Everything that one side sent.
    pub(crate) fn bytes(&self, side: Side) -> Vec<u8> {
        let chunks = self.chunks.iter().filter(|(_, from, _)| *from == side);
        chunks.flat_map(|(.., bytes)| bytes.iter().copied()).collect()
    }

    /// What one side sent, with its holes filled from `whole`.
    pub(crate) fn filled(&self, side: Side, whole: &[u8]) -> Vec<u8> {
        let (told, mut taken, mut filled) = (self.bytes(side), 0, Vec::new());
        for (missing, before) in self.holes.iter().filter(|(missing, _)| missing.from == side) {
            filled.extend(&told[taken..*before]);
            taken = *before;
            let bytes = missing.bytes.expect("its length is known") as usize;
            filled.extend(&whole[filled.len()..filled.len() + bytes]);
        }
        filled.extend(&told[taken..]);
        filled
    }

    /// How far the stream of one side came, holes included.
    pub(crate) fn position(&self, side: Side) -> usize {
        let holes = self.holes.iter().filter(|(missing, _)| missing.from == side);
        let missing: u64 = holes.filter_map(|(missing, _)| missing.bytes).sum();
        self.bytes(side).len() + missing as usize
    }

    /// In the words of the truth files.
    pub(crate) fn end_of_stream(&self) -> String {
        let ending =
            |(side, how): &(Side, How)| format!("{side} {}", if *how == How::Reset { "RST" } else { "FIN" });
        let endings: Vec<String> = self.endings.iter().map(ending).collect();
        if endings.is_empty() { "open (no FIN or RST in the file)".into() } else { endings.join(", ") }
    }
}

/// Every flow of a capture.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// In the order in which they began.
    pub(crate) flows: Vec<Flow>,
}

impl Collected {
    fn open(&mut self, flow: FlowId) -> &mut Flow {
        let flow = &mut self.flows[flow.0 as usize];
        assert!(!flow.is_closed, "told after its close: {:?}", flow.opened);
        flow
    }
}

impl FlowSink for Collected {
    fn opened(&mut self, flow: FlowId, _at: Nanoseconds, opened: FlowOpened) {
        assert_eq!(flow.0 as usize, self.flows.len(), "flows are numbered in their order");
        self.flows.push(Flow {
            opened,
            chunks: Vec::new(),
            holes: Vec::new(),
            endings: Vec::new(),
            datagrams: Vec::new(),
            evidence: None,
            is_closed: false,
        });
    }

    fn data(&mut self, flow: FlowId, at: Nanoseconds, from: Side, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "empty chunks are not told");
        self.open(flow).chunks.push((at, from, bytes.to_vec()));
    }

    fn missing(&mut self, flow: FlowId, _at: Nanoseconds, missing: Missing) {
        let flow = self.open(flow);
        let before = flow.bytes(missing.from).len();
        flow.holes.push((missing, before));
    }

    fn ended(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, how: How) {
        let flow = self.open(flow);
        assert!(flow.endings.iter().all(|(side, _)| *side != from), "a side ends once");
        flow.endings.push((from, how));
    }

    fn datagram(&mut self, flow: FlowId, _at: Nanoseconds, from: Side, bytes: &[u8], whole: usize) {
        self.open(flow).datagrams.push((from, bytes.to_vec(), whole));
    }

    fn closed(&mut self, flow: FlowId, _at: Nanoseconds, tcp: Option<TcpEvidence>) {
        let flow = self.open(flow);
        (flow.evidence, flow.is_closed) = (tcp, true);
    }

    fn is_opaque(&self, _flow: FlowId, _from: Side) -> bool {
        false
    }

    fn unseen(&mut self, _flow: FlowId, _at: Nanoseconds, _from: Side, _count: u64) {
        panic!("nothing is opaque here");
    }
}
