//! Client settings blocks (MS-RDPBCGR 2.2.1.3.2 to 2.2.1.3.10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, BlockFault, ENCRYPTION_METHODS, MULTITRANSPORT_FLAGS, VERSIONS, body, client_blocks};
use crate::wire::mcs::Connect;
use crate::wire::named::{Code, Flags, byte_text, utf16_text};
use crate::wire::{Malformed, Reader};

/// Type of the client core block.
pub const CS_CORE: u16 = 0xC001;
/// Type of the client security block.
pub const CS_SECURITY: u16 = 0xC002;
/// Type of the client network block.
pub const CS_NET: u16 = 0xC003;
/// Type of the client cluster block.
pub const CS_CLUSTER: u16 = 0xC004;
/// Type of the client monitor block.
pub const CS_MONITOR: u16 = 0xC005;
/// Type of the client message channel block.
pub const CS_MCS_MSGCHANNEL: u16 = 0xC006;
/// Type of the client monitor extended block.
pub const CS_MONITOR_EX: u16 = 0xC008;
/// Type of the client multitransport block.
pub const CS_MULTITRANSPORT: u16 = 0xC00A;

/// Channels read from CS_NET: twice the 31 that the protocol allows, so that "too many" can be seen.
pub const CHANNEL_LIMIT: usize = 62;
/// Monitors read from CS_MONITOR: the specification's 16, with room for a client that breaks it.
pub const MONITOR_LIMIT: usize = 64;

/// `RNS_UD_CS_SUPPORT_ERRINFO_PDU`: without it the server never sends a Set Error Info PDU.
pub const RNS_UD_CS_SUPPORT_ERRINFO_PDU: u32 = 0x1;

const EARLY_CAPABILITY_FLAGS: &[(u32, &str)] = &[
    (RNS_UD_CS_SUPPORT_ERRINFO_PDU, "RNS_UD_CS_SUPPORT_ERRINFO_PDU"),
    (0x2, "RNS_UD_CS_WANT_32BPP_SESSION"),
    (0x4, "RNS_UD_CS_SUPPORT_STATUSINFO_PDU"),
    (0x8, "RNS_UD_CS_STRONG_ASYMMETRIC_KEYS"),
    (0x10, "RNS_UD_CS_RELATIVE_MOUSE_INPUT"),
    (0x20, "RNS_UD_CS_VALID_CONNECTION_TYPE"),
    (0x40, "RNS_UD_CS_SUPPORT_MONITOR_LAYOUT_PDU"),
    (0x80, "RNS_UD_CS_SUPPORT_NETCHAR_AUTODETECT"),
    (0x100, "RNS_UD_CS_SUPPORT_DYNVC_GFX_PROTOCOL"),
    (0x200, "RNS_UD_CS_SUPPORT_DYNAMIC_TIME_ZONE"),
    (0x400, "RNS_UD_CS_SUPPORT_HEARTBEAT_PDU"),
    (0x800, "RNS_UD_CS_SUPPORT_SKIP_CHANNELJOIN"),
];

const SUPPORTED_COLOR_DEPTHS: &[(u32, &str)] = &[
    (0x1, "RNS_UD_24BPP_SUPPORT"),
    (0x2, "RNS_UD_16BPP_SUPPORT"),
    (0x4, "RNS_UD_15BPP_SUPPORT"),
    (0x8, "RNS_UD_32BPP_SUPPORT"),
];

const CONNECTION_TYPES: &[(u32, &str)] = &[
    (1, "CONNECTION_TYPE_MODEM"),
    (2, "CONNECTION_TYPE_BROADBAND_LOW"),
    (3, "CONNECTION_TYPE_SATELLITE"),
    (4, "CONNECTION_TYPE_BROADBAND_HIGH"),
    (5, "CONNECTION_TYPE_WAN"),
    (6, "CONNECTION_TYPE_LAN"),
    (7, "CONNECTION_TYPE_AUTODETECT"),
];

