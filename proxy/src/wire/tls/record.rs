//! TLS records of one direction, from bytes in any pieces (RFC 8446 section 5.1).
//!
//! Only fragments that can be read without keys are kept; everything else is counted and dropped as it passes.

use super::super::Malformed;

/// A record header: type, version, length.
const HEADER_LENGTH: usize = 5;
/// The longest fragment any version allows: TLSCiphertext of TLS 1.2, 2^14 + 2048 (RFC 5246 section 6.2.3).
pub const MAXIMUM_FRAGMENT_LENGTH: usize = (1 << 14) + 2048;

/// ContentType (RFC 8446 section 5.1, RFC 6520 for heartbeat).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// 20
    ChangeCipherSpec,
    /// 21
    Alert,
    /// 22
    Handshake,
    /// 23
    ApplicationData,
    /// 24
    Heartbeat,
}

impl ContentType {
    /// `None` for a number that has no name.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            20 => ContentType::ChangeCipherSpec,
            21 => ContentType::Alert,
            22 => ContentType::Handshake,
            23 => ContentType::ApplicationData,
            24 => ContentType::Heartbeat,
            _ => return None,
        })
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        match self {
            ContentType::ChangeCipherSpec => 20,
            ContentType::Alert => 21,
            ContentType::Handshake => 22,
            ContentType::ApplicationData => 23,
            ContentType::Heartbeat => 24,
        }
    }

    fn readable_without_keys(self) -> bool {
        matches!(self, ContentType::ChangeCipherSpec | ContentType::Alert | ContentType::Handshake)
    }
}

/// The five bytes before a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// What the fragment is; `ApplicationData` for everything TLS 1.3 encrypts.
    pub content_type: ContentType,
    /// legacy_record_version as on the wire.
    pub version: u16,
    /// Bytes of the fragment.
    pub length: u16,
}

impl RecordHeader {
    /// Reads the five bytes of a header.
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Result<RecordHeader, Malformed> {
        check_header(bytes)?;
        parse_header(bytes).ok_or(Malformed::new("TLSPlaintext", 0, "unknown content type"))
    }

    /// The header as on the wire.
    pub fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let ([major, minor], [high, low]) = (self.version.to_be_bytes(), self.length.to_be_bytes());
        [self.content_type.number(), major, minor, high, low]
    }
}

/// One whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its header.
    pub header: RecordHeader,
    /// Its content where the type is readable without keys and the reader was told to keep fragments.
    pub fragment: Option<Vec<u8>>,
}

/// Application data that passed through [`RecordReader::skip_application_data`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records that came to their end.
    pub records: u64,
    /// Bytes of their fragments.
    pub fragment_bytes: u64,
}

#[derive(Debug, Clone)]
enum State {
    /// Fewer than five bytes of a header.
    Header {
        bytes: [u8; HEADER_LENGTH],
        filled: usize,
    },
    Fragment {
        header: RecordHeader,
        received: usize,
        kept: Option<Vec<u8>>,
    },
    /// The bytes are no TLS records; nothing more is read.
    Broken,
}

const BETWEEN_RECORDS: State = State::Header { bytes: [0; HEADER_LENGTH], filled: 0 };

/// Splits one direction into records.
#[derive(Debug, Clone)]
pub struct RecordReader {
    state: State,
    keep_fragments: bool,
}

impl Default for RecordReader {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordReader {
    /// A reader at the first byte of TLS, keeping readable fragments.
    pub fn new() -> Self {
        RecordReader { state: BETWEEN_RECORDS, keep_fragments: true }
    }

    /// Whether fragments of later records are kept. Turn it off after the sender's ChangeCipherSpec in TLS 1.2 and
    /// older: what follows is encrypted. In TLS 1.3 leave it on: ChangeCipherSpec is a filler there, and after a
    /// HelloRetryRequest clear hellos follow it.
    pub fn keep_fragments(&mut self, keep: bool) {
        self.keep_fragments = keep;
    }

