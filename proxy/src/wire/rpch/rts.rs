//! RTS PDUs (MS-RPCH 2.2.3.6): what sets up the two channels of a virtual connection, keeps them and replaces them.

use super::rpc::Header;
use crate::wire::{Malformed, Reader};

/// PTYPE of an RTS PDU.
pub const PDU_TYPE: u8 = 20;

/// Bytes of the header that every PDU of DCE/RPC has.
const COMMON_HEADER_LENGTH: usize = 16;

/// Flags of the RTS header (MS-RPCH 2.2.3.6.1).
const NONE: u16 = 0x0000;
const PING: u16 = 0x0001;
const OTHER_CMD: u16 = 0x0002;
const RECYCLE_CHANNEL: u16 = 0x0004;
const IN_CHANNEL: u16 = 0x0008;
const OUT_CHANNEL: u16 = 0x0010;
const EOF: u16 = 0x0020;
const ECHO: u16 = 0x0040;

/// Commands (MS-RPCH 2.2.3.5).
const RECEIVE_WINDOW_SIZE: u32 = 0;
const FLOW_CONTROL_ACK: u32 = 1;
const CONNECTION_TIMEOUT: u32 = 2;
const COOKIE: u32 = 3;
const CHANNEL_LIFETIME: u32 = 4;
const CLIENT_KEEPALIVE: u32 = 5;
const VERSION: u32 = 6;
const EMPTY: u32 = 7;
const PADDING: u32 = 8;
const NEGATIVE_ANCE: u32 = 9;
const ANCE: u32 = 10;
const CLIENT_ADDRESS: u32 = 11;
const ASSOCIATION_GROUP_ID: u32 = 12;
const DESTINATION: u32 = 13;
const PING_TRAFFIC_SENT_NOTIFY: u32 = 14;

/// Bytes of ClientAddress after its address.
const CLIENT_ADDRESS_PADDING: usize = 12;

/// Commands of one PDU that are kept; the longest in the specification has seven.
const MOST_COMMANDS: usize = 16;

/// A PDU's name, its flags and its commands.
type Form = (&'static str, u16, &'static [u32]);

/// What a client sends (MS-RPCH 2.2.4). Where the two ways of replacing a channel begin alike, both are named.
const FROM_CLIENT: &[Form] = &[
    ("CONN/A1", NONE, &[VERSION, COOKIE, COOKIE, RECEIVE_WINDOW_SIZE]),
    ("CONN/B1", NONE, &[VERSION, COOKIE, COOKIE, CHANNEL_LIFETIME, CLIENT_KEEPALIVE, ASSOCIATION_GROUP_ID]),
    ("IN_R1/A1 or IN_R2/A1", RECYCLE_CHANNEL, &[VERSION, COOKIE, COOKIE, COOKIE]),
    ("IN_R1/A5 or IN_R2/A5", NONE, &[COOKIE]),
    ("OUT_R1/A3 or OUT_R2/A3", RECYCLE_CHANNEL, &[VERSION, COOKIE, COOKIE, COOKIE, RECEIVE_WINDOW_SIZE]),
    ("OUT_R1/A7", OUT_CHANNEL, &[DESTINATION, COOKIE]),
    ("OUT_R2/A7", OUT_CHANNEL, &[DESTINATION, COOKIE, VERSION]),
    ("OUT_R1/A11", NONE, &[ANCE]),
    ("OUT_R2/C1", PING, &[EMPTY]),
    ("Keep-Alive", OTHER_CMD, &[CLIENT_KEEPALIVE]),
    ("PingTrafficSentNotify", OTHER_CMD, &[PING_TRAFFIC_SENT_NOTIFY]),
];

/// What a gateway sends its client.
const FROM_GATEWAY: &[Form] = &[
    ("CONN/A3", NONE, &[CONNECTION_TIMEOUT]),
    ("CONN/C2", NONE, &[VERSION, RECEIVE_WINDOW_SIZE, CONNECTION_TIMEOUT]),
    ("IN_R1/A4", NONE, &[DESTINATION, VERSION, RECEIVE_WINDOW_SIZE, CONNECTION_TIMEOUT]),
    ("IN_R2/A4", NONE, &[DESTINATION]),
    ("OUT_R1/A2 or OUT_R2/A2", RECYCLE_CHANNEL, &[DESTINATION]),
    ("OUT_R1/A6", OUT_CHANNEL, &[DESTINATION, VERSION, CONNECTION_TIMEOUT]),
    ("OUT_R1/A10", NONE, &[ANCE]),
    ("OUT_R2/A6", NONE, &[DESTINATION, ANCE]),
    ("OUT_R2/B3", EOF, &[ANCE]),
];

