use super::script::{SSL, Script, application_data, handshake_13};
use super::terminated::Terminated;
use super::{Diagnosis, assert_verdict, may_also_be};
use crate::trace::{Confidence, Detail, How, Phase, RdpMessage, Side, VerdictId};
use crate::wire::named::{Code, Flags};
use crate::wire::rdp::error_info::error_info;
use crate::wire::rdp::licensing::{License, LicenseAlert};
use crate::wire::rdp::redirection::ServerRedirection;
use crate::wire::rdp::share::SetErrorInfo;

fn code(value: u32, name: &str) -> Code {
    Code { value, name: Some(name.to_owned()) }
}

fn set_error_info(value: u32) -> RdpMessage {
    let known = error_info(value);
    RdpMessage::SetErrorInfo(SetErrorInfo {
        error_info: value,
        name: known.map(|known| known.name.to_owned()),
        meaning: known.map(|known| known.meaning.to_owned()),
    })
}

fn in_clear() -> Script {
    Script::negotiated(0, 0)
}

fn active_then(value: u32) -> Diagnosis {
    let script = in_clear().active().wait(60_000_000);
    script
        .message(Side::Server, Phase::Active, set_error_info(value))
        .end(Side::Client, How::Reset)
        .diagnose()
}

fn connecting_then(value: u32) -> Diagnosis {
    let script = in_clear().message(Side::Server, Phase::Licensing, set_error_info(value));
    script.end(Side::Server, How::Fin).diagnose()
}

#[test]
fn set_error_info_is_proof() {
    for (value, cause) in [
        (0x1, VerdictId::AdminDisconnect),
        (0x2, VerdictId::AdminDisconnect),
        (0x3, VerdictId::IdleLimit),
        (0x4, VerdictId::IdleLimit),
        (0x5, VerdictId::SessionTaken),
        (0x7, VerdictId::ServerDenied),
        (0x9, VerdictId::AuthorizationDenied),
        (0xb, VerdictId::AdminDisconnect),
        (0xc, VerdictId::AdminDisconnect),
        (0x19, VerdictId::ServerShutdown),
        (0x1a, VerdictId::ServerShutdown),
        (0x102, VerdictId::LicensingFailed),
        (0x408, VerdictId::SessionLimit),
        (0x6, VerdictId::ProtocolError),
        (0x10d0, VerdictId::ProtocolError),
        (0xffff, VerdictId::ProtocolError),
    ] {
        let diagnosis = active_then(value);
        assert_verdict(&diagnosis, cause, Confidence::Confirmed);
        assert!(!may_also_be(&diagnosis, VerdictId::Healthy));
        let is_users = (0xb..=0xc).contains(&value);
        assert_eq!(
            (diagnosis.verdict.by_user, diagnosis.verdict.is_fault()),
            (is_users, !is_users),
            "{value:#x}"
        );
        assert_eq!(diagnosis.verdict.fix.is_empty(), is_users, "{value:#x}");
    }
    assert_verdict(&active_then(0), VerdictId::Healthy, Confidence::Confirmed);
}

#[test]
fn set_error_info_is_proof_inside_tls_too() {
    for (value, cause) in [
        (0x1, VerdictId::AdminDisconnect),
        (0x3, VerdictId::IdleLimit),
        (0x5, VerdictId::SessionTaken),
        (0x7, VerdictId::ServerDenied),
        (0x9, VerdictId::AuthorizationDenied),
        (0x1a, VerdictId::ServerShutdown),
        (0x10a, VerdictId::LicensingFailed),
        (0x408, VerdictId::SessionLimit),
        (0x10d0, VerdictId::ProtocolError),
    ] {
        let script = Terminated::default().complete();
        let script = script.message(Side::Server, Phase::Licensing, set_error_info(value));
        assert_verdict(&script.end(Side::Server, How::Fin).diagnose(), cause, Confidence::Confirmed);
    }
}

