//! `rdpscope proxy TARGET`.

use super::arguments::{self, ProxyArguments};
use super::console::Console;
use super::interception;
use super::opening;
use super::output::Output;
use super::trust_store::{TrustedForRun, forget_left_behind};
use super::watching::{BoundWatching, Watching};
use super::{Exit, Failure};
use crate::alter::impair::Impairments;
use crate::intercept::settings::InterceptionSettings;
use crate::recorder::{CaptureSettings, Recorder, TraceFolder};
use crate::relay::listener::{Finished, Listener, Settings};
use crate::relay::session::Route;
use crate::trace::{Record, Verdict};
use rdpscope_certs::mode::CertificateMode;
use serde_json::{Map, Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) fn run(mut arguments: ProxyArguments, output: &Output) -> Result<Exit, Failure> {
    refuse_listening(&arguments)?;
    let opened = arguments.open.then(opening::usual_client).transpose()?;
    arguments.settle()?;
    let prepared = Prepared::new(&arguments)?;
    refuse_needless_secrets(&arguments)?;
    let folder = trace_folder(&arguments)?;
    let capture = capture(&arguments, output);
    let watching = BoundWatching::bind(&arguments)?;
    let profiles = opening::profiles(&arguments, folder.as_ref());
    forget_left_behind(output);
    let runtime = runtime()?;
    runtime.block_on(async {
        let interrupted =
            interrupted().map_err(|error| Failure::not_done(format!("cannot wait for signals: {error}")))?;
        let (settings, trusted) = prepared.ready(output).await?;
        let client = settings.client.clone().or(opened);
        let settings = Settings { profiles, client, ..settings };
        let watching = watching.start(folder.as_ref(), output)?;
        let kept = (folder, capture);
        let relayed =
            relay_between(settings, kept, watching, output, interrupted, |_| std::future::ready(())).await;
        drop(trusted);
        relayed
    })
}

/// Checked settings, before a certificate is made and anything is opened.
pub(super) struct Prepared {
    settings: Settings,
    intercepting: Option<InterceptionSettings>,
    inner: Option<InterceptionSettings>,
    ca_out: Option<PathBuf>,
    trusts_ca: bool,
}

impl Prepared {
    /// Those that settled `arguments` ask for.
    pub(super) fn new(arguments: &ProxyArguments) -> Result<Prepared, Failure> {
        let inner = arguments.inner_settings()?;
        let intercepting = arguments.outer().settings(
            arguments.far_side(),
            arguments.address().as_ref(),
            arguments.listen(),
            arguments.udp,
        )?;
        let impairments = Impairments::new(arguments.impair.clone()).map_err(Failure::usage)?;
        let mut settings = Settings { impairments, ..settings(arguments.clone()) };
        if let Some(gateway) = &mut settings.gateway {
            gateway.call_keys = arguments.call_keys()?;
        }
        Ok(Prepared {
            settings,
            intercepting,
            inner,
            ca_out: arguments.interception.ca_out.clone(),
            trusts_ca: arguments.interception.trust_ca,
        })
    }

    /// Makes the certificates, where there are any to make; this machine trusts their CA for as long as the second answer
    /// lives, where that is asked for.
    pub(super) async fn ready(self, output: &Output) -> Result<(Settings, Option<TrustedForRun>), Failure> {
        let Prepared { mut settings, intercepting, inner, ca_out, trusts_ca } = self;
        let Some(intercepting) = intercepting else { return Ok((settings, None)) };
        let route = settings.gateway.as_ref().map_or(&settings.route, |gateway| &gateway.route);
        let (ready, inner) =
            interception::make_both_ready(intercepting, inner, route, ca_out.as_deref(), output).await?;
        let both = [Some(&ready), inner.as_ref()];
        let mut authorities = both.iter().flatten().filter_map(|it| it.presenter.authority());
        let trusted = if trusts_ca { TrustedForRun::of_any(&mut authorities, output)? } else { None };
        settings.interception = Some(Arc::new(ready));
        if let Some(gateway) = &mut settings.gateway {
            gateway.inner = inner.map(Arc::new);
        }
        Ok((settings, trusted))
    }
}

/// An address that other machines can reach has to be allowed, and one that is the target's own cannot be.
pub(super) fn refuse_listening(arguments: &ProxyArguments) -> Result<(), Failure> {
    refuse_itself(arguments)?;
    if arguments.listen().ip().is_loopback() || arguments.allow_remote {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} can be reached by other machines; add --allow-remote if they shall use this relay",
        arguments.listen()
    )))
}

/// A relay that is its own target would connect to itself until nothing is left.
fn refuse_itself(arguments: &ProxyArguments) -> Result<(), Failure> {
    let address = arguments.address();
    let far = address.as_ref().unwrap_or(arguments.far_side());
    let listen = arguments.listen();
    let is_here =
        far.ip().is_some_and(|ip| ip == listen.ip() || listen.ip().is_unspecified() && ip.is_loopback());
    if arguments.upstream_proxy.is_some() || !is_here || far.port != listen.port() {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{listen} is where this relay listens itself; name the server's own address with --address, or listen elsewhere \
         with --listen"
    )))
}

/// For what is not a session: those run on threads of their own.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    raise_descriptor_limit();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::not_done(format!("cannot start: {error}")))
}

