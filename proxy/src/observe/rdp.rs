//! The RDP session as a state machine: both byte streams from right after the X.224 confirm (or, where TLS is
//! terminated, its plaintext after CredSSP) in, messages out. PDUs are routed by MCS channel id, because the
//! data of a static channel can look like anything. Once the session is active the volume is only counted.

pub(super) mod follow;

use crate::trace::{Phase, Side};
use crate::wire::Malformed;
use crate::wire::gcc;
use crate::wire::mcs::{self, McsPdu, REASONS, RESULTS};
use crate::wire::named::Code;
use crate::wire::rdp::message::{ConnectResponse, RdpMessage};
use crate::wire::rdp::security::{self, SEC_ENCRYPT, SEC_KINDS};
use crate::wire::rdp::share::{self, OtherShareData, ShareControl};
use crate::wire::rdp::{
    autodetect, capabilities, client_info, heartbeat, licensing, logon, multitransport, redirection,
};
use crate::wire::tpkt::{self, Pdu, TPKT_VERSION};

/// The I/O channel until the server names it: every server in use takes this one.
const DEFAULT_IO_CHANNEL: u16 = 1003;
/// Broken PDUs that are told; a peer that breaks every PDU would otherwise fill the trace.
const MALFORMED_LIMIT: usize = 32;
/// Kinds of unreadable PDUs that are told; real sessions have fewer than ten.
const KIND_LIMIT: usize = 32;
/// Auto-detect results told of an active session; some servers measure several times a second, without end.
const RESULT_LIMIT: usize = 256;
/// Messages that list what a side can do, and redirections, that are told. A desktop that is resized lists it anew; a peer
/// that repeats them would turn each kilobyte into sixty of memory and thirty of trace.
const LISTS_LIMIT: u8 = 64;

const X224_DATA: [u8; 3] = [0x02, 0xF0, 0x80];

/// What went by in one direction without being told one by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fast-path PDUs.
    pub fast_path_pdus: u64,
    /// Bytes of fast-path PDUs, headers included.
    pub fast_path_bytes: u64,
    /// PDUs on static virtual channels.
    pub channel_pdus: u64,
    /// Bytes on static virtual channels.
    pub channel_bytes: u64,
}

#[derive(Debug, Clone, Default)]
struct Direction {
    /// The start of a PDU that has not come whole yet, never longer than [`tpkt::TPKT_LIMIT`].
    pending: Vec<u8>,
    /// Bytes of a fast-path PDU still to come, which nobody reads.
    skip: usize,
    /// Framing is lost; nothing more can be told of this direction.
    lost: bool,
    counts: Counts,
}

/// Follows one RDP session above X.224; never fails and never changes a byte.
#[derive(Debug, Clone)]
pub struct RdpObserver {
    encrypted_transport: bool,
    directions: [Direction; 2],
    io_channel: u16,
    message_channel: Option<u16>,
    /// Classic RDP security with encryption: every PDU has a security header.
    headers_everywhere: bool,
    phase: Phase,
    malformed: usize,
    kinds: Vec<(Side, u16, u16)>,
    heartbeat: Option<heartbeat::Heartbeat>,
    filler_seen: bool,
    announced_end: Option<Side>,
    results_told: usize,
    lists_told: u8,
}

/// The phase a message belongs to; `None` where it can come in any.
pub fn phase(message: &RdpMessage) -> Option<Phase> {
    match message {
        RdpMessage::ConnectInitial(_) | RdpMessage::ConnectResponse(_) => Some(Phase::Mcs),
        RdpMessage::ErectDomainRequest
        | RdpMessage::AttachUserRequest
        | RdpMessage::AttachUserConfirm { .. }
        | RdpMessage::ChannelJoinRequest { .. }
        | RdpMessage::ChannelJoinConfirm { .. } => Some(Phase::Channels),
        RdpMessage::SecurityExchange(_) | RdpMessage::ClientInfo(_) => Some(Phase::Info),
        RdpMessage::License(_) => Some(Phase::Licensing),
        RdpMessage::DemandActive(_) | RdpMessage::ConfirmActive(_) => Some(Phase::Capabilities),
        RdpMessage::Synchronize(_) | RdpMessage::Control(_) | RdpMessage::FontList | RdpMessage::FontMap => {
            Some(Phase::Finalization)
        }
        RdpMessage::FastPathStarted => Some(Phase::Active),
        RdpMessage::Encrypted { flags, .. } => encrypted_phase(flags.value),
        _ => None,
    }
}

