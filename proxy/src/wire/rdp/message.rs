//! Everything that happens above X.224 on the main connection, one enum for the trace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autodetect::AutoDetect;
use super::capabilities::Capabilities;
use super::client_info::ClientInfo;
use super::heartbeat::Heartbeat;
use super::licensing::License;
use super::logon::SaveSessionInfo;
use super::multitransport::{MultitransportRequest, MultitransportResponse};
use super::redirection::ServerRedirection;
use super::security::SecurityExchange;
use super::share::{AutoReconnectStatus, Control, OtherShareData, SetErrorInfo, StatusInfo, Synchronize};
use crate::wire::Malformed;
use crate::wire::gcc::{ClientData, ServerData};
use crate::wire::named::{Code, Flags};

/// One message of an RDP session. The name in JSON is the variant in snake case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RdpMessage {
    /// MCS Connect-Initial with the client's settings.
    ConnectInitial(Box<ClientData>),
    /// MCS Connect-Response with the server's settings.
    ConnectResponse(Box<ConnectResponse>),
    /// MCS Erect Domain Request.
    ErectDomainRequest,
    /// MCS Attach User Request.
    AttachUserRequest,
    /// MCS Attach User Confirm.
    AttachUserConfirm {
        /// T.125 `Result`.
        result: Code,
        /// The user channel given to the client.
        initiator: Option<u16>,
    },
    /// MCS Channel Join Request.
    ChannelJoinRequest {
        /// The channel asked for.
        channel_id: u16,
    },
    /// MCS Channel Join Confirm.
    ChannelJoinConfirm {
        /// T.125 `Result`.
        result: Code,
        /// The channel that was asked for.
        requested: u16,
        /// The channel joined; absent when the server refused.
        channel_id: Option<u16>,
    },
    /// MCS Disconnect Provider Ultimatum.
    DisconnectProviderUltimatum {
        /// T.125 `Reason`.
        reason: Code,
    },
    /// Another MCS domain PDU.
    OtherDomainPdu {
        /// Its number in the T.125 `DomainMCSPDU` choice.
        choice: u8,
    },
    /// Security Exchange PDU.
    SecurityExchange(SecurityExchange),
    /// Client Info PDU.
    ClientInfo(Box<ClientInfo>),
    /// Licensing PDU.
    License(License),
    /// Demand Active PDU.
    DemandActive(Box<Capabilities>),
    /// Confirm Active PDU.
    ConfirmActive(Box<Capabilities>),
    /// Synchronize PDU.
    Synchronize(Synchronize),
    /// Control PDU.
    Control(Control),
    /// Font List PDU.
    FontList,
    /// Font Map PDU: the connection sequence is complete.
    FontMap,
    /// Deactivate All PDU.
    DeactivateAll,
    /// Set Error Info PDU.
    SetErrorInfo(SetErrorInfo),
    /// Save Session Info PDU.
    SaveSessionInfo(SaveSessionInfo),
    /// Shutdown Request PDU: the user closed the client's window.
    ShutdownRequest,
    /// Shutdown Request Denied PDU: the client may ask its user now.
    ShutdownDenied,
    /// Status Info PDU.
    StatusInfo(StatusInfo),
    /// Auto-Reconnect Status PDU.
    AutoReconnectStatus(AutoReconnectStatus),
    /// Another share data PDU before the session is active.
    OtherShareData(OtherShareData),
    /// Another share control PDU.
    OtherSharePdu {
        /// `pduType`, low four bits.
        pdu_type: u8,
    },
    /// Auto-Detect Request or Response PDU.
    AutoDetect(AutoDetect),
    /// Heartbeat PDU, when its values are new.
    Heartbeat(Heartbeat),
    /// Initiate Multitransport Request PDU.
    MultitransportRequest(MultitransportRequest),
    /// Initiate Multitransport Response PDU.
    MultitransportResponse(MultitransportResponse),
    /// Server Redirection PDU.
    ServerRedirection(Box<ServerRedirection>),
    /// The first fast-path PDU of a side: input from the client, updates from the server.
    FastPathStarted,
    /// A PDU of classic RDP security whose body is encrypted; told once for every kind and side.
    Encrypted {
        /// Flags of its security header.
        flags: Flags,
        /// The channel it was sent on.
        channel_id: u16,
    },
    /// A PDU whose security header announces nothing that is known here.
    OtherSecurityPdu {
        /// Flags of its security header.
        flags: Flags,
    },
    /// Bytes that break the format.
    Malformed {
        /// The structure, in the specification's word.
        structure: String,
        /// Bytes from its start.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
}

/// MCS Connect-Response: the server's answer to the client's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectResponse {
    /// T.125 `Result`; `rt-unspecified-failure` means that the server refused the settings.
    pub result: Code,
    /// The server's settings.
    #[serde(flatten)]
    pub data: ServerData,
}

impl RdpMessage {
    /// Whether this message brings its phase to a good end.
    pub fn completes_phase(&self) -> bool {
        matches!(self, RdpMessage::ConnectResponse(_) | RdpMessage::FontMap)
    }

    /// The code of a Set Error Info PDU that names a reason.
    pub fn error_info(&self) -> Option<u32> {
        match self {
            RdpMessage::SetErrorInfo(info) => Some(info.error_info).filter(|code| *code != 0),
            _ => None,
        }
    }
}

impl From<Malformed> for RdpMessage {
    fn from(fault: Malformed) -> Self {
        RdpMessage::Malformed {
            structure: fault.structure.into(),
            offset: fault.offset,
            reason: fault.reason.into(),
        }
    }
}
