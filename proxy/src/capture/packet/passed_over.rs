//! Packets that are no part of a flow, counted by kind.

use std::collections::BTreeMap;
use std::fmt;

/// Kinds that are told apart; a file made to have more is told no more of them.
const MOST_KINDS: usize = 256;

/// Why a packet belongs to no flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassedOver {
    /// Its link type (LINKTYPE registry) is not read.
    LinkType(u16),
    /// It carries another protocol than IP (EtherType).
    EtherType(u16),
    /// It is a frame of IEEE 802.3 without an EtherType: spanning tree and its like.
    LogicalLink,
    /// It carries another protocol than TCP and UDP (IP protocol number): tunnels are not looked into.
    IpProtocol(u8),
    /// ICMP that tells of no flow.
    Icmp,
    /// It is too short for its headers, or they make no sense.
    Broken,
    /// Part of a datagram of which the file does not have every fragment.
    FragmentsIncomplete,
    /// Fragments that overlap and disagree.
    FragmentsOverlap,
    /// So many datagrams were in fragments at once that this one was given up.
    FragmentsTooMany,
    /// Of still other kinds.
    Other,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassedOver::LinkType(link) => write!(f, "link type {link}{}", named(link_type(*link))),
            PassedOver::EtherType(kind) => write!(f, "EtherType 0x{kind:04x}{}", named(ether_type(*kind))),
            PassedOver::LogicalLink => write!(f, "IEEE 802.3 without an EtherType"),
            PassedOver::IpProtocol(number) => {
                write!(f, "IP protocol {number}{}", named(ip_protocol(*number)))
            }
            PassedOver::Icmp => write!(f, "ICMP"),
            PassedOver::Broken => write!(f, "broken headers"),
            PassedOver::FragmentsIncomplete => write!(f, "fragments without the rest of their datagram"),
            PassedOver::FragmentsOverlap => write!(f, "fragments that overlap and disagree"),
            PassedOver::FragmentsTooMany => write!(f, "fragments of too many datagrams at once"),
            PassedOver::Other => write!(f, "other kinds"),
        }
    }
}

fn named(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" ({name})") }
}

fn link_type(link: u16) -> &'static str {
    match link {
        9 => "PPP",
        105 => "IEEE 802.11",
        127 => "IEEE 802.11 with radiotap",
        187 | 201 => "Bluetooth",
        189 | 220 => "USB",
        _ => "",
    }
}

fn ether_type(kind: u16) -> &'static str {
    match kind {
        0x0806 => "ARP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x888e => "IEEE 802.1X",
        _ => "",
    }
}

fn ip_protocol(number: u8) -> &'static str {
    match number {
        2 => "IGMP",
        4 | 41 => "IP in IP",
        47 => "GRE",
        50 => "ESP",
        89 => "OSPF",
        112 => "VRRP",
        132 => "SCTP",
        _ => "",
    }
}

/// How many packets of each kind were passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOverCounts(BTreeMap<PassedOver, u64>);

impl PassedOverCounts {
    /// `count` more of a kind.
    pub(crate) fn add(&mut self, kind: PassedOver, count: u64) {
        if count == 0 {
            return;
        }
        let is_new = !self.0.contains_key(&kind);
        let kind = if is_new && self.0.len() >= MOST_KINDS { PassedOver::Other } else { kind };
        *self.0.entry(kind).or_default() += count;
    }

    /// Each kind with its packets.
    pub fn iter(&self) -> impl Iterator<Item = (PassedOver, u64)> {
        self.0.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Of one kind.
    pub fn of(&self, kind: PassedOver) -> u64 {
        self.0.get(&kind).copied().unwrap_or_default()
    }

    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_where_they_have_a_name() {
        let said = |kind: PassedOver| kind.to_string();
        assert_eq!(said(PassedOver::LinkType(127)), "link type 127 (IEEE 802.11 with radiotap)");
        assert_eq!(said(PassedOver::LinkType(300)), "link type 300");
        assert_eq!(said(PassedOver::EtherType(0x0806)), "EtherType 0x0806 (ARP)");
        assert_eq!(said(PassedOver::IpProtocol(47)), "IP protocol 47 (GRE)");
    }

    #[test]
    fn a_file_of_every_kind_is_counted_in_bounded_space() {
        let mut counts = PassedOverCounts::default();
        (0..10_000).for_each(|kind| counts.add(PassedOver::EtherType(kind), 1));
        assert_eq!(counts.iter().count(), MOST_KINDS + 1);
        assert_eq!((counts.total(), counts.of(PassedOver::Other)), (10_000, 10_000 - MOST_KINDS as u64));
    }
}