/// How far a session has come that had come as far as `reached` before `message`.
pub fn reached_with(reached: Phase, message: &RdpMessage) -> Phase {
    match message {
        RdpMessage::FontMap => Phase::Active,
        message => reached.max(phase(message).unwrap_or(reached)),
    }
}

/// Encrypted PDUs still show their kind; the first ones without a kind are the capability exchange.
fn encrypted_phase(flags: u32) -> Option<Phase> {
    if flags & u32::from(security::SEC_INFO_PKT) != 0 {
        Some(Phase::Info)
    } else if flags & u32::from(security::SEC_LICENSE_PKT) != 0 {
        Some(Phase::Licensing)
    } else if flags & u32::from(SEC_KINDS) == 0 {
        Some(Phase::Capabilities)
    } else {
        None
    }
}

impl RdpObserver {
    /// `encrypted_transport`: the bytes come out of TLS, so that RDP does not encrypt them again.
    pub fn new(encrypted_transport: bool) -> Self {
        RdpObserver {
            encrypted_transport,
            directions: Default::default(),
            io_channel: DEFAULT_IO_CHANNEL,
            message_channel: None,
            headers_everywhere: false,
            phase: Phase::Mcs,
            malformed: 0,
            kinds: Vec::new(),
            heartbeat: None,
            filler_seen: false,
            announced_end: None,
            results_told: 0,
            lists_told: 0,
        }
    }

    /// How far the session has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What was only counted in the direction that `from` sends.
    pub fn counts(&self, from: Side) -> Counts {
        self.directions[from.index()].counts
    }

    /// True when the framing of this direction broke, so that nothing more is told of it.
    pub fn is_lost(&self, from: Side) -> bool {
        self.directions[from.index()].lost
    }

    /// Who sent the first Disconnect Provider Ultimatum.
    pub fn announced_end(&self) -> Option<Side> {
        self.announced_end
    }

    /// Takes the next bytes that `from` sent and appends what they say to `out`.
    pub fn data(&mut self, from: Side, bytes: &[u8], out: &mut Vec<RdpMessage>) {
        let mut pending = std::mem::take(&mut self.directions[from.index()].pending);
        if pending.is_empty() {
            let used = self.consume(from, bytes, out);
            pending.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            pending.extend_from_slice(bytes);
            let used = self.consume(from, &pending, out);
            pending.drain(..used);
        }
        self.directions[from.index()].pending = pending;
    }

    /// Reads every whole PDU and answers with the bytes taken; the rest is the start of one PDU.
    fn consume(&mut self, from: Side, bytes: &[u8], out: &mut Vec<RdpMessage>) -> usize {
        let mut used = 0;
        loop {
            let direction = &mut self.directions[from.index()];
            if direction.lost {
                return bytes.len();
            }
            let skipped = direction.skip.min(bytes.len() - used);
            direction.skip -= skipped;
            used += skipped;
            match self.next_pdu(from, bytes.get(used..).unwrap_or_default(), out) {
                Ok(Some(length)) => used += length,
                Ok(None) => return used,
                Err(fault) => {
                    self.directions[from.index()].lost = true;
                    self.report(fault, out);
                }
            }
        }
    }

