//! What else is in a capture, counted.

use std::collections::BTreeMap;

/// Ports that are named.
const MOST_NAMED: usize = 3;

/// Flows that are not of RDP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// TCP connections.
    pub tcp: u64,
    /// UDP flows.
    pub udp: u64,
    by_port: BTreeMap<(&'static str, u16), u64>,
}

impl Traffic {
    pub(super) fn tcp(&mut self, port: u16) {
        self.tcp += 1;
        *self.by_port.entry(("tcp", port)).or_default() += 1;
    }

    pub(super) fn udp(&mut self, port: u16) {
        self.udp += 1;
        *self.by_port.entry(("udp", port)).or_default() += 1;
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.tcp == 0 && self.udp == 0
    }

    /// `12 TCP connections and 3 UDP flows, most to ports tcp/443, udp/53 and tcp/22`.
    pub fn words(&self) -> String {
        let plural = |count: u64, one: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {one}s"),
        };
        let counts = match (self.tcp, self.udp) {
            (0, 0) => return "neither TCP nor UDP".to_owned(),
            (tcp, 0) => plural(tcp, "TCP connection"),
            (0, udp) => plural(udp, "UDP flow"),
            (tcp, udp) => format!("{} and {}", plural(tcp, "TCP connection"), plural(udp, "UDP flow")),
        };
        let mut ports: Vec<_> = self.by_port.iter().collect();
        ports.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let most = if ports.len() > MOST_NAMED { ", most" } else { "," };
        let named: Vec<String> = ports
            .iter()
            .take(MOST_NAMED)
            .map(|((transport, port), _)| format!("{transport}/{port}"))
            .collect();
        format!("{counts}{most} to {}", named.join(", "))
    }
}