const CHANNEL_OPTIONS: &[(u32, &str)] = &[
    (0x8000_0000, "CHANNEL_OPTION_INITIALIZED"),
    (0x4000_0000, "CHANNEL_OPTION_ENCRYPT_RDP"),
    (0x2000_0000, "CHANNEL_OPTION_ENCRYPT_SC"),
    (0x1000_0000, "CHANNEL_OPTION_ENCRYPT_CS"),
    (0x0800_0000, "CHANNEL_OPTION_PRI_HIGH"),
    (0x0400_0000, "CHANNEL_OPTION_PRI_MED"),
    (0x0200_0000, "CHANNEL_OPTION_PRI_LOW"),
    (0x0080_0000, "CHANNEL_OPTION_COMPRESS_RDP"),
    (0x0040_0000, "CHANNEL_OPTION_COMPRESS"),
    (0x0020_0000, "CHANNEL_OPTION_SHOW_PROTOCOL"),
    (0x0010_0000, "REMOTE_CONTROL_PERSISTENT"),
];

const CLUSTER_FLAGS: &[(u32, &str)] = &[
    (0x1, "REDIRECTION_SUPPORTED"),
    (0x2, "REDIRECTED_SESSIONID_FIELD_VALID"),
    (0x40, "REDIRECTED_SMARTCARD"),
];

/// The client's settings, block by block; a block that was not sent is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientData {
    /// Every block in its order, unknown ones included.
    pub blocks: Vec<Block>,
    /// CS_CORE.
    pub core: Option<ClientCore>,
    /// CS_SECURITY.
    pub security: Option<ClientSecurity>,
    /// CS_NET.
    pub network: Option<ClientNetwork>,
    /// CS_CLUSTER.
    pub cluster: Option<ClientCluster>,
    /// CS_MONITOR.
    pub monitors: Option<ClientMonitors>,
    /// CS_MONITOR_EX: number of monitors it describes.
    pub monitor_extended_count: Option<u32>,
    /// CS_MCS_MSGCHANNEL was sent: the client can use a message channel.
    pub message_channel: bool,
    /// Flags of CS_MULTITRANSPORT.
    pub multitransport_flags: Option<Flags>,
    /// Blocks that broke their format.
    pub faults: Vec<BlockFault>,
}

/// `TS_UD_CS_CORE`; fields behind `color_depth` are `None` where the client's block ends before them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCore {
    /// RDP version of the client.
    pub version: Code,
    /// Requested width, pixels.
    pub desktop_width: u16,
    /// Requested height, pixels.
    pub desktop_height: u16,
    /// `colorDepth`: 0xCA00 4 bits, 0xCA01 8 bits; ignored when a later depth field is there.
    pub color_depth: u16,
    /// Active input locale.
    pub keyboard_layout: u32,
    /// Build number of the client.
    pub client_build: u32,
    /// Name of the client's machine, at most 15 characters.
    pub client_name: String,
    /// `keyboardType`.
    pub keyboard_type: u32,
    /// `highColorDepth`, bits per pixel.
    pub high_color_depth: Option<u16>,
    /// `supportedColorDepths`.
    pub supported_color_depths: Option<Flags>,
    /// `earlyCapabilityFlags`.
    pub early_capability_flags: Option<Flags>,
    /// `connectionType`, meaningful with `RNS_UD_CS_VALID_CONNECTION_TYPE`.
    pub connection_type: Option<Code>,
    /// The protocol that the server selected, as the client remembers it.
    pub server_selected_protocol: Option<u32>,
    /// Physical width, millimetres.
    pub desktop_physical_width: Option<u32>,
    /// Physical height, millimetres.
    pub desktop_physical_height: Option<u32>,
    /// Orientation, degrees.
    pub desktop_orientation: Option<u16>,
    /// `desktopScaleFactor`, percent.
    pub desktop_scale_factor: Option<u32>,
    /// `deviceScaleFactor`, percent.
    pub device_scale_factor: Option<u32>,
}