#[test]
fn the_authorization_result_is_proof_where_it_can_be_read() {
    let told = |value| {
        let session = Terminated { offers: SSL | 8, chosen: 8, same_key: true, ..Terminated::default() };
        let result = Some(Code { value, name: None });
        let detail = Detail::EarlyUserAuthorizationResult { length: 4, result };
        session.complete().server_says(Phase::Credssp, detail).end(Side::Server, How::Fin).diagnose()
    };
    assert_verdict(&told(5), VerdictId::AuthorizationDenied, Confidence::Confirmed);
    assert_verdict(&told(0), VerdictId::ServerClosed, Confidence::Likely);
}

#[test]
fn a_redirection_for_information_sends_nobody_away() {
    let flags = Flags { value: 0x80, names: Vec::new() };
    let redirection = ServerRedirection { redirection_flags: flags, ..Default::default() };
    let message = RdpMessage::ServerRedirection(Box::new(redirection));
    let script =
        in_clear().active().message(Side::Server, Phase::Active, message).end(Side::Client, How::Fin);
    assert_verdict(&script.diagnose(), VerdictId::Healthy, Confidence::Confirmed);
}

#[test]
fn the_users_own_logoff_is_called_that() {
    for value in [0xb, 0xc] {
        assert!(active_then(value).verdict.summary.contains("Nothing failed"), "{value:#x}");
    }
    assert!(active_then(0x2).verdict.summary.contains("administrator"));
}

#[test]
fn a_logoff_sooner_than_anybody_logs_off_is_not_the_users() {
    let told = |value| {
        let script = in_clear().active().wait(800_000);
        let script = script.message(Side::Server, Phase::Active, set_error_info(value));
        script.end(Side::Server, How::Fin).diagnose()
    };
    let logoff = told(0xc);
    assert_verdict(&logoff, VerdictId::AdminDisconnect, Confidence::Confirmed);
    assert!(!logoff.verdict.by_user && !logoff.verdict.fix.is_empty());
    assert!(may_also_be(&logoff, VerdictId::ServerClosed));
    assert!(told(0xb).verdict.by_user, "a window is closed as fast");
}

#[test]
fn a_logoff_before_there_is_a_session_is_not_believed() {
    assert_verdict(&connecting_then(0xc), VerdictId::ServerClosed, Confidence::Likely);
    assert_verdict(&connecting_then(0x7), VerdictId::ServerDenied, Confidence::Confirmed);
}

fn licence_alert(error: Code, transition: Code) -> Diagnosis {
    let licence = License {
        message_type: code(0xff, "ERROR_ALERT"),
        version: 3,
        extended_errors: true,
        message_size: 16,
        alert: Some(LicenseAlert { error_code: error, state_transition: transition }),
    };
    let script = in_clear().message(Side::Server, Phase::Licensing, RdpMessage::License(licence));
    script.end(Side::Server, How::Fin).diagnose()
}

#[test]
fn licensing_that_is_aborted() {
    let aborted = licence_alert(code(6, "ERR_NO_LICENSE_SERVER"), code(1, "ST_TOTAL_ABORT"));
    assert_verdict(&aborted, VerdictId::LicensingFailed, Confidence::Confirmed);
    assert!(aborted.verdict.summary.contains("ERR_NO_LICENSE_SERVER"));
    let valid = licence_alert(code(7, "STATUS_VALID_CLIENT"), code(2, "ST_NO_TRANSITION"));
    assert_verdict(&valid, VerdictId::ServerClosed, Confidence::Likely);
    assert!(may_also_be(&valid, VerdictId::LicensingFailed), "what the server thinks is not known");
}