    /// The next record that ends within `input`, which advances past what was read. `None`: all of `input` was
    /// read. After an error, given once, everything is read and nothing answered.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Record, Malformed>> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    fill_header(bytes, filled, input);
                    if let Err(malformed) = check_header(&bytes[..*filled]) {
                        self.state = State::Broken;
                        return Some(Err(malformed));
                    }
                    if *filled < HEADER_LENGTH {
                        return None;
                    }
                    let header = parse_header(bytes)?;
                    self.state = self.begin_fragment(header);
                }
                State::Fragment { header, received, kept } => {
                    let missing = usize::from(header.length) - *received;
                    let (part, rest) = input.split_at(missing.min(input.len()));
                    *input = rest;
                    *received += part.len();
                    if let Some(kept) = kept {
                        kept.extend_from_slice(part);
                    }
                    if part.len() < missing {
                        return None;
                    }
                    let record = Record { header: *header, fragment: kept.take() };
                    self.state = BETWEEN_RECORDS;
                    return Some(Ok(record));
                }
                State::Broken => {
                    *input = &[];
                    return None;
                }
            }
        }
    }

    /// Passes over application data without building records, up to the first byte of a record of another type;
    /// [`RecordReader::next`] goes on from there. The fast path of an established session.
    pub fn skip_application_data(&mut self, input: &mut &[u8]) -> Skipped {
        let mut skipped = Skipped::default();
        while self.at_application_data(input) {
            match self.next(input) {
                Some(Ok(record)) => {
                    skipped.records += 1;
                    skipped.fragment_bytes += u64::from(record.header.length);
                }
                Some(Err(_)) | None => break,
            }
        }
        skipped
    }

    fn at_application_data(&self, input: &[u8]) -> bool {
        match &self.state {
            State::Header { .. } => whole_header(&self.state, input)
                .is_some_and(|header| header.content_type == ContentType::ApplicationData),
            State::Fragment { header, .. } => {
                header.content_type == ContentType::ApplicationData && !input.is_empty()
            }
            State::Broken => false,
        }
    }

    /// The record that has begun and not ended, with the bytes of its fragment so far: where a connection broke off.
    pub fn unfinished(&self) -> Option<(RecordHeader, usize)> {
        match &self.state {
            State::Fragment { header, received, .. } => Some((*header, *received)),
            State::Header { .. } | State::Broken => None,
        }
    }

    fn begin_fragment(&self, header: RecordHeader) -> State {
        let keep = self.keep_fragments && header.content_type.readable_without_keys();
        State::Fragment { header, received: 0, kept: keep.then(Vec::new) }
    }
}

fn fill_header(bytes: &mut [u8; HEADER_LENGTH], filled: &mut usize, input: &mut &[u8]) {
    let (part, rest) = input.split_at((HEADER_LENGTH - *filled).min(input.len()));
    bytes[*filled..*filled + part.len()].copy_from_slice(part);
    *filled += part.len();
    *input = rest;
}

/// The header that `state` and `input` make together, if it is whole and sound.
fn whole_header(state: &State, input: &[u8]) -> Option<RecordHeader> {
    let State::Header { bytes, filled } = state else { return None };
    let (mut bytes, mut filled, mut input) = (*bytes, *filled, input);
    fill_header(&mut bytes, &mut filled, &mut input);
    if filled < HEADER_LENGTH || check_header(&bytes).is_err() {
        return None;
    }
    parse_header(&bytes)
}

/// Faults show as soon as the byte that proves them is there: a peer that is not TLS may send no more.
fn check_header(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.first().is_some_and(|&number| ContentType::from_number(number).is_none()) {
        return Err(Malformed::new("TLSPlaintext", 0, "unknown content type"));
    }
    if bytes.get(1).is_some_and(|&major| major != 3) || bytes.get(2).is_some_and(|&minor| minor > 4) {
        return Err(Malformed::new("TLSPlaintext", 1, "unknown version"));
    }
    if let [.., high, low] = *bytes
        && bytes.len() == HEADER_LENGTH
        && usize::from(u16::from_be_bytes([high, low])) > MAXIMUM_FRAGMENT_LENGTH
    {
        return Err(Malformed::new("TLSPlaintext", 3, "longer than any record may be"));
    }
    Ok(())
}