/// `TS_UD_CS_SEC`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientSecurity {
    /// Methods of classic RDP security that the client can do.
    pub encryption_methods: Flags,
    /// The same, from a French client.
    pub ext_encryption_methods: Option<Flags>,
}

/// `TS_UD_CS_NET`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientNetwork {
    /// `channelCount` as claimed; more than 31 is an error.
    pub channel_count: u32,
    /// The static channels, at most [`CHANNEL_LIMIT`].
    pub channels: Vec<ClientChannel>,
}

/// `CHANNEL_DEF`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientChannel {
    /// Name, at most 7 characters.
    pub name: String,
    /// Options.
    pub options: Flags,
}

/// `TS_UD_CS_CLUSTER`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCluster {
    /// Flags.
    pub flags: Flags,
    /// Version of the redirection packet that the client understands, from the flags (1 to 6).
    pub redirection_version: u32,
    /// Session asked for, when its flag is set: the second leg of a broker's redirection.
    pub redirected_session_id: Option<u32>,
}

/// `TS_UD_CS_MONITOR`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientMonitors {
    /// `monitorCount` as claimed.
    pub monitor_count: u32,
    /// The monitors, at most [`MONITOR_LIMIT`].
    pub monitors: Vec<Monitor>,
}

/// `TS_MONITOR_DEF`, inclusive pixel coordinates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Monitor {
    /// Left edge.
    pub left: i32,
    /// Top edge.
    pub top: i32,
    /// Right edge.
    pub right: i32,
    /// Bottom edge.
    pub bottom: i32,
    /// `TS_MONITOR_PRIMARY`.
    pub primary: bool,
}

/// Decodes the settings in a Connect-Initial; a broken block becomes a fault and the others are still read.
pub fn client_data(pdu: &[u8], connect: &Connect) -> Result<ClientData, Malformed> {
    let list = client_blocks(pdu, connect)?;
    let mut data = ClientData { faults: list.fault.into_iter().collect(), ..ClientData::default() };
    for block in &list.blocks {
        if let Err(fault) = data.read(block.block_type, body(pdu, block)) {
            data.faults.push(fault.into());
        }
    }
    data.blocks = list.blocks;
    Ok(data)
}

impl ClientData {
    fn read(&mut self, block_type: u16, body: &[u8]) -> Result<(), Malformed> {
        match block_type {
            CS_CORE => self.core = Some(core(body)?),
            CS_SECURITY => self.security = Some(security(body)?),
            CS_NET => self.network = Some(network(body)?),
            CS_CLUSTER => self.cluster = Some(cluster(body)?),
            CS_MONITOR => self.monitors = Some(monitors(body)?),
            CS_MONITOR_EX => self.monitor_extended_count = Some(monitor_extended_count(body)?),
            CS_MCS_MSGCHANNEL => self.message_channel = true,
            CS_MULTITRANSPORT => {
                let value = Reader::new("TS_UD_CS_MULTITRANSPORT", body).u32_le()?;
                self.multitransport_flags = Some(Flags::new(value, MULTITRANSPORT_FLAGS));
            }
            _ => {}
        }
        Ok(())
    }
}

fn core(body: &[u8]) -> Result<ClientCore, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_CORE", body);
    let version = Code::new(reader.u32_le()?, VERSIONS);
    let (desktop_width, desktop_height) = (reader.u16_le()?, reader.u16_le()?);
    let color_depth = reader.u16_le()?;
    reader.take(2)?;
    let (keyboard_layout, client_build) = (reader.u32_le()?, reader.u32_le()?);
    let client_name = utf16_text(reader.take(32)?);
    let keyboard_type = reader.u32_le()?;
    reader.take(8 + 64)?;
    let mut core = ClientCore {
        version,
        desktop_width,
        desktop_height,
        color_depth,
        keyboard_layout,
        client_build,
        client_name,
        keyboard_type,
        ..ClientCore::default()
    };
    // Every field from here on is optional, and the block may end before any of them.
    let _ends_early = core.read_optional(&mut reader);
    Ok(core)
}