    fn next_pdu(
        &mut self,
        from: Side,
        bytes: &[u8],
        out: &mut Vec<RdpMessage>,
    ) -> Result<Option<usize>, Malformed> {
        match bytes.first() {
            None => Ok(None),
            Some(&TPKT_VERSION) => {
                let Some((pdu, length)) = tpkt::next_pdu(bytes)? else { return Ok(None) };
                if let Pdu::Slow { payload } = pdu
                    && let Err(fault) = self.slow_path(from, bytes.get(payload).unwrap_or_default(), out)
                {
                    self.report(fault, out);
                }
                Ok(Some(length))
            }
            Some(_) if self.phase < Phase::Info => {
                Err(Malformed::new("tpktHeader", 0, "not a TPKT packet before Client Info"))
            }
            Some(_) => {
                let Some((header, _)) = tpkt::fast_path_header(bytes)? else { return Ok(None) };
                self.fast_path(from, header.length, out);
                Ok(Some(0))
            }
        }
    }

    fn fast_path(&mut self, from: Side, length: usize, out: &mut Vec<RdpMessage>) {
        let direction = &mut self.directions[from.index()];
        direction.skip = length;
        direction.counts.fast_path_pdus += 1;
        direction.counts.fast_path_bytes += length as u64;
        if direction.counts.fast_path_pdus == 1 {
            self.emit(RdpMessage::FastPathStarted, out);
        }
    }

    fn slow_path(&mut self, from: Side, tpdu: &[u8], out: &mut Vec<RdpMessage>) -> Result<(), Malformed> {
        let pdu = tpdu
            .strip_prefix(&X224_DATA)
            .ok_or_else(|| Malformed::new("x224Data", 0, "not an X.224 data TPDU"))?;
        let result = |result: u8| Code::new(result.into(), RESULTS);
        let message = match mcs::decode(pdu)? {
            McsPdu::ConnectInitial(connect) => {
                RdpMessage::ConnectInitial(Box::new(gcc::client_data(pdu, &connect)?))
            }
            McsPdu::ConnectResponse(connect) => {
                let data = gcc::server_data(pdu, &connect)?;
                self.learn(&data);
                let result = Code::new(connect.result.unwrap_or_default(), RESULTS);
                RdpMessage::ConnectResponse(Box::new(ConnectResponse { result, data }))
            }
            McsPdu::ErectDomainRequest => RdpMessage::ErectDomainRequest,
            McsPdu::AttachUserRequest => RdpMessage::AttachUserRequest,
            McsPdu::AttachUserConfirm { result: code, initiator } => {
                RdpMessage::AttachUserConfirm { result: result(code), initiator }
            }
            McsPdu::ChannelJoinRequest { channel_id, .. } => RdpMessage::ChannelJoinRequest { channel_id },
            McsPdu::ChannelJoinConfirm { result: code, requested, channel_id, .. } => {
                RdpMessage::ChannelJoinConfirm { result: result(code), requested, channel_id }
            }
            McsPdu::DisconnectProviderUltimatum { reason } => {
                self.announced_end.get_or_insert(from);
                RdpMessage::DisconnectProviderUltimatum { reason: Code::new(reason.into(), REASONS) }
            }
            McsPdu::Other { choice } => RdpMessage::OtherDomainPdu { choice },
            McsPdu::SendDataRequest(data) | McsPdu::SendDataIndication(data) => {
                return self.channel_data(
                    from,
                    data.channel_id,
                    pdu.get(data.payload).unwrap_or_default(),
                    out,
                );
            }
        };
        self.emit(message, out);
        Ok(())
    }

    /// Remembers what the server's settings say about the PDUs to come.
    fn learn(&mut self, data: &gcc::ServerData) {
        if let Some(network) = &data.network {
            self.io_channel = network.io_channel_id;
        }
        self.message_channel = data.message_channel_id.filter(|id| *id != 0);
        let encrypts = data.security.as_ref().is_some_and(gcc::ServerSecurity::encrypts);
        self.headers_everywhere = encrypts && !self.encrypted_transport;
    }