/// Listens and relays until it is over; `client` is run once the address is known.
pub(super) async fn relay_between<C>(
    settings: Settings,
    (folder, capture): (Option<TraceFolder>, Option<CaptureSettings>),
    watching: Watching,
    output: &Output,
    interrupted: impl Future<Output = ()>,
    client: impl FnOnce(SocketAddr) -> C,
) -> Result<Exit, Failure>
where
    C: Future<Output = ()> + Send + 'static,
{
    let profiles = settings.profiles.clone();
    let listener = Listener::bind(settings).await.map_err(Failure::not_done)?;
    announce(&listener, output);
    opening::hints(listener.address(), profiles.as_deref()).iter().for_each(|hint| output.progress(hint));
    tokio::spawn(client(listener.address()));
    let console = Console::new(output.clone(), folder.clone());
    let recorder = Recorder::start_with(folder, capture, Box::new(console))
        .map_err(|error| Failure::not_done(format!("cannot start its recorder: {error}")))?;
    let fault_found = Arc::new(AtomicBool::new(false));
    let found = fault_found.clone();
    let note = move |record: &Record| {
        if is_fault(record) {
            found.store(true, Ordering::Relaxed);
        }
    };
    let finished = match recorder.handle() {
        Some(handle) => listener.run(handle.with_taps(watching.taps()), interrupted, note).await,
        None => Ok(Finished::Done),
    };
    recorder.finish();
    watching.finish();
    match finished.map_err(Failure::not_done)? {
        Finished::Interrupted => Ok(Exit::Interrupted),
        Finished::Done if fault_found.load(Ordering::Relaxed) => Ok(Exit::Fault),
        Finished::Done => Ok(Exit::Healthy),
    }
}

pub(super) fn announce(listener: &Listener, output: &Output) {
    let address = listener.address();
    output.json_line(&json!({ "type": "listening", "address": address.to_string() }));
    output.progress(&format!("listening on {address}"));
    if let Some(trouble) = listener.udp_trouble() {
        output.progress(trouble);
    }
}

fn is_fault(record: &Record) -> bool {
    record.verdict.as_ref().is_some_and(Verdict::is_fault)
}

pub(super) fn trace_folder(arguments: &ProxyArguments) -> Result<Option<TraceFolder>, Failure> {
    if arguments.no_trace {
        return Ok(None);
    }
    let failed = |error| Failure::not_done(format!("{error}, or use --no-trace"));
    let path = match &arguments.trace {
        Some(path) => path.clone(),
        None => TraceFolder::default_path().map_err(failed)?,
    };
    TraceFolder::open(&path).map(Some).map_err(failed)
}

/// What is captured, with a warning where the file will hold secrets.
pub(super) fn capture(arguments: &ProxyArguments, output: &Output) -> Option<CaptureSettings> {
    if arguments.secrets {
        output.progress(
            "with --secrets the captures show all that is inside TLS, what is typed and passwords that clients send \
             among it: keep them as you would keep a password",
        );
    }
    arguments.capture.then_some(CaptureSettings { secrets: arguments.secrets })
}

/// Where TLS passes through there is no secret that rdpscope knows.
fn refuse_needless_secrets(arguments: &ProxyArguments) -> Result<(), Failure> {
    let passes = arguments.interception.mode() == CertificateMode::Passthrough;
    if arguments.secrets && passes {
        return Err(Failure::usage(
            "--secrets needs TLS that rdpscope terminates, and here it passes through: add --cert fresh or another \
             certificate, or leave --secrets out",
        ));
    }
    Ok(())
}

pub(super) fn settings(arguments: ProxyArguments) -> Settings {
    Settings {
        knows_command: arguments::accepts,
        shown: shown(&arguments),
        gateway: arguments.gateway(),
        as_http_proxy: arguments.gateway.as_http_proxy,
        listen: arguments.listen(),
        route: Route {
            // With a gateway it is the gateway that is connected there.
            address: arguments.address().filter(|_| arguments.gateway.gateway.is_none()),
            target: arguments.target,
            upstream_proxy: arguments.upstream_proxy,
        },
        sessions: arguments.sessions,
        duration: arguments.duration,
        client: arguments.client,
        profiles: None,
        udp: arguments.udp,
        interception: None,
        impairments: Impairments::default(),
        is_experiment: false,
    }
}

/// What shapes a session, as the trace shows it. The client's command may hold a password and is not among it.
fn shown(arguments: &ProxyArguments) -> Map<String, Value> {
    let mut shown = Map::new();
    arguments.gateway.show(&mut shown);
    arguments.interception.show(&mut shown);
    shown.insert("udp".to_owned(), json!(format!("{:?}", arguments.udp).to_lowercase()));
    if !arguments.impair.is_empty() {
        let asked: Vec<String> = arguments.impair.iter().map(ToString::to_string).collect();
        shown.insert("impair".to_owned(), json!(asked));
    }
    if arguments.capture {
        shown.insert("capture".to_owned(), json!(true));
    }
    if arguments.secrets {
        shown.insert("secrets".to_owned(), json!(true));
    }
    if let Some(address) = arguments.address() {
        shown.insert("address".to_owned(), json!(address.to_string()));
    }
    if let Some(proxy) = &arguments.upstream_proxy {
        shown.insert("upstream_proxy".to_owned(), json!(proxy.to_string()));
    }
    shown
}

/// Completes when the user or the system asks the program to end. Signals are caught from the call on, so that none
/// ends the program without a verdict once it says that it listens.
pub(super) fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(windows)]
    {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
        let (mut interrupt, mut break_key) = (ctrl_c()?, ctrl_break()?);
        // Windows ends the program 5 s after these: time for the sessions' verdicts.
        let (mut close, mut logoff, mut shutdown) = (ctrl_close()?, ctrl_logoff()?, ctrl_shutdown()?);
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = break_key.recv() => {}
                _ = close.recv() => {}
                _ = logoff.recv() => {}
                _ = shutdown.recv() => {}
            }
        })
    }
}

/// A session takes two sockets and a file; the limit that systems give by default suffices for 300. The answer is the
/// limit that holds then, where there is one.
pub(super) fn raise_descriptor_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where it cannot be raised, fewer sessions run at once.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}