/// What either sends, and what sets up a connection behind the gateway: a box that passes it on shows it to us.
const FROM_ANYBODY: &[Form] = &[
    ("FlowControlAck", OTHER_CMD, &[FLOW_CONTROL_ACK]),
    ("FlowControlAckWithDestination", OTHER_CMD, &[DESTINATION, FLOW_CONTROL_ACK]),
    ("Ping", PING, &[]),
    ("Echo", ECHO, &[]),
    ("CONN/A2", OUT_CHANNEL, &[VERSION, COOKIE, COOKIE, CHANNEL_LIFETIME, RECEIVE_WINDOW_SIZE]),
    (
        "CONN/B2",
        IN_CHANNEL,
        &[
            VERSION,
            COOKIE,
            COOKIE,
            RECEIVE_WINDOW_SIZE,
            CONNECTION_TIMEOUT,
            ASSOCIATION_GROUP_ID,
            CLIENT_ADDRESS,
        ],
    ),
    ("CONN/B3", NONE, &[RECEIVE_WINDOW_SIZE, VERSION]),
];

/// An RTS PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rts {
    /// Flags of the RTS header.
    pub flags: u16,
    /// Its commands, as many as are kept.
    pub commands: Vec<Command>,
}

/// A command of an RTS PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A cookie: the first of a PDU is that of the virtual connection, those after it name its channels.
    Cookie([u8; 16]),
    /// One with a number: which, and that.
    Number(u32, u32),
    /// Word of what has arrived of a channel.
    FlowControlAck {
        /// Bytes of all PDUs but those of RTS.
        bytes_received: u32,
        /// Bytes that may come behind them.
        available_window: u32,
        /// The channel's cookie.
        channel: [u8; 16],
    },
    /// Any other, by its number.
    Other(u32),
}

impl Command {
    fn number(self) -> u32 {
        match self {
            Command::Cookie(_) => COOKIE,
            Command::FlowControlAck { .. } => FLOW_CONTROL_ACK,
            Command::Number(number, _) | Command::Other(number) => number,
        }
    }

    /// Its name in MS-RPCH.
    pub fn name(self) -> &'static str {
        match self.number() {
            RECEIVE_WINDOW_SIZE => "ReceiveWindowSize",
            FLOW_CONTROL_ACK => "FlowControlAck",
            CONNECTION_TIMEOUT => "ConnectionTimeout",
            COOKIE => "Cookie",
            CHANNEL_LIFETIME => "ChannelLifetime",
            CLIENT_KEEPALIVE => "ClientKeepalive",
            VERSION => "Version",
            EMPTY => "Empty",
            PADDING => "Padding",
            NEGATIVE_ANCE => "NegativeANCE",
            ANCE => "ANCE",
            CLIENT_ADDRESS => "ClientAddress",
            ASSOCIATION_GROUP_ID => "AssociationGroupId",
            DESTINATION => "Destination",
            PING_TRAFFIC_SENT_NOTIFY => "PingTrafficSentNotify",
            _ => "Unknown",
        }
    }
}

impl Rts {
    /// Reads a whole PDU, which begins with its common header.
    pub fn decode(pdu: &[u8]) -> Result<Rts, Malformed> {
        let mut reader = Reader::new("RTS PDU", pdu);
        reader.take(COMMON_HEADER_LENGTH)?;
        let flags = reader.u16_le()?;
        let count = reader.u16_le()?;
        let mut commands = Vec::new();
        for _ in 0..usize::from(count).min(MOST_COMMANDS) {
            let command = command(&mut reader)?;
            commands.push(command);
            if command.name() == "Unknown" {
                break;
            }
        }
        Ok(Rts { flags, commands })
    }