impl ClientCore {
    fn read_optional(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        reader.take(2 + 2 + 4)?;
        self.high_color_depth = Some(reader.u16_le()?);
        self.supported_color_depths = Some(Flags::new(reader.u16_le()?.into(), SUPPORTED_COLOR_DEPTHS));
        self.early_capability_flags = Some(Flags::new(reader.u16_le()?.into(), EARLY_CAPABILITY_FLAGS));
        // clientDigProductId identifies one installation and is left out.
        reader.take(64)?;
        self.connection_type = Some(Code::new(reader.u8()?.into(), CONNECTION_TYPES));
        reader.take(1)?;
        self.server_selected_protocol = Some(reader.u32_le()?);
        self.desktop_physical_width = Some(reader.u32_le()?);
        self.desktop_physical_height = Some(reader.u32_le()?);
        self.desktop_orientation = Some(reader.u16_le()?);
        self.desktop_scale_factor = Some(reader.u32_le()?);
        self.device_scale_factor = Some(reader.u32_le()?);
        Ok(())
    }
}

fn security(body: &[u8]) -> Result<ClientSecurity, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_SEC", body);
    let encryption_methods = Flags::new(reader.u32_le()?, ENCRYPTION_METHODS);
    let ext_encryption_methods = reader.u32_le().ok().map(|value| Flags::new(value, ENCRYPTION_METHODS));
    Ok(ClientSecurity { encryption_methods, ext_encryption_methods })
}

fn network(body: &[u8]) -> Result<ClientNetwork, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_NET", body);
    let channel_count = reader.u32_le()?;
    let mut channels = Vec::new();
    while channels.len() < CHANNEL_LIMIT && (channels.len() as u64) < u64::from(channel_count) {
        let name = byte_text(reader.take(8)?);
        channels.push(ClientChannel { name, options: Flags::new(reader.u32_le()?, CHANNEL_OPTIONS) });
    }
    Ok(ClientNetwork { channel_count, channels })
}

fn cluster(body: &[u8]) -> Result<ClientCluster, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_CLUSTER", body);
    let flags = Flags::new(reader.u32_le()?, CLUSTER_FLAGS);
    let session_id = reader.u32_le()?;
    let redirected_session_id = flags.contains(0x2).then_some(session_id);
    Ok(ClientCluster { redirection_version: (flags.value >> 2 & 0xF) + 1, flags, redirected_session_id })
}

fn monitors(body: &[u8]) -> Result<ClientMonitors, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_MONITOR", body);
    reader.take(4)?;
    let monitor_count = reader.u32_le()?;
    let mut monitors = Vec::new();
    while monitors.len() < MONITOR_LIMIT && (monitors.len() as u64) < u64::from(monitor_count) {
        let mut edge = || reader.u32_le().map(u32::cast_signed);
        let (left, top, right, bottom) = (edge()?, edge()?, edge()?, edge()?);
        monitors.push(Monitor { left, top, right, bottom, primary: reader.u32_le()? & 1 != 0 });
    }
    Ok(ClientMonitors { monitor_count, monitors })
}

