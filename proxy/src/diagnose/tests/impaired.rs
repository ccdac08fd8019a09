use super::script::{HYBRID, SSL, Script, client_hello, failure, handshake_13, request, session_traffic};
use super::{assert_verdict, has_finding, may_also_be};
use crate::trace::{Confidence, Detail, Direction, Effect, How, Phase, Side, VerdictId};

const SECOND: u64 = 1_000_000;

fn impaired(script: Script, setting: &str, delay_us: u64) -> Script {
    let setting = setting.to_owned();
    let (effect, delay_us) = (Effect::Shaped, Some(delay_us));
    script.proxy(Phase::Tcp, Detail::Impaired { setting, effect, direction: None, delay_us })
}

fn cut(script: Script, setting: &str, effect: Effect, phase: Phase) -> Script {
    let (setting, direction) = (setting.to_owned(), Some(Direction::Down));
    script.proxy(phase, Detail::Impaired { setting, effect, direction, delay_us: None })
}

#[test]
fn a_connection_that_was_cut_on_request_is_nobodys_fault() {
    for effect in [Effect::Stalled, Effect::Reset, Effect::Closed] {
        let script = || {
            cut(Script::negotiated(SSL, SSL), "down:x", effect, Phase::X224).client(&client_hello("srv10"))
        };
        for from in [Side::Client, Side::Server] {
            let diagnosis = script().wait(20 * SECOND).end(from, How::Fin).diagnose();
            assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Confirmed);
            assert!(!diagnosis.verdict.id.is_fault());
            assert!(diagnosis.verdict.summary.contains("--impair down:x"), "{}", diagnosis.verdict.summary);
            assert!(diagnosis.verdict.alternatives.is_empty(), "{:?}", diagnosis.verdict.alternatives);
            assert!(has_finding(&diagnosis, "confounder-impaired"));
            assert!(!script().end(from, How::Fin).may_be_a_prompt());
        }
    }
}

#[test]
fn what_was_proved_before_the_cut_stands() {
    let refused = Script::connected().client(&request(SSL)).server(&failure(5));
    let diagnosis = cut(refused, "reset-after=x224", Effect::Reset, Phase::X224).stopped().diagnose();
    assert_verdict(&diagnosis, VerdictId::NlaRequired, Confidence::Confirmed);
}

#[test]
fn a_session_that_was_cut_while_active_had_worked() {
    let active = session_traffic(handshake_13(Script::negotiated(SSL, SSL)));
    let diagnosis = cut(active.wait(SECOND), "down:x", Effect::Reset, Phase::Active).stopped().diagnose();
    assert_verdict(&diagnosis, VerdictId::Healthy, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("as --impair asks"), "{}", diagnosis.verdict.summary);
}

#[test]
fn a_silence_that_latency_explains_is_no_stall() {
    let silent =
        |script: Script, us| script.client(&request(SSL)).wait(us).end(Side::Client, How::Fin).diagnose();
    let late = || impaired(Script::connected(), "latency=400ms", 400_000);
    assert_verdict(&silent(late(), 7 * SECOND / 2), VerdictId::ClientClosed, Confidence::Likely);
    assert_verdict(&silent(late(), 6 * SECOND), VerdictId::RdpSilent, Confidence::Likely);
    let very_late = impaired(Script::connected(), "latency=4s", 4 * SECOND);
    let diagnosis = silent(very_late, 6 * SECOND);
    assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Likely);
    assert!(has_finding(&diagnosis, "confounder-impaired"));
}

#[test]
fn a_server_that_gives_up_over_a_bad_connection_is_not_blamed() {
    let dropped = |setting, delay| {
        let script = impaired(Script::negotiated(SSL | HYBRID, SSL), setting, delay);
        script.client(&client_hello("srv10")).end(Side::Server, How::Fin).diagnose()
    };
    for (setting, delay) in [("rate=8kbit", 16 * SECOND), ("chunk=1", 16 * SECOND), ("mss=88", 0)] {
        let diagnosis = dropped(setting, delay);
        assert_verdict(&diagnosis, VerdictId::ClientClosed, Confidence::Possible);
        assert!(diagnosis.verdict.summary.contains(setting), "{}", diagnosis.verdict.summary);
        assert!(may_also_be(&diagnosis, VerdictId::ServerClosed));
    }
    let slightly = dropped("latency=20ms", 20_000);
    assert_eq!(slightly.verdict.id, VerdictId::ServerKeyUnusable, "20 ms upset no server");
}
