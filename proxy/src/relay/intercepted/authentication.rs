//! rdpscope logs on by itself on both legs (`--nla terminate`): first to the server, so that a client is let in only where
//! the server lets us in.

use super::Intercepted;
use super::legs::Stopped;
use crate::intercept::credssp::{
    self, Connected, Credentials, CredsspError, CredsspTap, EarlyUserAuthorization, Mechanism,
    read_early_user_authorization, send_early_user_authorization,
};
use crate::intercept::presenter::Presented;
use crate::intercept::settings::Nla;
use crate::intercept::tls::{ServerLeg, TlsStream, subject_public_key};
use crate::recorder::pcapng::InsideCapture;
use crate::relay::session::{SessionTap, SharedSession};
use crate::relay::socket::Socket;
use crate::trace::{Detail, Leg, Phase, Side};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// RDP_NEG_RSP.selectedProtocol.
const SSL: u32 = 1;
const HYBRID: u32 = 2;
const HYBRID_EX: u32 = 8;
/// How long one leg may take. A server that asks a domain controller at the other end of the world takes seconds;
/// Windows itself gives up the whole connection sequence after a minute (MS-RDPBCGR 1.3.1.1).
const LOG_ON_WITHIN: Duration = Duration::from_secs(60);

/// Shows the messages of one leg to the session's observer.
struct LegTap {
    session: SharedSession,
    side: Side,
    capture: Option<InsideCapture>,
}

impl CredsspTap for LegTap {
    fn message(&mut self, from_us: bool, bytes: &[u8]) {
        let now = Instant::now();
        if let Some(capture) = &mut self.capture {
            capture.said(now, if from_us { self.side.opposite() } else { self.side }, bytes);
        }
        self.session.lock().credssp(now, self.side, from_us, bytes);
    }
}

/// Logs on where that is asked for and `protocol` (RDP_NEG_RSP.selectedProtocol) has NLA. Answers with the protocol
/// that describes what follows inside TLS.
pub(super) async fn log_on<C: AsyncRead + AsyncWrite + Unpin>(
    client: &mut TlsStream<C>,
    server: &mut ServerLeg<Socket>,
    presented: &Presented,
    protocol: Option<u32>,
    tap: &SessionTap<'_>,
    context: Intercepted<'_>,
) -> Result<Option<u32>, Stopped> {
    let (Nla::Terminate(credentials), Some(HYBRID | HYBRID_EX)) = (&context.interception.nla, protocol)
    else {
        return Ok(protocol);
    };
    let with_authorization = protocol == Some(HYBRID_EX);
    let target = format!("TERMSRV/{}", context.interception.server_name);
    let session = tap.session();
    let leg = |side| LegTap { session: session.clone(), side, capture: tap.inside_capture() };
    let mut at_server = leg(Side::Server);
    let to_server = to_the_server(server, credentials, &target, with_authorization, &mut at_server);
    let authorization = concluded(session, Side::Server, to_server).await?;
    let mut at_client = leg(Side::Client);
    let to_client = to_the_client(client, presented, credentials, authorization, &mut at_client);
    concluded(session, Side::Client, to_client).await?;
    Ok(Some(SSL))
}

async fn to_the_server(
    server: &mut ServerLeg<Socket>,
    credentials: &Credentials,
    target: &str,
    with_authorization: bool,
    tap: &mut LegTap,
) -> Result<(Option<EarlyUserAuthorization>, String), CredsspError> {
    let key = server.public_key.clone().unwrap_or_default();
    let connected = credssp::connect(&mut server.stream, &key, credentials, target, tap).await?;
    let how = how(&connected, target);
    if !with_authorization {
        return Ok((None, how));
    }
    let authorization = read_early_user_authorization(&mut server.stream, tap).await?;
    Ok((Some(authorization), how))
}

/// Which mechanism it was, and why.
fn how(connected: &Connected, target: &str) -> String {
    match (connected.mechanism, &connected.not_kerberos) {
        (Mechanism::Kerberos, _) => format!("by Kerberos, with a ticket for {target}"),
        (_, None) => "by NTLM".to_owned(),
        (_, Some(reason)) => format!("by NTLM, as {reason}"),
    }
}

async fn to_the_client<C: AsyncRead + AsyncWrite + Unpin>(
    client: &mut TlsStream<C>,
    presented: &Presented,
    credentials: &Credentials,
    authorization: Option<EarlyUserAuthorization>,
    tap: &mut LegTap,
) -> Result<((), String), CredsspError> {
    let key = presented.der.first().and_then(|der| subject_public_key(der)).unwrap_or_default();
    let accepted = credssp::accept(client, &key, credentials, tap).await?;
    if let Some(result) = authorization {
        send_early_user_authorization(client, result, tap).await?;
    }
    Ok(((), accepted.how))
}

/// What a leg came to and how, said in the trace.
async fn concluded<T>(
    session: &SharedSession,
    side: Side,
    log_on: impl Future<Output = Result<(T, String), CredsspError>>,
) -> Result<T, Stopped> {
    let reason = match tokio::time::timeout(LOG_ON_WITHIN, Box::pin(log_on)).await {
        Ok(Ok((done, how))) => {
            let detail = Detail::CredsspTerminated { succeeded: true, reason: Some(how) };
            session.lock().trace.say(Leg::from(side), None, Phase::Credssp, detail);
            return Ok(done);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("CredSSP with the {side}: no end within {} s", LOG_ON_WITHIN.as_secs()),
    };
    let detail = Detail::CredsspTerminated { succeeded: false, reason: Some(reason) };
    let mut observed = session.lock();
    observed.trace.say(Leg::from(side), None, Phase::Credssp, detail);
    observed.close_by_proxy("its own NLA did not come through");
    Err(Stopped::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::{SessionId, SessionTrace, TraceStart};

    #[tokio::test(start_paused = true)]
    async fn half_a_token_is_waited_for_no_longer_than_windows_does() {
        let start = TraceStart {
            id: SessionId::from("test"),
            target: String::new(),
            settings: serde_json::Map::new(),
            started: jiff::Timestamp::UNIX_EPOCH,
            began: Instant::now(),
        };
        let session = SharedSession::new(SessionTrace::begin(start, None), true);
        let began = tokio::time::Instant::now();
        let never = std::future::pending::<Result<((), String), CredsspError>>();
        assert!(matches!(concluded(&session, Side::Client, never).await, Err(Stopped::Closed)));
        assert_eq!(began.elapsed(), LOG_ON_WITHIN);
        let observed = session.lock();
        let told = observed.trace.record().find(|detail| match detail {
            Detail::CredsspTerminated { succeeded: false, reason } => reason.as_deref(),
            _ => None,
        });
        let reason = told.map(|(_, reason)| reason).unwrap_or_default();
        assert!(reason.ends_with("no end within 60 s"), "{reason}");
    }
}