fn parse_header(&[content_type, major, minor, high, low]: &[u8; HEADER_LENGTH]) -> Option<RecordHeader> {
    Some(RecordHeader {
        content_type: ContentType::from_number(content_type)?,
        version: u16::from_be_bytes([major, minor]),
        length: u16::from_be_bytes([high, low]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(reader: &mut RecordReader, chunks: &[&[u8]]) -> Vec<Result<Record, Malformed>> {
        let mut records = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(record) = reader.next(&mut input) {
                records.push(record);
            }
            assert!(input.is_empty());
        }
        records
    }

    fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(fragment.len()).unwrap().to_be_bytes();
        [&[content_type, 3, 3, high, low], fragment].concat()
    }

    #[test]
    fn keeps_what_is_readable_and_only_measures_the_rest() {
        let bytes =
            [record(22, b"hello"), record(20, &[1]), record(23, &[9; 300]), record(21, &[2, 45])].concat();
        let records = read_all(&mut RecordReader::new(), &[&bytes]);
        let fragments: Vec<_> =
            records.iter().map(|record| record.as_ref().unwrap().fragment.clone()).collect();
        assert_eq!(fragments, [Some(b"hello".to_vec()), Some(vec![1]), None, Some(vec![2, 45])]);
        assert_eq!(
            records[2].as_ref().unwrap().header,
            RecordHeader { content_type: ContentType::ApplicationData, version: 0x0303, length: 300 }
        );
    }

    #[test]
    fn fragments_are_not_kept_once_the_sender_encrypts() {
        let mut reader = RecordReader::new();
        reader.keep_fragments(false);
        let records = read_all(&mut reader, &[&record(22, &[7; 40])]);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].as_ref().unwrap().fragment, None);
    }

    #[test]
    fn bytes_that_are_not_tls_are_refused_once_and_at_once() {
        for (bytes, offset) in [
            (&[3u8, 0, 0, 19][..], 0),
            (b"HTTP/1.1 400", 0),
            (&[22, 2, 0], 1),
            (&[22, 3, 9], 1),
            (&[22, 3, 3, 0x48, 1], 3),
        ] {
            let mut reader = RecordReader::new();
            let records = read_all(&mut reader, &[bytes, &record(21, &[2, 45])]);
            assert_eq!(records.len(), 1, "{bytes:?}");
            assert_eq!(records[0].as_ref().unwrap_err().offset, offset, "{bytes:?}");
        }
    }

    #[test]
    fn tells_how_far_the_last_record_came() {
        let mut reader = RecordReader::new();
        read_all(&mut reader, &[&record(22, &[0; 400])[..105]]);
        let (header, received) = reader.unfinished().unwrap();
        assert_eq!((header.length, received), (400, 100));
        read_all(&mut reader, &[&[0; 300]]);
        assert_eq!(reader.unfinished(), None);
    }

    #[test]
    fn skipping_stops_before_a_record_of_another_type() {
        let bytes =
            [record(23, &[1; 10]), record(23, &[]), record(21, &[7; 26]), record(23, &[1; 5])].concat();
        let mut reader = RecordReader::new();
        let mut input = &bytes[..];
        assert_eq!(reader.skip_application_data(&mut input), Skipped { records: 2, fragment_bytes: 10 });
        assert_eq!(reader.next(&mut input).unwrap().unwrap().header.content_type, ContentType::Alert);
        assert_eq!(reader.skip_application_data(&mut input), Skipped { records: 1, fragment_bytes: 5 });
        assert!(input.is_empty());
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_records(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..400),
                proptest::collection::vec((20u8..25, proptest::collection::vec(any::<u8>(), 0..60)), 0..8)
                    .prop_map(|records| records.iter().flat_map(|(kind, body)| record(*kind, body)).collect()),
            ],
            sizes in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let whole = read_all(&mut RecordReader::new(), &[&bytes]);
            let mut rest = &bytes[..];
            let mut chunks = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, later) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = later;
            }
            prop_assert_eq!(read_all(&mut RecordReader::new(), &chunks), whole.clone());

            let mut reader = RecordReader::new();
            let (mut skipped, mut others) = (0, Vec::new());
            for chunk in chunks {
                let mut input = chunk;
                loop {
                    skipped += reader.skip_application_data(&mut input).records;
                    let Some(record) = reader.next(&mut input) else { break };
                    match record {
                        Ok(record) if record.header.content_type == ContentType::ApplicationData => skipped += 1,
                        record => others.push(record),
                    }
                }
            }
            let is_data = |record: &Result<Record, Malformed>| {
                record.as_ref().is_ok_and(|record| record.header.content_type == ContentType::ApplicationData)
            };
            prop_assert_eq!(skipped, whole.iter().filter(|record| is_data(record)).count() as u64);
            prop_assert_eq!(others, whole.into_iter().filter(|record| !is_data(record)).collect::<Vec<_>>());
        }
    }
}
