//! X.224: the server's refusals, and what the client makes of its choice.

use super::facts::{AUTOMATIC_US, Facts};
use super::rule::{Conclusion, Remedy, Rule};
use super::words::{list, span};
use crate::trace::{ClosedBy, Confidence, Phase, Side, VerdictId, Where};

const SHOW_SECURITY: &str = "Get-CimInstance -Namespace root/cimv2/terminalservices -ClassName Win32_TSGeneralSetting \
     | Select-Object SecurityLayer,UserAuthenticationRequired,MinEncryptionLevel,SSLCertificateSHA1Hash,PolicySource*";

const SEE_SECURITY: Remedy = Remedy::command(
    Where::Server,
    "See what the listener demands and whether a policy sets it.",
    SHOW_SECURITY,
);
const NEW_CERTIFICATE: Remedy = Remedy::command(
    Where::Server,
    "Let Windows make a new self-signed certificate; restarting TermService cuts every session on the server.",
    "Restart-Service SessionEnv -Force; Restart-Service TermService -Force",
);
const UNBIND: Remedy = Remedy::command(
    Where::Server,
    "Drop a binding to a certificate that no longer exists; it takes effect after a restart of TermService.",
    "reg delete \"HKLM\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp\" \
     /v SSLCertificateSHA1Hash",
);

/// A rule about one RDP_NEG_FAILURE.failureCode.
macro_rules! failure_rule {
    ($id:ident, $code:literal, $summary:literal, $fix:expr) => {
        Rule {
            id: VerdictId::$id,
            needs: concat!("an X.224 negotiation failure with code ", stringify!($code)),
            depends_on: &[],
            is_last_resort: false,
            judge: |facts| failure(facts, $code, $summary),
            next: &["rdpscope probe {target}"],
            fix: $fix,
        }
    };
}

/// RDP_NEG_FAILURE.failureCode of a server that demands TLS.
const SSL_REQUIRED_BY_SERVER: u32 = 1;
/// RDP_NEG_FAILURE.failureCode of a server that demands NLA.
const HYBRID_REQUIRED_BY_SERVER: u32 = 5;

/// For a client whose offer rdpscope has changed.
const KEEP_OFFER: &[Remedy] = &[Remedy::by_hand(
    Where::Client,
    "Leave --nla strip out: with --renew-with the server's own key NLA works through rdpscope, with --nla terminate \
     rdpscope logs on by itself.",
)];

/// For a client that offers NLA alone to a server without it.
const OFFER_LESS: &[Remedy] = &[
    Remedy::by_hand(Where::Server, "Let the server do NLA where it can."),
    Remedy::by_hand(Where::Client, "Let the client offer TLS without NLA as well (xfreerdp: `/sec:tls`)."),
];

/// For a server that is set to the old RDP security.
const DEMAND_TLS: &[Remedy] = &[
    SEE_SECURITY,
    Remedy::command(
        Where::Server,
        "Let the listener negotiate (1) or demand TLS (2); it holds for new connections.",
        "Set-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp' \
         SecurityLayer 2",
    ),
];