    fn channel_data(
        &mut self,
        from: Side,
        channel_id: u16,
        payload: &[u8],
        out: &mut Vec<RdpMessage>,
    ) -> Result<(), Malformed> {
        let is_io = channel_id == self.io_channel;
        if !is_io && Some(channel_id) != self.message_channel {
            let counts = &mut self.directions[from.index()].counts;
            counts.channel_pdus += 1;
            counts.channel_bytes += payload.len() as u64;
            return Ok(());
        }
        if is_io && !self.headers_everywhere && share::begins_share_control(payload) {
            return self.share_pdus(payload, out);
        }
        let (flags, body) = security::basic_header(payload)?;
        if flags & SEC_ENCRYPT != 0 && !self.encrypted_transport {
            if self.is_new_kind(from, flags, channel_id) {
                self.emit(RdpMessage::Encrypted { flags: security::named_flags(flags), channel_id }, out);
            }
            return Ok(());
        }
        if flags & SEC_KINDS == 0 && is_io && self.headers_everywhere {
            return self.share_pdus(body, out);
        }
        self.secured_pdu(from, channel_id, flags, body, out)
    }

    /// A PDU that its security header names.
    fn secured_pdu(
        &mut self,
        from: Side,
        channel_id: u16,
        flags: u16,
        body: &[u8],
        out: &mut Vec<RdpMessage>,
    ) -> Result<(), Malformed> {
        let message = match flags & SEC_KINDS {
            security::SEC_EXCHANGE_PKT => RdpMessage::SecurityExchange(security::security_exchange(body)?),
            security::SEC_INFO_PKT => RdpMessage::ClientInfo(Box::new(client_info::client_info(body)?)),
            security::SEC_LICENSE_PKT => RdpMessage::License(licensing::license(body)?),
            security::SEC_REDIRECTION_PKT => {
                RdpMessage::ServerRedirection(Box::new(redirection::server_redirection(body)?))
            }
            security::SEC_TRANSPORT_REQ => {
                RdpMessage::MultitransportRequest(multitransport::multitransport_request(body)?)
            }
            security::SEC_TRANSPORT_RSP => {
                RdpMessage::MultitransportResponse(multitransport::multitransport_response(body)?)
            }
            security::SEC_AUTODETECT_REQ | security::SEC_AUTODETECT_RSP => {
                let message = autodetect::autodetect(body)?;
                if !self.is_worth_telling(&message) {
                    return Ok(());
                }
                RdpMessage::AutoDetect(message)
            }
            security::SEC_HEARTBEAT => {
                let heartbeat = heartbeat::heartbeat(body)?;
                if self.heartbeat.replace(heartbeat) == Some(heartbeat) {
                    return Ok(());
                }
                RdpMessage::Heartbeat(heartbeat)
            }
            _ if self.is_new_kind(from, flags, channel_id) => {
                RdpMessage::OtherSecurityPdu { flags: security::named_flags(flags) }
            }
            _ => return Ok(()),
        };
        self.emit(message, out);
        Ok(())
    }

    /// Filler is told once, the steps of a measurement only while connecting, later results up to a limit.
    fn is_worth_telling(&mut self, message: &autodetect::AutoDetect) -> bool {
        if self.phase < Phase::Active {
            return !(message.is_filler() && std::mem::replace(&mut self.filler_seen, true));
        }
        self.results_told += usize::from(message.is_result());
        message.is_result() && self.results_told <= RESULT_LIMIT
    }

    fn share_pdus(&mut self, payload: &[u8], out: &mut Vec<RdpMessage>) -> Result<(), Malformed> {
        let mut rest = payload;
        loop {
            let control = share::share_control(rest)?;
            self.share_pdu(&control, out)?;
            rest = rest.get(control.total_length..).unwrap_or_default();
            // Servers pad; only a whole further PDU counts.
            if !share::begins_share_control(rest) {
                return Ok(());
            }
        }
    }

