//! The picture of the phases, drawn from the program's own list of them.

use super::{Files, assert_kept};
use rdpscope::trace::Phase;
use std::fmt::Write;

const FILE: &str = "docs/pictures/phases.svg";

/// How much of a phase can be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Sight {
    /// It is in clear on the wire.
    Clear,
    /// It is inside TLS: sizes and times, unless TLS ends in rdpscope.
    Inside,
    /// Only where a gateway is in the way.
    Gateway,
}

/// A phase, how much of it can be seen, what happens, and a cause that ends there.
type Row = (Phase, Sight, &'static str, &'static str);

const ROWS: [Row; 20] = [
    (Phase::Dns, Sight::Clear, "the name becomes addresses", "dns-failure"),
    (Phase::Tcp, Sight::Clear, "TCP connects", "tcp-refused"),
    (Phase::GatewayTcp, Sight::Gateway, "TCP connects to the gateway", "gateway-unreachable"),
    (Phase::GatewayTls, Sight::Gateway, "TLS with the gateway", "certificate-expired"),
    (Phase::GatewayHttp, Sight::Gateway, "HTTP up to the gateway's answer", "gateway-transport-blocked"),
    (Phase::GatewayAuth, Sight::Gateway, "the logon at the gateway", "gateway-auth-failed"),
    (Phase::GatewayTunnel, Sight::Gateway, "the tunnel and its policies", "gateway-policy-denied"),
    (Phase::GatewayChannel, Sight::Gateway, "the channel to the target", "gateway-target-unreachable"),
    (Phase::X224, Sight::Clear, "client and server agree on what protects the session", "nla-required"),
    (Phase::Tls, Sight::Clear, "the TLS handshake; TLS 1.3 hides the certificate", "server-key-unusable"),
    (Phase::Credssp, Sight::Inside, "network level authentication (NLA)", "nla-logon-failed"),
    (Phase::Mcs, Sight::Inside, "the client's and the server's settings", "protocol-error"),
    (Phase::Channels, Sight::Inside, "channels are joined", "protocol-error"),
    (Phase::Info, Sight::Inside, "who logs on, and with which wishes", "authorization-denied"),
    (Phase::Licensing, Sight::Inside, "a licence is asked for", "licensing-failed"),
    (Phase::Capabilities, Sight::Inside, "what both can draw", "protocol-error"),
    (Phase::Finalization, Sight::Inside, "the last agreements", "protocol-error"),
    (Phase::Active, Sight::Inside, "the desktop is there", "idle-timeout"),
    (Phase::Udp, Sight::Clear, "a second way beside TCP, where both want it", "udp-blocked"),
    (Phase::Closed, Sight::Clear, "who ended it, and how: FIN, reset, alert", "client-closed"),
];

const ROW_HEIGHT: usize = 30;
const TOP: usize = 78;
const WIDTH: usize = 900;

#[test]
fn the_picture_of_the_phases_is_of_all_phases() {
    let order: Vec<Phase> = ROWS.iter().map(|row| row.0).collect();
    assert!(order.is_sorted());
    let schema = serde_json::to_value(schemars::schema_for!(Phase)).expect("a schema is JSON");
    let known = schema["oneOf"].as_array().map_or(0, Vec::len);
    assert_eq!(order.len(), known, "{schema}");
    for (phase, .., cause) in ROWS {
        assert!(rdpscope::diagnose::cause::named(cause).is_some(), "{phase}: {cause}");
    }
    assert_kept(&Files::from([(FILE.to_owned(), picture())]));
}

fn picture() -> String {
    let height = TOP + ROWS.len() * ROW_HEIGHT + 52;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"14\" role=\"img\" \
         aria-label=\"The phases of a Remote Desktop connection, in their order\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n"
    );
    for (x, width, name) in [(20, 110, "client"), (395, 110, "rdpscope"), (770, 110, "server")] {
        line(
            &mut svg,
            &format!(
                "<rect x=\"{x}\" y=\"16\" width=\"{width}\" height=\"30\" rx=\"6\" fill=\"#1f2937\"/>\
             <text x=\"{}\" y=\"36\" fill=\"#ffffff\" text-anchor=\"middle\" font-weight=\"600\">{name}</text>",
                x + width / 2
            ),
        );
    }
    for (x1, x2, leg) in [(134, 391, "client leg"), (509, 766, "server leg")] {
        line(
            &mut svg,
            &format!(
                "<path d=\"M{x1} 31 H{x2}\" stroke=\"#6b7280\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"24\" fill=\"#374151\" text-anchor=\"middle\" font-size=\"12\">{leg}</text>",
                (x1 + x2) / 2
            ),
        );
    }
    for (x, anchor, words) in
        [(34, "start", "phase"), (190, "start", "what happens"), (WIDTH - 32, "end", "may end in")]
    {
        line(
            &mut svg,
            &format!(
                "<text x=\"{x}\" y=\"{}\" fill=\"#6b7280\" text-anchor=\"{anchor}\" font-size=\"12\">{words}</text>",
                TOP - 8
            ),
        );
    }
    for (index, row) in ROWS.iter().enumerate() {
        draw(&mut svg, TOP + index * ROW_HEIGHT, row);
    }
    legend(&mut svg, TOP + ROWS.len() * ROW_HEIGHT + 24);
    svg + "</svg>\n"
}

fn colours(sight: Sight) -> (&'static str, &'static str) {
    match sight {
        Sight::Clear => ("#dbeafe", "#1d4ed8"),
        Sight::Inside => ("#fef3c7", "#b45309"),
        Sight::Gateway => ("#ede9fe", "#6d28d9"),
    }
}

fn draw(svg: &mut String, y: usize, (phase, sight, what, cause): &Row) {
    let (fill, stroke) = colours(*sight);
    line(
        svg,
        &format!(
            "<rect x=\"20\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"{fill}\"/>\
         <rect x=\"20\" y=\"{y}\" width=\"4\" height=\"{}\" fill=\"{stroke}\"/>",
            WIDTH - 40,
            ROW_HEIGHT - 4,
            ROW_HEIGHT - 4
        ),
    );
    let baseline = y + 18;
    line(
        svg,
        &format!(
            "<text x=\"34\" y=\"{baseline}\" fill=\"#111827\" font-family=\"ui-monospace, monospace\" font-weight=\"600\">{phase}</text>\
         <text x=\"190\" y=\"{baseline}\" fill=\"#111827\">{what}</text>\
         <text x=\"{}\" y=\"{baseline}\" fill=\"#4b5563\" font-family=\"ui-monospace, monospace\" font-size=\"12\" text-anchor=\"end\">{cause}</text>",
            WIDTH - 32
        ),
    );
}

fn legend(svg: &mut String, y: usize) {
    for (x, sight, words) in [
        (20, Sight::Clear, "seen as it is"),
        (170, Sight::Gateway, "only through an RD Gateway"),
        (410, Sight::Inside, "inside TLS: by sizes and times (~), in full where --cert ends TLS"),
    ] {
        let (fill, stroke) = colours(sight);
        line(
            svg,
            &format!(
                "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\" rx=\"3\" fill=\"{fill}\" stroke=\"{stroke}\"/>\
             <text x=\"{}\" y=\"{y}\" fill=\"#374151\" font-size=\"12\">{words}</text>",
                y - 11,
                x + 20
            ),
        );
    }
}

fn line(svg: &mut String, text: &str) {
    writeln!(svg, "{text}").expect("writing to a string");
}
