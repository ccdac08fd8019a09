//! Server settings blocks (MS-RDPBCGR 2.2.1.4.2 to 2.2.1.4.6).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Block, BlockFault, CHANNEL_LIMIT, ENCRYPTION_METHODS, MULTITRANSPORT_FLAGS, VERSIONS, body, server_blocks,
};
use crate::wire::mcs::Connect;
use crate::wire::named::{Code, Flags};
use crate::wire::{Malformed, Reader};

/// Type of the server core block.
pub const SC_CORE: u16 = 0x0C01;
/// Type of the server security block.
pub const SC_SECURITY: u16 = 0x0C02;
/// Type of the server network block.
pub const SC_NET: u16 = 0x0C03;
/// Type of the server message channel block.
pub const SC_MCS_MSGCHANNEL: u16 = 0x0C04;
/// Type of the server multitransport block.
pub const SC_MULTITRANSPORT: u16 = 0x0C08;

/// Certificates counted in an X.509 chain; real chains have two to four.
pub const CERTIFICATE_LIMIT: usize = 32;

const EARLY_CAPABILITY_FLAGS: &[(u32, &str)] = &[
    (0x1, "RNS_UD_SC_EDGE_ACTIONS_SUPPORTED_V1"),
    (0x2, "RNS_UD_SC_DYNAMIC_DST_SUPPORTED"),
    (0x4, "RNS_UD_SC_EDGE_ACTIONS_SUPPORTED_V2"),
    (0x8, "RNS_UD_SC_SKIP_CHANNELJOIN_SUPPORTED"),
];

const ENCRYPTION_LEVELS: &[(u32, &str)] = &[
    (0, "ENCRYPTION_LEVEL_NONE"),
    (1, "ENCRYPTION_LEVEL_LOW"),
    (2, "ENCRYPTION_LEVEL_CLIENT_COMPATIBLE"),
    (3, "ENCRYPTION_LEVEL_HIGH"),
    (4, "ENCRYPTION_LEVEL_FIPS"),
];

/// The server's settings, block by block; a block that was not sent is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerData {
    /// Every block in its order, unknown ones included.
    pub blocks: Vec<Block>,
    /// SC_CORE.
    pub core: Option<ServerCore>,
    /// SC_SECURITY.
    pub security: Option<ServerSecurity>,
    /// SC_NET.
    pub network: Option<ServerNetwork>,
    /// Channel id of SC_MCS_MSGCHANNEL; 0 means that it is not to be joined.
    pub message_channel_id: Option<u16>,
    /// Flags of SC_MULTITRANSPORT.
    pub multitransport_flags: Option<Flags>,
    /// Blocks that broke their format.
    pub faults: Vec<BlockFault>,
}

/// `TS_UD_SC_CORE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerCore {
    /// RDP version of the server.
    pub version: Code,
    /// The protocols that the client requested, as the server remembers them.
    pub client_requested_protocols: Option<u32>,
    /// `earlyCapabilityFlags`.
    pub early_capability_flags: Option<Flags>,
}

/// `TS_UD_SC_SEC1` without random and keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSecurity {
    /// The method selected, 0 when TLS protects the connection.
    pub encryption_method: Flags,
    /// The level selected.
    pub encryption_level: Code,
    /// Bytes of the server random.
    pub server_random_length: Option<u32>,
    /// The certificate sent with it.
    pub certificate: Option<ServerCertificate>,
}

impl ServerSecurity {
    /// True when PDUs carry a security header and can be encrypted with RC4 or 3DES (MS-RDPBCGR 5.3.2).
    pub fn encrypts(&self) -> bool {
        self.encryption_method.value != 0 && self.encryption_level.value != 0
    }
}

/// `SERVER_CERTIFICATE` of classic RDP security.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ServerCertificate {
    /// A bare RSA key signed with a key that everybody knows.
    Proprietary {
        /// Bits of the RSA modulus.
        modulus_bits: Option<u32>,
    },
    /// A chain issued by a licence server.
    X509 {
        /// `NumCertBlobs` as claimed.
        chain_length: u32,
        /// Bytes of each certificate that is there, at most [`CERTIFICATE_LIMIT`].
        certificate_lengths: Vec<u32>,
    },
    /// A version the specification does not list.
    Unknown {
        /// The version.
        version: u32,
    },
}

