//! GCC conference create request and response (T.124) inside the MCS connect PDUs: the list of RDP settings
//! blocks (MS-RDPBCGR 2.2.1.3, 2.2.1.4). Blocks are found by the RDP key and walked to the end of the user
//! data; the nested lengths of T.124 are not relied on, because clients in use write them two short.

mod client;
mod server;

pub use client::*;
pub use server::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mcs::{Connect, per_length};
use super::{Malformed, Reader};

/// Blocks read from one PDU. The specification knows 12 and 5; a PDU could hold thousands of empty ones.
pub const BLOCK_LIMIT: usize = 64;
/// Bytes of a block's header.
const HEADER_LENGTH: u16 = 4;

const BLOCK_NAMES: &[(u16, &str)] = &[
    (CS_CORE, "CS_CORE"),
    (CS_SECURITY, "CS_SECURITY"),
    (CS_NET, "CS_NET"),
    (CS_CLUSTER, "CS_CLUSTER"),
    (CS_MONITOR, "CS_MONITOR"),
    (CS_MCS_MSGCHANNEL, "CS_MCS_MSGCHANNEL"),
    (CS_MONITOR_EX, "CS_MONITOR_EX"),
    (CS_MULTITRANSPORT, "CS_MULTITRANSPORT"),
    (0xC00C, "CS_UNUSED1"),
    (SC_CORE, "SC_CORE"),
    (SC_SECURITY, "SC_SECURITY"),
    (SC_NET, "SC_NET"),
    (SC_MCS_MSGCHANNEL, "SC_MCS_MSGCHANNEL"),
    (SC_MULTITRANSPORT, "SC_MULTITRANSPORT"),
];

/// Transports that a side offers beside TCP (`TS_UD_CS_MULTITRANSPORT`, `TS_UD_SC_MULTITRANSPORT`).
pub(super) const MULTITRANSPORT_FLAGS: &[(u32, &str)] = &[
    (0x1, "TRANSPORTTYPE_UDPFECR"),
    (0x4, "TRANSPORTTYPE_UDPFECL"),
    (0x100, "TRANSPORTTYPE_UDP_PREFERRED"),
    (0x200, "SOFTSYNC_TCP_TO_UDP"),
];

/// Names of the versions in CS_CORE and SC_CORE.
const VERSIONS: &[(u32, &str)] = &[
    (0x0008_0001, "4.0"),
    (0x0008_0004, "5.0-8.1"),
    (0x0008_0005, "10.0"),
    (0x0008_0006, "10.1"),
    (0x0008_0007, "10.2"),
    (0x0008_0008, "10.3"),
    (0x0008_0009, "10.4"),
    (0x0008_000A, "10.5"),
    (0x0008_000B, "10.6"),
    (0x0008_000C, "10.7"),
    (0x0008_000D, "10.8"),
    (0x0008_000E, "10.9"),
    (0x0008_000F, "10.10"),
    (0x0008_0010, "10.11"),
    (0x0008_0011, "10.12"),
];

const ENCRYPTION_METHODS: &[(u32, &str)] = &[
    (0x1, "40BIT_ENCRYPTION_FLAG"),
    (0x2, "128BIT_ENCRYPTION_FLAG"),
    (0x8, "56BIT_ENCRYPTION_FLAG"),
    (0x10, "FIPS_ENCRYPTION_FLAG"),
];

/// Where one block stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// The type in its header.
    pub block_type: u16,
    /// The specification's name, `None` for an unknown type.
    pub name: Option<String>,
    /// Bytes from the first byte of the MCS connect PDU to the block's header.
    pub offset: usize,
    /// Bytes of the block, header included.
    pub length: u16,
}

impl Block {
    /// Where `width` bytes at `offset` of this block stand in the PDU, when the block is long enough.
    fn field(&self, offset: usize, width: usize) -> Option<usize> {
        (offset + width <= usize::from(self.length)).then_some(self.offset + offset)
    }
}

/// A block, or the list of blocks, that broke its format; the other blocks were read all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockFault {
    /// The structure in the specification's word.
    pub structure: String,
    /// Bytes from the first byte of that structure.
    pub offset: usize,
    /// What is wrong.
    pub reason: String,
}