fn monitor_extended_count(body: &[u8]) -> Result<u32, Malformed> {
    let mut reader = Reader::new("TS_UD_CS_MONITOR_EX", body);
    reader.take(8)?;
    reader.u32_le()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{block, connect_pdu};
    use super::*;
    use crate::wire::mcs::{self, McsPdu};

    fn decode(blocks: &[Vec<u8>]) -> ClientData {
        let pdu = connect_pdu(0x65, blocks);
        let McsPdu::ConnectInitial(connect) = mcs::decode(&pdu).unwrap() else {
            panic!("not a Connect-Initial")
        };
        client_data(&pdu, &connect).unwrap()
    }

    fn core_body(length: usize) -> Vec<u8> {
        let mut core = vec![0; 230];
        core[0..4].copy_from_slice(&0x0008_0011_u32.to_le_bytes());
        core[4..8].copy_from_slice(&[0, 4, 0, 3]);
        core[16..20].copy_from_slice(&22621_u32.to_le_bytes());
        core[20..24].copy_from_slice(&[b'P', 0, b'C', 0]);
        core[140..142].copy_from_slice(&0x07AD_u16.to_le_bytes());
        core[142..206].fill(b'7');
        core[206] = 6;
        core[208] = 8;
        core.truncate(length);
        core
    }

    #[test]
    fn core_with_and_without_its_optional_tail() {
        let whole = decode(&[block(CS_CORE, &core_body(230))]).core.unwrap();
        assert_eq!((whole.version.name.as_deref(), whole.client_build), (Some("10.12"), 22621));
        assert_eq!(
            (whole.desktop_width, whole.desktop_height, whole.client_name.as_str()),
            (1024, 768, "PC")
        );
        let early = whole.early_capability_flags.as_ref().unwrap();
        assert!(early.contains(RNS_UD_CS_SUPPORT_ERRINFO_PDU) && early.value == 0x07AD);
        assert_eq!(early.names.len(), 8);
        assert_eq!(whole.connection_type.as_ref().unwrap().name.as_deref(), Some("CONNECTION_TYPE_LAN"));
        assert_eq!(whole.server_selected_protocol, Some(8));
        assert!(!serde_json::to_string(&whole).unwrap().contains("777"), "the product id stays out");

        let short = decode(&[block(CS_CORE, &core_body(128))]);
        assert_eq!((short.faults.len(), short.core.unwrap().early_capability_flags), (0, None));
        let cut = decode(&[block(CS_CORE, &core_body(60)), block(CS_MCS_MSGCHANNEL, &[0; 4])]);
        assert_eq!(cut.faults[0].structure, "TS_UD_CS_CORE");
        assert!(cut.core.is_none() && cut.message_channel, "the other blocks are read all the same");
    }

    #[test]
    fn the_other_blocks() {
        let mut net = vec![2, 0, 0, 0];
        net.extend(b"rdpdr\0\0\0\0\0\0\x80cliprdr\0\0\0\xA0\xC0");
        let data = decode(&[
            block(CS_SECURITY, &[0x1B, 0, 0, 0, 0, 0, 0, 0]),
            block(CS_NET, &net),
            block(CS_CLUSTER, &[0x17, 0, 0, 0, 9, 0, 0, 0]),
            block(
                CS_MONITOR,
                &[
                    0, 0, 0, 0, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0,
                    0, 0,
                ],
            ),
            block(CS_MONITOR_EX, &[0, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0]),
            block(CS_MULTITRANSPORT, &[5, 3, 0, 0]),
        ]);
        assert_eq!(data.faults, []);
        assert_eq!(data.security.unwrap().encryption_methods.names.len(), 4);
        let network = data.network.unwrap();
        assert_eq!(network.channels[0].name, "rdpdr");
        assert_eq!(
            network.channels[1].options.names,
            [
                "CHANNEL_OPTION_INITIALIZED",
                "CHANNEL_OPTION_ENCRYPT_RDP",
                "CHANNEL_OPTION_COMPRESS_RDP",
                "CHANNEL_OPTION_SHOW_PROTOCOL"
            ]
        );
        let cluster = data.cluster.unwrap();
        assert_eq!((cluster.redirection_version, cluster.redirected_session_id), (6, Some(9)));
        let monitor = &data.monitors.unwrap().monitors[0];
        assert_eq!((monitor.left, monitor.bottom, monitor.primary), (-1, 8, true));
        assert_eq!(data.monitor_extended_count, Some(3));
        assert_eq!(data.multitransport_flags.unwrap().value, 0x305);
    }

    #[test]
    fn claimed_counts_do_not_run_past_the_bytes() {
        let data = decode(&[block(CS_NET, &[0xFF; 16]), block(CS_MONITOR, &[0xFF; 28])]);
        assert_eq!((data.network, data.monitors, data.faults.len()), (None, None, 2));
    }
}