/// `TS_UD_SC_NET`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerNetwork {
    /// `MCSChannelId`: the I/O channel.
    pub io_channel_id: u16,
    /// `channelCount` as claimed.
    pub channel_count: u16,
    /// The static channels in the client's order, at most [`CHANNEL_LIMIT`].
    pub channel_ids: Vec<u16>,
}

/// Decodes the settings in a Connect-Response; a broken block becomes a fault and the others are still read.
pub fn server_data(pdu: &[u8], connect: &Connect) -> Result<ServerData, Malformed> {
    let list = server_blocks(pdu, connect)?;
    let mut data = ServerData { faults: list.fault.into_iter().collect(), ..ServerData::default() };
    for block in &list.blocks {
        if let Err(fault) = data.read(block.block_type, body(pdu, block)) {
            data.faults.push(fault.into());
        }
    }
    data.blocks = list.blocks;
    Ok(data)
}

impl ServerData {
    fn read(&mut self, block_type: u16, body: &[u8]) -> Result<(), Malformed> {
        match block_type {
            SC_CORE => self.core = Some(core(body)?),
            SC_SECURITY => self.security = Some(security(body)?),
            SC_NET => self.network = Some(network(body)?),
            SC_MCS_MSGCHANNEL => {
                self.message_channel_id = Some(Reader::new("TS_UD_SC_MCS_MSGCHANNEL", body).u16_le()?);
            }
            SC_MULTITRANSPORT => {
                let value = Reader::new("TS_UD_SC_MULTITRANSPORT", body).u32_le()?;
                self.multitransport_flags = Some(Flags::new(value, MULTITRANSPORT_FLAGS));
            }
            _ => {}
        }
        Ok(())
    }
}

fn core(body: &[u8]) -> Result<ServerCore, Malformed> {
    let mut reader = Reader::new("TS_UD_SC_CORE", body);
    let version = Code::new(reader.u32_le()?, VERSIONS);
    let client_requested_protocols = reader.u32_le().ok();
    let early_capability_flags = reader.u32_le().ok().map(|value| Flags::new(value, EARLY_CAPABILITY_FLAGS));
    Ok(ServerCore { version, client_requested_protocols, early_capability_flags })
}

fn security(body: &[u8]) -> Result<ServerSecurity, Malformed> {
    let mut reader = Reader::new("TS_UD_SC_SEC1", body);
    let encryption_method = Flags::new(reader.u32_le()?, ENCRYPTION_METHODS);
    let encryption_level = Code::new(reader.u32_le()?, ENCRYPTION_LEVELS);
    let mut security =
        ServerSecurity { encryption_method, encryption_level, server_random_length: None, certificate: None };
    // Method and level decide everything that follows, so a broken certificate must not lose them.
    if let (Ok(random_length), Ok(certificate_length)) = (reader.u32_le(), reader.u32_le()) {
        security.server_random_length = Some(random_length);
        security.certificate = certificate(&mut reader, random_length, certificate_length);
    }
    Ok(security)
}

fn certificate(reader: &mut Reader<'_>, random_length: u32, length: u32) -> Option<ServerCertificate> {
    reader.take(usize::try_from(random_length).ok()?).ok()?;
    let bytes = reader.take(usize::try_from(length).ok()?).ok()?;
    let mut reader = Reader::new("SERVER_CERTIFICATE", bytes);
    // The top bit only says that the certificate is a temporary one.
    match reader.u32_le().ok()? & 0x7FFF_FFFF {
        1 => Some(ServerCertificate::Proprietary { modulus_bits: modulus_bits(&mut reader).ok() }),
        2 => {
            let chain_length = reader.u32_le().ok()?;
            Some(ServerCertificate::X509 {
                chain_length,
                certificate_lengths: blobs(&mut reader, chain_length),
            })
        }
        version => Some(ServerCertificate::Unknown { version }),
    }
}

