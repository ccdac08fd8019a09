use super::script::{SSL, Script, handshake_13, session_traffic};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, How, Line, Record, Side, Syn, Transport, UdpMessage, VerdictId};

fn syn() -> UdpMessage {
    let syn = Syn {
        version: Some(3),
        udp_version: Some(0x101),
        flags: Vec::new(),
        lossy: false,
        up_mtu: 1232,
        down_mtu: 1232,
        length: 1232,
    };
    UdpMessage::Syn { attempt: 1, syn, correlation_id: None, cookie_hash: false }
}

fn unanswered(syn_count: u32) -> UdpMessage {
    UdpMessage::Unanswered { syn_count, waited_us: 4_000_000 }
}

fn established() -> UdpMessage {
    UdpMessage::Established { version: Some(3), took_us: Some(9_000) }
}

fn silence() -> UdpMessage {
    UdpMessage::Silence { side: Side::Server, for_us: 65_000_000, after_datagrams: 40 }
}

fn session() -> Script {
    session_traffic(handshake_13(Script::negotiated(SSL, SSL))).udp(syn())
}

fn over_udp_only(script: Script) -> super::Diagnosis {
    let mut record: Record = script.record();
    let mut summary = record.summary.take().unwrap();
    summary.transport = Some(Transport::Udp);
    summary.udp.get_or_insert_default();
    record.push(Line::Summary(summary));
    super::super::diagnose(&record, &super::super::Context::default())
}

#[test]
fn a_healthy_session_with_blocked_udp_is_healthy() {
    let diagnosis = session().end(Side::Client, How::Fin).udp(unanswered(4)).diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    assert!(has_finding(&diagnosis, "udp-blocked"));
    let too_soon = session().end(Side::Client, How::Fin).udp(unanswered(1)).diagnose();
    assert!(!has_finding(&too_soon, "udp-blocked"));
}

#[test]
fn a_session_that_dies_while_udp_is_blocked_may_have_to_do_with_it() {
    let diagnosis = session().end(Side::Server, How::Reset).udp(unanswered(4)).diagnose();
    assert_verdict(&diagnosis, VerdictId::ServerClosed, Confidence::Likely);
    assert!(may_also_be(&diagnosis, VerdictId::UdpBlocked) && has_finding(&diagnosis, "udp-blocked"));
    let answered = session().udp(established()).end(Side::Server, How::Reset).diagnose();
    assert!(!may_also_be(&answered, VerdictId::UdpBlocked));
}

#[test]
fn a_session_that_dies_after_udp_fell_silent() {
    let died = session().udp(established()).udp(silence()).end(Side::Server, How::Reset).diagnose();
    assert!(may_also_be(&died, VerdictId::UdpHalfOpen));
    let healthy = session().udp(established()).udp(silence()).end(Side::Client, How::Fin).diagnose();
    assert_verdict(&healthy, VerdictId::Healthy, Confidence::Likely);
    assert!(has_finding(&healthy, "udp-half-open"));
}

#[test]
fn where_there_is_nothing_but_udp_its_failure_is_the_cause() {
    let blocked = Script::accepted().udp(syn()).udp(unanswered(3));
    assert_verdict(&over_udp_only(blocked), VerdictId::UdpBlocked, Confidence::Likely);
    let half_open = Script::accepted().udp(syn()).udp(established()).udp(silence());
    assert_verdict(&over_udp_only(half_open), VerdictId::UdpHalfOpen, Confidence::Likely);
    let open = Script::accepted().udp(syn()).udp(established());
    assert_verdict(&over_udp_only(open), VerdictId::Healthy, Confidence::Likely);
}
