//! The RDP-UDP side channel, where its failure may have cost the session.

use super::facts::Facts;
use super::rule::{Conclusion, Remedy, Rule};
use super::words::span;
use crate::trace::{ClosedBy, Phase, Transport, VerdictId, Where};

/// Windows repeats its SYN after 800 ms; one that is repeated was not answered, one alone may just not have been yet.
const SYNS_WITHOUT_ANSWER: u32 = 2;

const CLIENT_OFF: Remedy = Remedy::command(
    Where::Client,
    "Let the client use TCP only; it holds for new connections, which lose nothing but some fluency.",
    "New-ItemProperty 'HKLM:\\SOFTWARE\\Policies\\Microsoft\\Windows NT\\Terminal Services\\Client' fClientDisableUDP \
     -Value 1 -PropertyType DWord -Force",
);
const LET_THROUGH: Remedy = Remedy::by_hand(
    Where::Network,
    "Let UDP port {port} through in both directions, or block it openly with a reject.",
);
const UDP_RULE: Remedy = Remedy::command(
    Where::Server,
    "See whether the host's firewall lets Remote Desktop over UDP in.",
    "Get-NetFirewallRule -Name RemoteDesktop-UserMode-In-UDP | ft Name,Enabled",
);

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: VerdictId::UdpBlocked,
        needs: "RDP-UDP datagrams, and a session that failed",
        depends_on: &[VerdictId::Healthy],
        is_last_resort: false,
        judge: blocked,
        next: &["rdpscope ab {target} --vary udp"],
        fix: &[LET_THROUGH, UDP_RULE, CLIENT_OFF],
    },
    Rule {
        id: VerdictId::UdpHalfOpen,
        needs: "RDP-UDP datagrams, and a session that failed",
        depends_on: &[VerdictId::Healthy],
        is_last_resort: false,
        judge: half_open,
        next: &["rdpscope ab {target} --vary udp"],
        fix: &[CLIENT_OFF, LET_THROUGH],
    },
];

impl Facts<'_> {
    /// How many SYNs stayed without an answer, for how long, and when that was told.
    pub(super) fn udp_is_blocked(&self) -> Option<(u32, u64, u64)> {
        let unanswered = self.udp.unanswered.filter(|_| !self.udp.answered)?;
        let (count, waited) = unanswered.what;
        (count >= SYNS_WITHOUT_ANSWER).then_some((count, waited, unanswered.t_us))
    }

    /// For how long the server of an open UDP connection had sent nothing, and when that was told.
    pub(super) fn udp_is_half_open(&self) -> Option<(u64, u64)> {
        let silence = self.udp.server_silence.filter(|_| self.udp.established.is_some())?;
        Some((silence.what, silence.t_us))
    }

    /// Whether the main connection failed after the client had begun with UDP, which it does inside a session.
    fn died_after_udp(&self) -> bool {
        self.udp.syn.is_some_and(|syn| syn <= self.ending.t_us)
            && matches!(self.ending.by, Some(ClosedBy::Client | ClosedBy::Server))
            && (self.inside.client_went_on.is_some() || self.inside.active.is_some())
    }
}

fn blocked(facts: &Facts<'_>) -> Option<Conclusion> {
    let (count, waited, t_us) = facts.udp_is_blocked()?;
    let waited = span(waited);
    let conclusion = if facts.summary.transport == Some(Transport::Udp) {
        let summary =
            format!("The server did not answer over UDP: {count} attempts in {waited} came to nothing.");
        Conclusion::likely(Phase::Udp, summary)
    } else if facts.died_after_udp() {
        let summary = format!(
            "The session ended while the client tried in vain to open UDP ({count} attempts in {waited}); the one may \
             have to do with the other."
        );
        Conclusion::possible(Phase::Udp, summary)
    } else {
        return None;
    };
    Some(conclusion.seen(t_us, format!("{count} RDP-UDP SYNs, no SYN+ACK")))
}

fn half_open(facts: &Facts<'_>) -> Option<Conclusion> {
    let (silent, t_us) = facts.udp_is_half_open()?;
    let silent = span(silent);
    let conclusion = if facts.summary.transport == Some(Transport::Udp) {
        let summary = format!("UDP was opened, then nothing came from the server for {silent}.");
        Conclusion::likely(Phase::Udp, summary)
    } else if facts.died_after_udp() {
        let summary = format!(
            "UDP was opened, then nothing came over it from the server for {silent}, and the session ended; the one \
             may have to do with the other."
        );
        Conclusion::possible(Phase::Udp, summary)
    } else {
        return None;
    };
    Some(conclusion.seen(t_us, format!("the server is silent on UDP for {silent}")))
}