/// dwSigAlgId, dwKeyAlgId, wPublicKeyBlobType, wPublicKeyBlobLen, then RSA_PUBLIC_KEY: magic, keylen, bitlen.
fn modulus_bits(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    reader.take(4 + 4 + 2 + 2 + 4 + 4)?;
    reader.u32_le()
}

fn blobs(reader: &mut Reader<'_>, chain_length: u32) -> Vec<u32> {
    let mut lengths = Vec::new();
    while lengths.len() < CERTIFICATE_LIMIT && (lengths.len() as u64) < u64::from(chain_length) {
        let Ok(length) = reader.u32_le() else { break };
        if usize::try_from(length).ok().and_then(|length| reader.take(length).ok()).is_none() {
            break;
        }
        lengths.push(length);
    }
    lengths
}

fn network(body: &[u8]) -> Result<ServerNetwork, Malformed> {
    let mut reader = Reader::new("TS_UD_SC_NET", body);
    let io_channel_id = reader.u16_le()?;
    let channel_count = reader.u16_le()?;
    let mut channel_ids = Vec::new();
    while channel_ids.len() < CHANNEL_LIMIT.min(channel_count.into()) {
        channel_ids.push(reader.u16_le()?);
    }
    Ok(ServerNetwork { io_channel_id, channel_count, channel_ids })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{block, connect_pdu};
    use super::*;
    use crate::wire::mcs::{self, McsPdu};

    fn decode(blocks: &[Vec<u8>]) -> ServerData {
        let pdu = connect_pdu(0x66, blocks);
        let McsPdu::ConnectResponse(connect) = mcs::decode(&pdu).unwrap() else {
            panic!("not a Connect-Response")
        };
        server_data(&pdu, &connect).unwrap()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_server_under_tls() {
        let data = decode(&[
            block(SC_CORE, &words(&[0x0008_000D, 11, 7])),
            block(SC_SECURITY, &words(&[0, 0])),
            block(SC_NET, &[0xEB, 3, 2, 0, 0xEC, 3, 0xED, 3]),
            block(SC_MCS_MSGCHANNEL, &[0xF0, 3]),
            block(SC_MULTITRANSPORT, &words(&[0x301])),
        ]);
        assert_eq!(data.faults, []);
        let core = data.core.unwrap();
        assert_eq!((core.version.name.as_deref(), core.client_requested_protocols), (Some("10.8"), Some(11)));
        assert_eq!(core.early_capability_flags.unwrap().names.len(), 3);
        assert!(!data.security.unwrap().encrypts());
        let network = data.network.unwrap();
        assert_eq!((network.io_channel_id, network.channel_ids), (1003, vec![1004, 1005]));
        assert_eq!(
            (data.message_channel_id, data.multitransport_flags.unwrap().names.len()),
            (Some(1008), 3)
        );
    }

    #[test]
    fn classic_security_tells_the_kind_of_certificate_and_no_key() {
        let mut proprietary = words(&[2, 3, 4, 40]);
        proprietary.extend([0xAB; 4]);
        proprietary.extend(words(&[0x8000_0001, 1, 1, 0x0010_0006, 0x3141_5352, 72, 512, 63, 0x10001]));
        proprietary.extend([0xCD; 4]);
        let security = decode(&[block(SC_SECURITY, &proprietary)]).security.unwrap();
        assert!(security.encrypts());
        assert_eq!(security.encryption_level.name.as_deref(), Some("ENCRYPTION_LEVEL_HIGH"));
        assert_eq!(security.certificate, Some(ServerCertificate::Proprietary { modulus_bits: Some(512) }));

        let mut chain = words(&[2, 2, 0, 22, 2, 2, 3]);
        chain.extend([0xCC; 3]);
        chain.extend(words(&[0xFFFF_FFFF]));
        let certificate =
            decode(&[block(SC_SECURITY, &[chain, vec![0; 9]].concat())]).security.unwrap().certificate;
        assert_eq!(
            certificate,
            Some(ServerCertificate::X509 { chain_length: 2, certificate_lengths: vec![3] })
        );
        let broken = decode(&[block(SC_SECURITY, &words(&[2, 1, 0xFFFF_FFFF, 9]))]).security.unwrap();
        assert_eq!((broken.encrypts(), broken.certificate), (true, None));
    }
}
