//! One direction of a connection that was upgraded to WebSocket: frames, and the tunnel in them.

use super::At;
use super::attempt::Attempt;
use crate::observe::tls::malformed_detail;
use crate::trace::{Detail, Event, GatewayMessage, Phase};
use crate::wire::websocket::{Frames, Piece, opcode, unmask};

/// Control frames told of one direction, and frames that break the rules.
const MOST_FRAMES_TOLD: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Websocket {
    frames: Frames,
    pub(super) tunnel: Option<usize>,
    told: usize,
    /// The body of a control frame, its beginning.
    control: Vec<u8>,
}

impl Websocket {
    /// Frames that carry `tunnel`.
    pub(super) fn new(tunnel: Option<usize>) -> Websocket {
        Websocket { frames: Frames::default(), tunnel, told: 0, control: Vec::new() }
    }

    /// Follows the frames; false where nothing more can be told.
    pub(super) fn data(
        &mut self,
        at: At,
        mut bytes: &[u8],
        attempt: &mut Attempt,
        out: &mut Vec<Event>,
    ) -> bool {
        let mut in_control = self.frames.is_in_control();
        while let Some(piece) = self.frames.next(&mut bytes) {
            match piece {
                Ok(Piece::Header(header)) if header.reserved != 0 => {
                    let reason = "frames of WebSocket are compressed or otherwise extended".to_owned();
                    at.tell(self.phase(attempt), Detail::ObservationStopped { reason }, out);
                    return self.lose(at, attempt);
                }
                Ok(Piece::Header(header)) => {
                    in_control = header.is_control();
                    if let Some(fault) = header.fault().filter(|_| self.may_tell()) {
                        at.tell(self.phase(attempt), malformed_detail(&fault, &[]), out);
                    }
                }
                Ok(Piece::Payload { bytes, mask }) if in_control => self.control(bytes, mask),
                Ok(Piece::Payload { bytes, mask }) => {
                    if let Some(tunnel) = self.tunnel {
                        attempt.data(at, tunnel, bytes, mask, out);
                    }
                }
                Ok(Piece::End(header)) => {
                    let body = std::mem::take(&mut self.control);
                    if let Some(name) = header.control_name().filter(|_| self.may_tell()) {
                        let status = body.first_chunk().map(|status| u16::from_be_bytes(*status));
                        let message = GatewayMessage::WebsocketControl {
                            frame: name.to_owned(),
                            status: status.filter(|_| header.opcode == opcode::CLOSE),
                            length: usize::try_from(header.length).unwrap_or(usize::MAX),
                        };
                        at.tell(self.phase(attempt), message, out);
                    }
                }
                Err(fault) => {
                    at.tell(self.phase(attempt), malformed_detail(&fault, &[]), out);
                    let reason = "the frames of WebSocket cannot be followed".to_owned();
                    at.tell(self.phase(attempt), Detail::ObservationStopped { reason }, out);
                    return self.lose(at, attempt);
                }
            }
        }
        true
    }

    /// How far its tunnel is, which the bytes before may have changed.
    fn phase(&self, attempt: &Attempt) -> Phase {
        self.tunnel.map_or(Phase::GatewayTunnel, |tunnel| attempt.phase(tunnel))
    }

    fn lose(&self, at: At, attempt: &mut Attempt) -> bool {
        if let Some(tunnel) = self.tunnel {
            attempt.lose(tunnel, at.from);
        }
        false
    }

    fn may_tell(&mut self) -> bool {
        self.told += 1;
        self.told <= MOST_FRAMES_TOLD
    }

    /// Keeps the status of a close frame.
    fn control(&mut self, bytes: &[u8], mask: Option<[u8; 4]>) {
        const STATUS: usize = 2;
        let count = bytes.len().min(STATUS - self.control.len());
        let mut plain = [0; STATUS];
        unmask(&bytes[..count], mask, &mut plain);
        self.control.extend_from_slice(&plain[..count]);
    }
}
