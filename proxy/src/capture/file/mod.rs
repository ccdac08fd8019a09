//! Capture files: pcap and pcapng, compressed with gzip or not. The one place of the capture stages that opens files.
//!
//! Damage is data: it is named with its place, and what stands behind it is read.

mod blocks;
mod comments;
mod damage;
mod endian;
mod pcap;
mod pcapng;
mod record;
mod secrets;
mod window;

pub use comments::Comments;
pub use damage::{Damage, DamageKind};
pub use secrets::Secrets;

use super::reassembly::{Contents, Reassembly};
use super::{FlowSink, Frame};
use blocks::Blocks;
use damage::Damages;
use endian::Endian;
use flate2::read::MultiGzDecoder;
use pcap::Pcap;
use pcapng::PcapNg;
use record::Found;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use window::Window;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The format of a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// The classic format of tcpdump.
    Pcap,
    /// The one of Wireshark.
    PcapNg,
}

/// What reading a capture came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The format.
    pub format: FileFormat,
    /// Whether it was compressed.
    pub is_gzip: bool,
    /// What it had in it.
    pub contents: Contents,
    /// A key log stands behind packets: who took the secrets as they came may have missed those of earlier ones.
    pub has_late_secrets: bool,
    /// What is wrong with the file; the first ones.
    pub damage: Vec<Damage>,
    /// How much more is wrong.
    pub further_damage: u64,
}

/// Why a capture was not read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// A folder was named.
    #[error("{} is a folder: name the capture files in it", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// Nothing is in it.
    #[error("{} is empty: the capture was not written, or not yet flushed", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is no capture: pcap and pcapng are read, also with gzip", .path.display())]
    NoCapture {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the capture at `path` and tells `sink` its flows. Fails where the file cannot be read or is no capture.
pub fn read(path: &Path, sink: &mut dyn FlowSink) -> Result<ReadOutcome, CaptureError> {
    let (source, is_gzip) = open(path)?;
    read_source(path, source, is_gzip, sink)
}

/// Reads the bytes of a capture file as [`read`] does; errors name it as `path`.
pub fn read_bytes(path: &Path, bytes: &[u8], sink: &mut dyn FlowSink) -> Result<ReadOutcome, CaptureError> {
    let is_gzip = bytes.starts_with(&GZIP_MAGIC);
    let source: Box<dyn Read + '_> =
        if is_gzip { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) };
    read_source(path, source, is_gzip, sink)
}