pub(super) const RULES: &[Rule] = &[
    failure_rule!(
        TlsRequired,
        1,
        "The server demands TLS and the client offered only the old RDP security.",
        &[
            Remedy::by_hand(
                Where::Client,
                "Remove the line `negotiate security layer:i:0` from the .rdp file, or update the client.",
            ),
            SEE_SECURITY,
        ]
    ),
    failure_rule!(
        TlsRefusedByServer,
        2,
        "The server is set to the old RDP security and refuses TLS, on which the client insists.",
        DEMAND_TLS
    ),
    Rule {
        id: VerdictId::TlsRefusedByServer,
        needs: "the client's request for TLS, the server's choice of the old RDP security, and the client's end",
        depends_on: &[VerdictId::ClientPrompted, VerdictId::NlaNotOffered],
        is_last_resort: false,
        judge: tls_not_chosen,
        next: &["rdpscope probe {target}"],
        fix: DEMAND_TLS,
    },
    failure_rule!(
        ServerCertificateMissing,
        3,
        "The server has no certificate that it can use, so it cannot do TLS.",
        &[
            Remedy::command(
                Where::Server,
                "See which certificate there is.",
                "Get-ChildItem 'Cert:\\LocalMachine\\Remote Desktop' | fl Subject,NotAfter,Thumbprint",
            ),
            UNBIND,
            NEW_CERTIFICATE,
        ]
    ),
    failure_rule!(
        InconsistentFlags,
        4,
        "The server finds the client's negotiation flags contradictory: a fault of the client, or of something on \
         the way that rewrote them.",
        &[Remedy::by_hand(
            Where::Client,
            "Update the client, and try once without whatever inspects traffic between it and the server.",
        )]
    ),
    failure_rule!(
        NlaRequired,
        5,
        "The server demands network level authentication (NLA) and the client did not offer it.",
        &[
            Remedy::by_hand(
                Where::Client,
                "Set `enablecredsspsupport:i:1` in the .rdp file, or use a client that can do NLA.",
            ),
            SEE_SECURITY,
            Remedy::command(
                Where::Server,
                "Only as a last resort: accept clients without NLA, which lets anybody reach the logon screen.",
                "Set-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp' \
                 UserAuthentication 0",
            ),
        ]
    ),
    failure_rule!(
        ClientCertificateRequired,
        6,
        "The server demands TLS with a certificate of the client, which only servers of the RDP 6.0 era do.",
        &[
            SEE_SECURITY,
            Remedy::by_hand(Where::Client, "Provide the smart card or certificate that the server expects."),
        ]
    ),
    Rule {
        id: VerdictId::ProtocolError,
        needs: "an X.224 negotiation failure with a code that the specification does not list",
        depends_on: &[],
        is_last_resort: false,
        judge: unknown_failure,
        next: &["rdpscope probe {target}"],
        fix: &[SEE_SECURITY],
    },
    Rule {
        id: VerdictId::ProtocolError,
        needs: "an X.224 negotiation failure that demands what the client's request offers",
        depends_on: &[],
        is_last_resort: false,
        judge: demanded_though_offered,
        next: &["rdpscope probe {target}"],
        fix: &[
            Remedy::by_hand(
                Where::Network,
                "Connect once past whatever stands before the server (load balancer, broker, inspection): something \
                 there may rewrite the request.",
            ),
            SEE_SECURITY,
        ],
    },
    Rule {
        id: VerdictId::ServerClosed,
        needs: "an X.224 disconnect request in the place of an answer",
        depends_on: &[],
        is_last_resort: false,
        judge: disconnect_request,
        next: &["rdpscope probe {target}"],
        fix: &[Remedy::by_hand(
            Where::Network,
            "Where a load balancer or broker answers on this address, look into its log for the reason.",
        )],
    },
    Rule {
        id: VerdictId::NlaNotOffered,
        needs: "the client's request, the server's choice, and the client's end right after it",
        depends_on: &[VerdictId::ClientPrompted],
        is_last_resort: false,
        judge: nla_not_offered,
        next: &["rdpscope ab {target} --vary nla", "rdpscope probe {target}"],
        fix: &[
            Remedy::command(
                Where::Server,
                "Demand network level authentication on the listener; it holds for new connections.",
                "Set-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server\\WinStations\\RDP-Tcp' \
                 UserAuthentication 1",
            ),
            Remedy::by_hand(
                Where::Client,
                "If the server cannot do NLA (xrdp cannot), let the client use plain TLS: `enablecredsspsupport:i:0` \
                 in the .rdp file, `/sec:tls` for xfreerdp.",
            ),
        ],
    },
];

fn failure(facts: &Facts<'_>, code: u32, summary: &'static str) -> Option<Conclusion> {
    let failure = facts.negotiation.failure.filter(|failure| failure.what.code == code)?;
    if offers_what_is_demanded(facts, code) {
        return None;
    }
    if code == HYBRID_REQUIRED_BY_SERVER && facts.stripped_nla.is_some() {
        let summary = "The server demands network level authentication (NLA), which rdpscope took out of what the \
                       client offers, as --nla strip asks for: without rdpscope the client would offer it.";
        let conclusion = Conclusion::confirmed(Phase::X224, summary).advise(KEEP_OFFER);
        return Some(with_failure(conclusion, facts, failure.t_us));
    }
    if code == SSL_REQUIRED_BY_SERVER && offers_nla(facts) {
        let summary = "The server demands TLS without network level authentication (NLA), and the client offers NLA and \
                       nothing less.";
        let conclusion = Conclusion::confirmed(Phase::X224, summary).advise(OFFER_LESS);
        return Some(with_failure(conclusion, facts, failure.t_us));
    }
    Some(with_failure(Conclusion::confirmed(Phase::X224, summary), facts, failure.t_us))
}

/// Whether the server got a request for the very thing that this failure says is missing.
fn offers_what_is_demanded(facts: &Facts<'_>, code: u32) -> bool {
    match code {
        SSL_REQUIRED_BY_SERVER => facts.offered("SSL"),
        HYBRID_REQUIRED_BY_SERVER => offers_nla(facts) && facts.stripped_nla.is_none(),
        _ => false,
    }
}

fn offers_nla(facts: &Facts<'_>) -> bool {
    facts.offered("HYBRID") || facts.offered("HYBRID_EX")
}

fn demanded_though_offered(facts: &Facts<'_>) -> Option<Conclusion> {
    let failure =
        facts.negotiation.failure.filter(|failure| offers_what_is_demanded(facts, failure.what.code))?;
    let demanded = if failure.what.code == SSL_REQUIRED_BY_SERVER { "TLS" } else { "NLA" };
    let summary = format!(
        "The server refused the request because it lacks {demanded}, which the client does offer: something on the \
         way to it rewrites the request, or the server contradicts itself."
    );
    Some(with_failure(Conclusion::likely(Phase::X224, summary), facts, failure.t_us))
}