impl From<Malformed> for BlockFault {
    fn from(fault: Malformed) -> Self {
        BlockFault { structure: fault.structure.into(), offset: fault.offset, reason: fault.reason.into() }
    }
}

/// The blocks of one PDU in their order, and what ended the walk before the end of the user data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockList {
    /// The blocks that are whole.
    pub blocks: Vec<Block>,
    /// Why the walk stopped early.
    pub fault: Option<BlockFault>,
}

/// Lists the blocks of a Connect-Initial (`pdu` and what [`super::mcs::decode`] made of it).
pub fn client_blocks(pdu: &[u8], connect: &Connect) -> Result<BlockList, Malformed> {
    block_list("conferenceCreateRequest", b"Duca", pdu, connect)
}

/// Lists the blocks of a Connect-Response; none when the server refused and sent no user data.
pub fn server_blocks(pdu: &[u8], connect: &Connect) -> Result<BlockList, Malformed> {
    if connect.user_data.is_empty() {
        return Ok(BlockList::default());
    }
    block_list("conferenceCreateResponse", b"McDn", pdu, connect)
}

fn block_list(
    structure: &'static str,
    key: &[u8],
    pdu: &[u8],
    connect: &Connect,
) -> Result<BlockList, Malformed> {
    let user_data = pdu.get(connect.user_data.clone()).unwrap_or_default();
    let key_at = user_data.windows(key.len()).position(|window| window == key);
    let key_at = key_at.ok_or_else(|| Malformed::new(structure, 0, "the RDP key is missing"))?;
    let mut reader = Reader::new(structure, user_data);
    reader.take(key_at + key.len())?;
    per_length(&mut reader)?;

    let mut list = BlockList::default();
    while !reader.is_empty() {
        let offset = connect.user_data.start + reader.offset();
        match next_block(&mut reader, offset) {
            Ok(block) if list.blocks.len() < BLOCK_LIMIT => list.blocks.push(block),
            Ok(_) => list.fault = Some(reader.malformed("more blocks than are read").into()),
            Err(fault) => list.fault = Some(fault.into()),
        }
        if list.fault.is_some() {
            break;
        }
    }
    Ok(list)
}

fn next_block(reader: &mut Reader<'_>, offset: usize) -> Result<Block, Malformed> {
    let block_type = reader.u16_le()?;
    let length = reader.u16_le()?;
    let body =
        length.checked_sub(HEADER_LENGTH).ok_or_else(|| reader.malformed("block shorter than its header"))?;
    reader.take(usize::from(body))?;
    let name =
        BLOCK_NAMES.iter().find(|(number, _)| *number == block_type).map(|(_, name)| (*name).to_owned());
    Ok(Block { block_type, name, offset, length })
}

/// Where `serverSelectedProtocol` (4 bytes, little endian) stands in a Connect-Initial.
pub fn server_selected_protocol_offset(blocks: &[Block]) -> Option<usize> {
    field_offset(blocks, CS_CORE, 212, 4)
}

/// Where `clientRequestedProtocols` (4 bytes, little endian) stands in a Connect-Response.
pub fn client_requested_protocols_offset(blocks: &[Block]) -> Option<usize> {
    field_offset(blocks, SC_CORE, 8, 4)
}

/// Where the flags of CS_MULTITRANSPORT or SC_MULTITRANSPORT (4 bytes, little endian) stand in their PDU.
pub fn multitransport_flags_offset(blocks: &[Block]) -> Option<usize> {
    field_offset(blocks, CS_MULTITRANSPORT, 4, 4).or_else(|| field_offset(blocks, SC_MULTITRANSPORT, 4, 4))
}

fn field_offset(blocks: &[Block], block_type: u16, offset: usize, width: usize) -> Option<usize> {
    blocks.iter().find(|block| block.block_type == block_type)?.field(offset, width)
}