/// Shows every frame of the capture at `path` to `each` and answers with what is wrong with the file. Fails where it
/// cannot be read or is no capture.
pub fn frames(path: &Path, each: &mut dyn FnMut(&Frame<'_>)) -> Result<Vec<Damage>, CaptureError> {
    let (source, _) = open(path)?;
    let read = read_all(path, source, &mut |found| {
        if let InFile::Frame(frame) = found {
            each(frame);
        }
    })?;
    Ok(read.damages.into_parts().0)
}

/// What a capture has beside its packets.
#[derive(Debug, Default)]
pub struct Beside {
    /// What opens its TLS.
    pub secrets: Secrets,
    /// What is said in it.
    pub comments: Comments,
}

/// What the capture at `path` has beside its packets; a pass of its own over the file, because secrets may stand behind the
/// packets that they belong to. A pcap file has nothing of the kind. Fails where the file cannot be read or is no capture.
pub fn beside(path: &Path) -> Result<Beside, CaptureError> {
    let mut beside = Beside::default();
    blocks_of(path, &mut |endian, kind, body| beside.block(endian, kind, body))?;
    Ok(beside)
}

/// Of what [`beside`] finds only the secrets.
pub fn secrets(path: &Path) -> Result<Secrets, CaptureError> {
    let mut secrets = Secrets::default();
    blocks_of(path, &mut |endian, kind, body| secrets.block(endian, kind, body))?;
    Ok(secrets)
}

impl Beside {
    fn block(&mut self, endian: Endian, kind: u32, body: &[u8]) {
        self.secrets.block(endian, kind, body);
        self.comments.block(endian, kind, body);
    }
}

/// Shows byte order, type and body of every block of a pcapng file to `each`; a pcap file has none.
fn blocks_of(path: &Path, each: &mut dyn FnMut(Endian, u32, &[u8])) -> Result<(), CaptureError> {
    let (source, _) = open(path)?;
    let mut window = Window::new(source);
    match format(path, &mut window)? {
        Format::Pcap(_) => Ok(()),
        Format::PcapNg(_) => each_block(&mut window, each)
            .map_err(|source| CaptureError::Read { path: path.to_owned(), source }),
    }
}

fn each_block<R: Read>(window: &mut Window<R>, each: &mut dyn FnMut(Endian, u32, &[u8])) -> io::Result<()> {
    let (mut blocks, mut damages) = (Blocks::new(), Damages::default());
    while let Some(block) = blocks.next(window, &mut damages)? {
        each(blocks.endian, block.kind, block.body(window.bytes()));
    }
    Ok(())
}

/// Whether `path` stands for standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether what is at `path` can be read a second time: a pipe cannot.
pub fn is_read_twice(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn open(path: &Path) -> Result<(Box<dyn Read>, bool), CaptureError> {
    let failed = |source| CaptureError::Read { path: path.to_owned(), source };
    let mut file: Box<dyn Read> = match is_standard_input(path) {
        true => Box::new(io::stdin()),
        false if std::fs::metadata(path).map_err(failed)?.is_dir() => {
            return Err(CaptureError::Folder { path: path.to_owned() });
        }
        false => Box::new(File::open(path).map_err(failed)?),
    };
    // A pipe cannot be read twice, so what was looked at is put before the rest.
    let mut head = Vec::new();
    file.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head).map_err(failed)?;
    let is_gzip = head == GZIP_MAGIC;
    let source = io::Cursor::new(head).chain(file);
    Ok((if is_gzip { Box::new(MultiGzDecoder::new(source)) } else { Box::new(source) }, is_gzip))
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

fn format<R: Read>(path: &Path, window: &mut Window<R>) -> Result<Format, CaptureError> {
    let failed = |source| CaptureError::Read { path: path.to_owned(), source };
    if window.want(pcap::FILE_HEADER).map_err(failed)? == 0 {
        return Err(CaptureError::Empty { path: path.to_owned() });
    }
    if window.bytes().starts_with(&blocks::SECTION_HEADER.to_be_bytes()) {
        return Ok(Format::PcapNg(PcapNg::new()));
    }
    let pcap = Pcap::from_header(window.bytes());
    pcap.map(Format::Pcap).ok_or_else(|| CaptureError::NoCapture { path: path.to_owned() })
}

fn read_source<R: Read>(
    path: &Path,
    source: R,
    is_gzip: bool,
    sink: &mut dyn FlowSink,
) -> Result<ReadOutcome, CaptureError> {
    let (mut reassembly, mut has_frames, mut has_late_secrets) = (Reassembly::default(), false, false);
    let read = read_all(path, source, &mut |found| match found {
        InFile::Frame(frame) => {
            has_frames = true;
            reassembly.frame(frame, sink);
        }
        InFile::KeyLog(text) => {
            has_late_secrets |= has_frames;
            sink.secrets(text);
        }
    })?;
    let (damage, further_damage) = read.damages.into_parts();
    let contents = reassembly.finish(sink);
    Ok(ReadOutcome { format: read.format, is_gzip, contents, has_late_secrets, damage, further_damage })
}

/// What a file has in it, in its order.
enum InFile<'a> {
    Frame(&'a Frame<'a>),
    /// The text of a TLS key log.
    KeyLog(&'a [u8]),
}

/// What reading a whole file came to.
struct AllRead {
    format: FileFormat,
    damages: Damages,
}

fn read_all<R: Read>(
    path: &Path,
    source: R,
    each: &mut dyn FnMut(InFile<'_>),
) -> Result<AllRead, CaptureError> {
    let failed = |source| CaptureError::Read { path: path.to_owned(), source };
    let mut window = Window::new(source);
    let mut format = format(path, &mut window)?;
    let (mut damages, mut number) = (Damages::default(), 0);
    loop {
        let found = match &mut format {
            Format::Pcap(pcap) => pcap.next(&mut window, &mut damages),
            Format::PcapNg(pcapng) => pcapng.next(&mut window, &mut damages),
        };
        let record = match found.map_err(failed)? {
            Some(Found::Packet(record)) => record,
            Some(Found::KeyLog(place)) => {
                each(InFile::KeyLog(&window.bytes()[place]));
                continue;
            }
            None => break,
        };
        number += 1 + passed_over(&mut format);
        let bytes = &window.bytes()[record.place];
        let frame = Frame { number, at: record.at, link: record.link, bytes, length: record.length };
        each(InFile::Frame(&frame));
    }
    if let Some(reason) = window.take_broken() {
        damages.push(window.offset(), DamageKind::Compression { reason });
    }
    let format = if matches!(format, Format::Pcap(_)) { FileFormat::Pcap } else { FileFormat::PcapNg };
    Ok(AllRead { format, damages })
}

/// Packets before this one that could not be read have their numbers, too.
fn passed_over(format: &mut Format) -> u64 {
    match format {
        Format::Pcap(_) => 0,
        Format::PcapNg(pcapng) => pcapng.take_passed_over(),
    }
}

#[cfg(test)]
mod tests;