    fn share_pdu(&mut self, control: &ShareControl<'_>, out: &mut Vec<RdpMessage>) -> Result<(), Malformed> {
        let body = control.body;
        let message = match control.pdu_type {
            share::PDUTYPE_DEMANDACTIVEPDU => {
                RdpMessage::DemandActive(Box::new(capabilities::demand_active(body)?))
            }
            share::PDUTYPE_CONFIRMACTIVEPDU => {
                RdpMessage::ConfirmActive(Box::new(capabilities::confirm_active(body)?))
            }
            share::PDUTYPE_DEACTIVATEALLPDU => RdpMessage::DeactivateAll,
            share::PDUTYPE_SERVER_REDIR_PKT => {
                // Two bytes of padding stand before the packet.
                let packet = body.get(2..).unwrap_or_default();
                RdpMessage::ServerRedirection(Box::new(redirection::server_redirection(packet)?))
            }
            share::PDUTYPE_DATAPDU => match self.data_pdu(body)? {
                Some(message) => message,
                None => return Ok(()),
            },
            _ if self.phase == Phase::Active => return Ok(()),
            pdu_type => RdpMessage::OtherSharePdu { pdu_type },
        };
        self.emit(message, out);
        Ok(())
    }

    /// A share data PDU; `None` for the volume of an active session.
    fn data_pdu(&self, body: &[u8]) -> Result<Option<RdpMessage>, Malformed> {
        let data = share::share_data(body)?;
        if data.compressed {
            return Ok(self.other_data_pdu(&data));
        }
        let body = data.body;
        Ok(Some(match data.pdu_type2 {
            share::PDUTYPE2_SYNCHRONIZE => RdpMessage::Synchronize(share::synchronize(body)?),
            share::PDUTYPE2_CONTROL => RdpMessage::Control(share::control(body)?),
            share::PDUTYPE2_FONTLIST => RdpMessage::FontList,
            share::PDUTYPE2_FONTMAP => RdpMessage::FontMap,
            share::PDUTYPE2_SET_ERROR_INFO_PDU => RdpMessage::SetErrorInfo(share::set_error_info(body)?),
            share::PDUTYPE2_SAVE_SESSION_INFO => RdpMessage::SaveSessionInfo(logon::save_session_info(body)?),
            share::PDUTYPE2_SHUTDOWN_REQUEST => RdpMessage::ShutdownRequest,
            share::PDUTYPE2_SHUTDOWN_DENIED => RdpMessage::ShutdownDenied,
            share::PDUTYPE2_STATUS_INFO_PDU => RdpMessage::StatusInfo(share::status_info(body)?),
            share::PDUTYPE2_ARC_STATUS_PDU => {
                RdpMessage::AutoReconnectStatus(share::auto_reconnect_status(body)?)
            }
            _ => return Ok(self.other_data_pdu(&data)),
        }))
    }

    fn other_data_pdu(&self, data: &share::ShareData<'_>) -> Option<RdpMessage> {
        (self.phase < Phase::Active).then(|| RdpMessage::OtherShareData(OtherShareData::new(data)))
    }

    /// True the first time that this side sends a PDU with these flags on this channel.
    fn is_new_kind(&mut self, from: Side, flags: u16, channel_id: u16) -> bool {
        // A checksum or a counter that comes and goes does not make another kind.
        let kind = (from, flags & (SEC_KINDS | SEC_ENCRYPT), channel_id);
        let is_new = !self.kinds.contains(&kind) && self.kinds.len() < KIND_LIMIT;
        if is_new {
            self.kinds.push(kind);
        }
        is_new
    }

    fn report(&mut self, fault: Malformed, out: &mut Vec<RdpMessage>) {
        self.malformed += 1;
        if self.malformed <= MALFORMED_LIMIT {
            out.push(fault.into());
        }
    }

    fn emit(&mut self, message: RdpMessage, out: &mut Vec<RdpMessage>) {
        self.phase = reached_with(self.phase, &message);
        if is_list(&message) {
            if self.lists_told == LISTS_LIMIT {
                return;
            }
            self.lists_told += 1;
        }
        out.push(message);
    }
}

/// Whether a message may say much in few bytes.
fn is_list(message: &RdpMessage) -> bool {
    matches!(
        message,
        RdpMessage::ConnectInitial(_)
            | RdpMessage::ConnectResponse(_)
            | RdpMessage::DemandActive(_)
            | RdpMessage::ConfirmActive(_)
            | RdpMessage::ServerRedirection(_)
    )
}

#[cfg(test)]
mod captures;
#[cfg(test)]
pub(super) mod tests;