#[test]
fn a_broker_that_sends_the_client_elsewhere() {
    let redirection = ServerRedirection { target_fqdn: Some("srv11".to_owned()), ..Default::default() };
    let message = RdpMessage::ServerRedirection(Box::new(redirection));
    let script = in_clear().message(Side::Server, Phase::Capabilities, message).end(Side::Client, How::Fin);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::RedirectedAway, Confidence::Confirmed);
    assert!(diagnosis.verdict.summary.contains("srv11"));
}

#[test]
fn a_refusal_inside_the_connection_sequence() {
    let confirm = |value| {
        let result = Code { value, name: None };
        let message = RdpMessage::AttachUserConfirm { result, initiator: None };
        in_clear().message(Side::Server, Phase::Channels, message).end(Side::Server, How::Fin).diagnose()
    };
    assert_verdict(&confirm(14), VerdictId::ProtocolError, Confidence::Confirmed);
    assert_verdict(&confirm(0), VerdictId::ServerClosed, Confidence::Likely);
}

#[test]
fn bytes_that_break_the_protocol() {
    let malformed = || RdpMessage::Malformed {
        structure: "tpktHeader".to_owned(),
        offset: 0,
        reason: "not a TPKT packet".to_owned(),
    };
    let script = in_clear().message(Side::Client, Phase::Mcs, malformed()).end(Side::Server, How::Fin);
    let diagnosis = script.diagnose();
    assert_verdict(&diagnosis, VerdictId::ProtocolError, Confidence::Likely);
    assert!(diagnosis.verdict.summary.contains("client"));
    let later =
        in_clear().active().message(Side::Client, Phase::Active, malformed()).end(Side::Client, How::Fin);
    assert_verdict(&later.diagnose(), VerdictId::Healthy, Confidence::Confirmed);
}

#[test]
fn a_servers_ultimatum_before_its_reset_is_an_orderly_end() {
    let reason = || code(3, "rn-user-requested");
    let ultimatum = || RdpMessage::DisconnectProviderUltimatum { reason: reason() };
    let script = in_clear().active().message(Side::Server, Phase::Active, ultimatum());
    assert_verdict(
        &script.end(Side::Server, How::Reset).diagnose(),
        VerdictId::Healthy,
        Confidence::Confirmed,
    );
    let early =
        in_clear().message(Side::Server, Phase::Mcs, ultimatum()).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&early, VerdictId::ServerClosed, Confidence::Likely);
    assert!(early.verdict.evidence.iter().any(|evidence| evidence.text.contains("rn-user-requested")));
}

#[test]
fn an_end_right_after_the_authorization_result() {
    let hybrid_ex = || {
        let script = handshake_13(Script::negotiated(SSL | 8, 8));
        let script = script.client(&application_data(74)).server(&application_data(300));
        let script = script.client(&application_data(700)).server(&application_data(150));
        script.client(&application_data(80)).server(&application_data(4 + 17))
    };
    for side in [Side::Server, Side::Client] {
        let denied = hybrid_ex().end(side, How::Fin).diagnose();
        assert_verdict(&denied, VerdictId::AuthorizationDenied, Confidence::Likely);
        let other = if side == Side::Client { VerdictId::ClientClosed } else { VerdictId::ServerClosed };
        assert!(may_also_be(&denied, other));
    }
    // Who decides leaves at once and in good order.
    let later = hybrid_ex().wait(6_000_000).end(Side::Client, How::Fin).diagnose();
    let reset = hybrid_ex().wait(500_000).end(Side::Server, How::Reset).diagnose();
    for diagnosis in [later, reset] {
        assert_verdict(&diagnosis, VerdictId::AuthorizationDenied, Confidence::Possible);
    }
    let allowed = hybrid_ex().client(&application_data(470)).end(Side::Server, How::Fin).diagnose();
    assert_verdict(&allowed, VerdictId::ServerClosed, Confidence::Likely);
    assert_eq!(allowed.verdict.phase, Phase::Mcs);
    assert_verdict(&hybrid_ex().stopped().diagnose(), VerdictId::ClientClosed, Confidence::Possible);
}