    /// Its name in MS-RPCH 2.2.4 where a client sent it.
    pub fn name_from_client(&self) -> Option<&'static str> {
        self.name(FROM_CLIENT)
    }

    /// Its name in MS-RPCH 2.2.4 where a gateway sent it.
    pub fn name_from_gateway(&self) -> Option<&'static str> {
        self.name(FROM_GATEWAY)
    }

    /// The cookie of the virtual connection, in a PDU that begins a channel.
    pub fn virtual_connection(&self) -> Option<[u8; 16]> {
        match self.commands[..] {
            [Command::Number(VERSION, _), Command::Cookie(cookie), Command::Cookie(_), ..] => Some(cookie),
            _ => None,
        }
    }

    /// The cookie of the channel that a PDU begins.
    pub fn channel(&self) -> Option<[u8; 16]> {
        self.virtual_connection()?;
        self.commands.iter().rev().find_map(|command| match command {
            Command::Cookie(cookie) => Some(*cookie),
            _ => None,
        })
    }

    /// The cookie of the channel in whose place a PDU begins another (MS-RPCH 2.2.4.10, 2.2.4.25).
    pub fn predecessor(&self) -> Option<[u8; 16]> {
        match self.commands[..] {
            [
                Command::Number(VERSION, _),
                Command::Cookie(_),
                Command::Cookie(predecessor),
                Command::Cookie(_),
                ..,
            ] => Some(predecessor),
            _ => None,
        }
    }

    /// Whether nothing more comes behind it in a client's channel that is being replaced: IN_R1/A5, IN_R2/A5.
    pub fn ends_in_channel(&self) -> bool {
        matches!((self.flags, &self.commands[..]), (NONE, [Command::Cookie(_)]))
    }

    /// The same in a gateway's: OUT_R1/A10, OUT_R2/B3.
    pub fn ends_out_channel(&self) -> bool {
        matches!((self.flags, &self.commands[..]), (NONE | EOF, [Command::Other(ANCE)]))
    }

    /// How many bytes its sender takes before it says that some have arrived.
    pub fn receive_window(&self) -> Option<u32> {
        self.commands.iter().find_map(|command| match command {
            Command::Number(RECEIVE_WINDOW_SIZE, window) => Some(*window),
            _ => None,
        })
    }

    /// The cookie of a channel, and the number up to which its sender may send: what has arrived, and what may come behind
    /// it.
    pub fn sends_up_to(&self) -> Option<([u8; 16], u32)> {
        self.commands.iter().find_map(|command| match command {
            Command::FlowControlAck { bytes_received, available_window, channel } => {
                Some((*channel, bytes_received.wrapping_add(*available_window)))
            }
            _ => None,
        })
    }

    /// Whether a connection that lives has any number of such PDUs: those that keep it alive, and those without a name.
    pub fn comes_again(&self) -> bool {
        self.flags & (OTHER_CMD | PING | ECHO) != 0
            || self.name_from_client().is_none() && self.name_from_gateway().is_none()
    }

    fn name(&self, table: &'static [Form]) -> Option<&'static str> {
        let numbers = self.commands.iter().map(|command| command.number());
        let form = table.iter().chain(FROM_ANYBODY).find(|(_, flags, commands)| {
            *flags == self.flags && numbers.clone().eq(commands.iter().copied())
        });
        form.map(|(name, ..)| *name)
    }
}

/// Whether the header is that of an RTS PDU.
pub fn is_rts(header: &Header) -> bool {
    header.pdu_type == PDU_TYPE
}

fn command(reader: &mut Reader<'_>) -> Result<Command, Malformed> {
    let number = reader.u32_le()?;
    let length = match number {
        COOKIE => return Ok(Command::Cookie(reader.array()?)),
        EMPTY | NEGATIVE_ANCE | ANCE => 0,
        FLOW_CONTROL_ACK => {
            let (bytes_received, available_window) = (reader.u32_le()?, reader.u32_le()?);
            let channel = reader.array()?;
            return Ok(Command::FlowControlAck { bytes_received, available_window, channel });
        }
        ASSOCIATION_GROUP_ID => 16,
        PADDING => reader.u32_le()? as usize,
        CLIENT_ADDRESS => match reader.u32_le()? {
            0 => 4 + CLIENT_ADDRESS_PADDING,
            1 => 16 + CLIENT_ADDRESS_PADDING,
            _ => return Err(reader.malformed("an address of a type that is not listed")),
        },
        RECEIVE_WINDOW_SIZE..=PING_TRAFFIC_SENT_NOTIFY => {
            return Ok(Command::Number(number, reader.u32_le()?));
        }
        _ => 0,
    };
    reader.take(length)?;
    Ok(Command::Other(number))
}