fn with_failure(conclusion: Conclusion, facts: &Facts<'_>, t_us: u64) -> Conclusion {
    let conclusion = match facts.negotiation.request {
        Some(request) => conclusion.seen(
            request.t_us,
            format!("the client offers {}", list(&request.what.requested_protocol_names)),
        ),
        None => conclusion,
    };
    match facts.negotiation.failure {
        Some(failure) => {
            conclusion.seen(t_us, format!("the server answers {} ({})", failure.what.name, failure.what.code))
        }
        None => conclusion,
    }
}

fn unknown_failure(facts: &Facts<'_>) -> Option<Conclusion> {
    let failure = facts.negotiation.failure.filter(|failure| !(1..=6).contains(&failure.what.code))?;
    let summary = format!(
        "The server refused the negotiation with code {:#x}, which the specification does not know.",
        failure.what.code
    );
    Some(with_failure(Conclusion::confirmed(Phase::X224, summary), facts, failure.t_us))
}

fn disconnect_request(facts: &Facts<'_>) -> Option<Conclusion> {
    let disconnect = facts.negotiation.disconnect?;
    let summary = format!(
        "The server answered the request with an X.224 disconnect (reason {}), which says no more than that it does \
         not want the connection.",
        disconnect.what
    );
    let conclusion = Conclusion::likely(Phase::X224, summary).or_possibly(&[VerdictId::SessionLimit]);
    Some(conclusion.seen(disconnect.t_us, format!("X.224 disconnect request, reason {}", disconnect.what)))
}

fn nla_not_offered(facts: &Facts<'_>) -> Option<Conclusion> {
    let (request, confirm) = (facts.negotiation.request?, facts.negotiation.confirm?);
    let offered_nla = facts.offered("HYBRID") || facts.offered("HYBRID_EX");
    let left = facts.ending.by == Some(ClosedBy::Client) && facts.tls.client_hello.is_none();
    let selected = confirm.what.selected_protocol_name.as_str();
    if !offered_nla
        || !left
        || !matches!(selected, "SSL" | "RDP")
        || facts.last_of_client_is_after(confirm.t_us)
    {
        return None;
    }
    let conclusion = if facts.stripped_nla.is_some() {
        let summary = "rdpscope took network level authentication (NLA) out of what the client offers, as --nla strip \
                       asks for, and the client left without it: that is not the server's doing.";
        Conclusion::likely(Phase::X224, summary).advise(KEEP_OFFER).or_possibly(&[VerdictId::ClientClosed])
    } else if facts.offered("SSL") {
        let summary = format!(
            "The client left after the server had chosen {selected} instead of network level authentication (NLA), \
             on which it seems to insist although it offered TLS without it as well."
        );
        // A client that leaves at once has decided by itself; later it may have been its user.
        let at_once = facts.left_after(confirm.t_us) < AUTOMATIC_US;
        let confidence = if at_once { Confidence::Likely } else { Confidence::Possible };
        Conclusion::new(confidence, Phase::X224, summary).or_possibly(&[VerdictId::ClientClosed])
    } else {
        let summary = format!(
            "The client insists on network level authentication (NLA), the server chose {selected}, and the client \
             left."
        );
        Conclusion::confirmed(Phase::X224, summary)
    };
    let after = span(facts.left_after(confirm.t_us));
    let asks = list(&request.what.requested_protocol_names);
    Some(
        conclusion
            .seen(request.t_us, format!("the client offers {asks}"))
            .seen(confirm.t_us, format!("the server chooses {selected}"))
            .seen(facts.ending.t_us, format!("the client leaves {after} later")),
    )
}

/// Some servers choose the old RDP security instead of refusing with a code (xrdp does): the client just leaves.
fn tls_not_chosen(facts: &Facts<'_>) -> Option<Conclusion> {
    let (request, confirm) = (facts.negotiation.request?, facts.negotiation.confirm?);
    let left = facts.ending.by == Some(ClosedBy::Client) && !facts.last_of_client_is_after(confirm.t_us);
    let selected = confirm.what.selected_protocol_name.as_str();
    if !facts.offered("SSL") || !left || selected != "RDP" {
        return None;
    }
    let summary = "The client asked for TLS, the server chose the old RDP security, and the client left.";
    let at_once = facts.left_after(confirm.t_us) < AUTOMATIC_US;
    let confidence = if at_once { Confidence::Likely } else { Confidence::Possible };
    let after = span(facts.left_after(confirm.t_us));
    Some(
        Conclusion::new(confidence, Phase::X224, summary)
            .or_possibly(&[VerdictId::ClientClosed])
            .seen(request.t_us, format!("the client offers {}", list(&request.what.requested_protocol_names)))
            .seen(confirm.t_us, format!("the server chooses {selected}"))
            .seen(facts.ending.t_us, format!("the client leaves {after} later")),
    )
}

impl Facts<'_> {
    /// Whether the client sent anything after this.
    fn last_of_client_is_after(&self, t_us: u64) -> bool {
        self.last[Side::Client.index()].is_some_and(|last| last > t_us)
    }
}