/// The bytes of a block behind its header.
fn body<'a>(pdu: &'a [u8], block: &Block) -> &'a [u8] {
    let start = block.offset + usize::from(HEADER_LENGTH);
    pdu.get(start..block.offset + usize::from(block.length)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::mcs::{self, McsPdu};

    /// A block with its header.
    pub(crate) fn block(block_type: u16, body: &[u8]) -> Vec<u8> {
        let length = (body.len() + 4) as u16;
        [&block_type.to_le_bytes(), &length.to_le_bytes(), body].concat()
    }

    /// A Connect-Initial (0x65) or Connect-Response (0x66) around `blocks`.
    pub(crate) fn connect_pdu(tag: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
        let key: &[u8] =
            if tag == 0x65 { b"\0\x05\0\x14\x7C\0\x01Duca" } else { b"\0\x05\0\x14\x7C\0\x01McDn" };
        let blocks = blocks.concat();
        let per = (blocks.len() as u16 | 0x8000).to_be_bytes();
        let user_data = [key, &per, &blocks].concat();
        let ber = |tag: &[u8], content: &[u8]| {
            [tag, &[0x82], &(content.len() as u16).to_be_bytes(), content].concat()
        };
        let before: &[u8] =
            if tag == 0x65 { &[4, 1, 1, 4, 1, 1, 1, 1, 0xFF] } else { &[0x0A, 1, 0, 2, 1, 0] };
        ber(&[0x7F, tag], &[before, &ber(&[4], &user_data)].concat())
    }

    pub(crate) fn client_list(pdu: &[u8]) -> BlockList {
        let McsPdu::ConnectInitial(connect) = mcs::decode(pdu).unwrap() else {
            panic!("not a Connect-Initial")
        };
        client_blocks(pdu, &connect).unwrap()
    }

    #[test]
    fn unknown_blocks_are_listed_by_number_and_offsets_point_into_the_pdu() {
        let mut core = vec![0; 212];
        core[208..212].copy_from_slice(&11_u32.to_le_bytes());
        let pdu = connect_pdu(
            0x65,
            &[block(0xC00D, &[1, 2]), block(CS_CORE, &core), block(CS_MULTITRANSPORT, &[5, 1, 0, 0])],
        );
        let list = client_list(&pdu);
        assert_eq!(list.fault, None);
        let seen: Vec<_> =
            list.blocks.iter().map(|block| (block.block_type, block.name.as_deref())).collect();
        assert_eq!(
            seen,
            [(0xC00D, None), (CS_CORE, Some("CS_CORE")), (CS_MULTITRANSPORT, Some("CS_MULTITRANSPORT"))]
        );
        let selected = server_selected_protocol_offset(&list.blocks).unwrap();
        assert_eq!(pdu[selected..selected + 4], [11, 0, 0, 0]);
        let flags = multitransport_flags_offset(&list.blocks).unwrap();
        assert_eq!(pdu[flags..flags + 4], [5, 1, 0, 0]);
        assert_eq!(client_requested_protocols_offset(&list.blocks), None);
    }

    #[test]
    fn a_block_that_is_too_short_for_a_field_has_no_offset_for_it() {
        let list = client_list(&connect_pdu(0x65, &[block(CS_CORE, &[0; 210])]));
        assert_eq!(server_selected_protocol_offset(&list.blocks), None);
    }

    #[test]
    fn broken_lists_keep_what_came_before() {
        let list = client_list(&connect_pdu(0x65, &[block(CS_NET, &[0; 4]), vec![1, 0xC0, 3, 0]]));
        assert_eq!(list.blocks.len(), 1);
        assert_eq!(list.fault.unwrap().reason, "block shorter than its header");
        let many: Vec<_> = (0..BLOCK_LIMIT + 1).map(|_| block(0xC00C, &[])).collect();
        let list = client_list(&connect_pdu(0x65, &many));
        assert_eq!(
            (list.blocks.len(), list.fault.unwrap().reason.as_str()),
            (BLOCK_LIMIT, "more blocks than are read")
        );
    }

    #[test]
    fn a_refusal_without_user_data_has_no_blocks_and_a_wrong_key_is_named() {
        let refusal = [0x7F, 0x66, 3, 0x0A, 1, 14];
        let McsPdu::ConnectResponse(connect) = mcs::decode(&refusal).unwrap() else {
            panic!("not a response")
        };
        assert_eq!(server_blocks(&refusal, &connect), Ok(BlockList::default()));
        let pdu = connect_pdu(0x65, &[]);
        let McsPdu::ConnectInitial(connect) = mcs::decode(&pdu).unwrap() else {
            panic!("not a Connect-Initial")
        };
        assert_eq!(server_blocks(&pdu, &connect).unwrap_err().reason, "the RDP key is missing");
    }
}
