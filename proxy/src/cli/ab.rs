//! `rdpscope ab TARGET --vary FACTOR`.

pub(super) mod arguments;
mod arms;

use super::arguments::ProxyArguments;
use super::console::Console;
use super::opening;
use super::output::Output;
use super::proxy::{announce, capture, interrupted, refuse_listening, runtime, settings, trace_folder};
use super::trust_store::{TrustedForRun, forget_left_behind};
use super::watching::{BoundWatching, Watching};
use super::{Exit, Failure};
use crate::dashboard::AttemptView;
use crate::experiment::{Attempt, Depth, Experiment, Factor, FactorError, Finished, furthest};
use crate::intercept::settings::NlaMode;
use crate::recorder::{Recorder, TraceFolder};
use crate::relay::client_command::ClientCommand;
use crate::relay::listener::{Listener, Settings};
use crate::relay::resolve::resolve;
use crate::relay::series::{AttemptEnd, Interruptions, Patience, Series};
use crate::relay::udp::UdpMode;
use crate::report::{self, KeptExperiment};
use crate::trace::{Header, Line, Record, SCHEMA_VERSION};
use arguments::AbArguments;
use arms::Arms;
use rdpscope_certs::mode::CertificateMode;
use serde_json::json;
use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

/// How long a program may take to connect, and how long for all: clients give up by themselves after 30 to 60 s.
pub(super) const PROGRAM: Patience = Patience {
    until_connected: Duration::from_secs(30),
    whole: Duration::from_secs(90),
    desktop: Duration::from_secs(3),
};
/// The same of a person, who types a password and answers questions.
pub(super) const PERSON: Patience = Patience {
    until_connected: Duration::from_secs(600),
    whole: Duration::from_secs(600),
    desktop: Duration::from_secs(5),
};
/// A side channel that opens and then falls silent is noticed only after a while.
const UDP_DESKTOP: Duration = Duration::from_secs(20);
/// How long a program may take where nothing is seen behind TLS with a gateway. What it does of the certificate is clear
/// as soon as it has seen that.
const UNSEEN: Duration = Duration::from_secs(15);
/// Attempts in a row without a connection that counts; a client that fails to start once may have been unlucky.
const MOST_BARREN: usize = 2;

/// What an experiment came to.
pub(super) struct Conducted {
    /// The program's exit code where it did nothing else.
    pub(super) exit: Exit,
    /// The answer; absent where it was ended before an attempt.
    pub(super) finished: Option<Finished>,
}

pub(super) fn run(arguments: AbArguments, output: &Output) -> Result<Exit, Failure> {
    forget_left_behind(output);
    runtime()?.block_on(async {
        let interrupted =
            interrupted().map_err(|error| Failure::not_done(format!("cannot wait for signals: {error}")))?;
        let their_client = opening::client(&arguments.proxy)?;
        Box::pin(experiment(arguments, their_client, interrupted, output))
            .await
            .map(|conducted| conducted.exit)
    })
}

/// Runs the experiment to its end, or until `interrupted` completes. Where the arguments name no client that runs by
/// itself, a person connects, with `their_client` where there is one.
pub(super) async fn experiment(
    arguments: AbArguments,
    their_client: Option<ClientCommand>,
    interrupted: impl Future<Output = ()>,
    output: &Output,
) -> Result<Conducted, Failure> {
    let AbArguments { vary, runs, mut proxy } = arguments;
    refuse_listening(&proxy)?;
    let cert = proxy.interception.cert.clone();
    proxy.settle()?;
    if vary == Factor::Cert {
        // What stands in for it with a gateway is not what the user gave.
        proxy.interception.cert = cert;
    }
    refuse_contradictions(vary, &proxy)?;
    let is_person = proxy.client.is_none();
    proxy.client = proxy.client.or(their_client);
    let patience = patience(vary, is_person);
    let folder = trace_folder(&proxy)?;
    let capture = capture(&proxy, output);
    let kept_in = folder.clone();
    let watching = BoundWatching::bind(&proxy)?;
    let duration = proxy.duration;
    let trusts_ca = proxy.interception.trust_ca;
    let addresses = if vary == Factor::Address { addresses(&proxy).await? } else { Vec::new() };
    let compared = vary.arms(&addresses).map_err(Failure::usage)?;
    let mut header = header(&proxy, vary, runs);
    let is_through_gateway = proxy.gateway.gateway.is_some();
    let arms = Arms::prepare(proxy, vary, &compared, output).await?;
    let trusted = if trusts_ca { TrustedForRun::of_any(arms.authority().into_iter(), output)? } else { None };
    let experiment = Experiment::new(vary, compared, runs.into());
    let experiment = if is_through_gateway { experiment.through_gateway() } else { experiment };
    let listener = Listener::bind(arms.listener()).await.map_err(Failure::not_done)?;
    header.session = listener.run_id().to_owned();
    let watching = watching.start(folder.as_ref(), output)?;
    announce(&listener, output);
    let console = Console::of_experiment(output.clone(), folder.clone());
    let recorder = Recorder::start_with(folder, capture, Box::new(console))
        .map_err(|error| Failure::not_done(format!("cannot start its recorder: {error}")))?;
    let handle = recorder.handle().ok_or_else(|| Failure::not_done("the recorder has ended"))?;
    let series = Series::start(listener, handle.with_taps(watching.taps())).map_err(Failure::not_done)?;
    let mut conductor = Conductor { experiment, arms, series, patience, is_person, watching, output };
    let time_is_over = Cell::new(false);
    let conducted = {
        let timed = until_time(duration);
        tokio::pin!(interrupted, timed);
        let stop = async {
            tokio::select! {
                () = interrupted.as_mut() => {}
                () = timed.as_mut() => time_is_over.set(true),
            }
        };
        tokio::pin!(stop);
        conductor.conduct(stop).await
    };
    let Conductor { experiment, series, watching, .. } = conductor;
    series.finish().await;
    recorder.finish();
    drop(trusted);
    let finished = experiment.finish();
    watching.show_experiment(|| finished.line.clone(), None);
    watching.finish();
    if experiment.is_empty() {
        return match conducted? {
            Ended::Stopped if time_is_over.get() => Err(too_short()),
            Ended::Stopped => Ok(Conducted { exit: Exit::Interrupted, finished: None }),
            Ended::Finished => Err(Failure::not_done("every attempt was left out; nothing was compared")),
        };
    }
    conclude(&finished, header, kept_in.as_ref(), output);
    let exit = match conducted? {
        // Time that the user has set is no interruption.
        Ended::Stopped if !time_is_over.get() => Exit::Interrupted,
        _ if finished.has_fault() => Exit::Fault,
        _ => Exit::Healthy,
    };
    Ok(Conducted { exit, finished: Some(finished) })
}

/// Flags that say themselves what the experiment is to vary, or how long it is to last.
fn refuse_contradictions(factor: Factor, proxy: &ProxyArguments) -> Result<(), Failure> {
    if factor.needs_gateway() && proxy.gateway.gateway.is_none() {
        return Err(Failure::usage(FactorError::NoGateway(factor)));
    }
    let interception = &proxy.interception;
    let gateway = &proxy.gateway;
    let is_inside = factor.needs_gateway() || factor == Factor::Nla && gateway.gateway.is_some();
    if factor == Factor::Udp && gateway.gateway.is_some() {
        return Err(Failure::usage(
            "--vary udp is for RDP-UDP to a server that is reached directly: with --gateway UDP goes by the gateway's \
             side channel; vary gateway-udp",
        ));
    }
    let impairs = |kind: &str| proxy.impair.iter().any(|impairment| impairment.to_string().contains(kind));
    let given = [
        (
            factor == Factor::Udp && gateway.tcp_only,
            "--tcp-only",
            "--vary udp takes RDP-UDP away in every other attempt",
        ),
        (
            factor == Factor::Udp && proxy.udp != UdpMode::Relay,
            "--udp",
            "--vary udp takes RDP-UDP away in every other attempt",
        ),
        (
            factor == Factor::Mss && impairs("mss="),
            "--impair mss",
            "--vary mss keeps the segments small in every other attempt",
        ),
        (
            factor == Factor::Latency && impairs("latency="),
            "--impair latency",
            "--vary latency adds its own to every other attempt",
        ),
        (proxy.sessions.is_some(), "--sessions", "--runs says how many attempts there are"),
        (
            factor == Factor::Cert && interception.cert.is_some(),
            "--cert",
            if gateway.gateway.is_some() {
                "--vary cert shows the gateway's own certificate and others in turn"
            } else {
                "--vary cert shows the server's own certificate and others in turn"
            },
        ),
        (
            factor == Factor::Address && proxy.address.is_some(),
            "--address",
            "--vary address tries every address of the target",
        ),
        (
            factor == Factor::Tls && interception.tls.is_some(),
            "--tls",
            "--vary tls tries one version after the other",
        ),
        (
            is_inside && interception.mode() == CertificateMode::Passthrough,
            "--cert passthrough",
            "what this experiment changes is inside TLS with the gateway",
        ),
        (
            factor.provokes()
                && gateway.gateway.is_some()
                && interception.mode() == CertificateMode::Passthrough,
            "--cert passthrough",
            "whether there is a desktop is not seen where TLS with the gateway passes through",
        ),
        (
            factor == Factor::GatewayTransport && gateway.gateway_transport.is_some(),
            "--gateway-transport",
            "--vary gateway-transport tries one transport after the other",
        ),
        (
            factor == Factor::GatewayUdp && gateway.gateway_udp.is_some() && !gateway.tcp_only,
            "--gateway-udp",
            "--vary gateway-udp takes the side channel away in every other attempt",
        ),
        (
            factor == Factor::GatewayUdp && gateway.tcp_only,
            "--tcp-only",
            "--vary gateway-udp takes the side channel away in every other attempt",
        ),
        (
            factor == Factor::InnerCert && gateway.inner_cert.is_some(),
            "--inner-cert",
            "--vary inner-cert shows the server's own certificate and others in turn",
        ),
        (
            factor == Factor::Cert && gateway.inner_mode().is_some(),
            "--inner-cert",
            "where --vary cert shows the gateway's own certificate, what is inside its TLS passes as it is",
        ),
        (
            factor == Factor::Nla && interception.nla != NlaMode::Relay,
            "--nla",
            "--vary nla takes NLA away in every other attempt",
        ),
        (
            factor == Factor::Nla && gateway.inner_nla.is_some_and(|mode| mode != NlaMode::Relay),
            "--inner-nla",
            "--vary nla takes NLA away in every other attempt",
        ),
    ];
    match given.into_iter().find(|(is_given, ..)| *is_given) {
        Some((_, flag, why)) => Err(Failure::usage(format!("{why}: leave {flag} out"))),
        None => Ok(()),
    }
}

fn patience(factor: Factor, is_person: bool) -> Patience {
    let patience = if is_person { PERSON } else { PROGRAM };
    match factor {
        Factor::Udp | Factor::GatewayUdp => Patience { desktop: UDP_DESKTOP, ..patience },
        _ => patience,
    }
}

/// What the target's name resolves to; nothing where it is no name.
async fn addresses(proxy: &ProxyArguments) -> Result<Vec<String>, Failure> {
    let far_side = proxy.far_side();
    if far_side.ip().is_some() {
        return Ok(Vec::new());
    }
    let found = resolve(far_side).await.map_err(|error| {
        Failure::not_done(format!(
            "cannot resolve {}: {error}; without an address there is nothing to compare its name with",
            far_side.host
        ))
    })?;
    Ok(found.iter().map(ToString::to_string).collect())
}

async fn until_time(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// How the attempts ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// There was nothing more to try.
    Finished,
    /// The user ended it.
    Stopped,
}

/// One attempt after the other.
struct Conductor<'a> {
    experiment: Experiment,
    arms: Arms,
    series: Series,
    patience: Patience,
    is_person: bool,
    watching: Watching,
    output: &'a Output,
}

impl Conductor<'_> {
    async fn conduct(&mut self, mut stop: Pin<&mut impl Future<Output = ()>>) -> Result<Ended, Failure> {
        let mut barren = 0;
        let mut turn = 0;
        while let Some(attempt) = self.experiment.due() {
            let settings = self.arms.settings(&attempt).await?;
            let dials = settings.client.is_some();
            let address = self.series.address();
            let announced = announcement(&attempt, dials, self.is_person, address);
            turn += 1;
            let shown = attempt_view(&attempt, turn, (!dials).then_some(address));
            let asked = self.watching.asked_to_go_on(turn);
            tokio::pin!(asked);
            let patience = self.patience_with(&settings);
            let attempted = self
                .series
                .attempt(
                    settings,
                    &attempt.arm.name,
                    patience,
                    // Whoever connects before would meet the attempt before, and not count.
                    || {
                        self.watching.show_experiment(|| self.experiment.finish().line, Some(shown));
                        self.output.progress(&announced);
                    },
                    Interruptions { all: stop.as_mut(), this: asked },
                )
                .await
                .map_err(Failure::not_done)?;
            if attempted.end == AttemptEnd::Interrupted {
                return Ok(Ended::Stopped);
            }
            match furthest(attempted.records) {
                Some(record) => {
                    self.output.progress(&outcome(&record, attempted.end));
                    self.experiment.note(&attempt.arm, record);
                    barren = 0;
                }
                None if attempted.end == AttemptEnd::Asked => {
                    self.output.progress("  left out, as the dashboard was asked to");
                    self.experiment.leave_out(&attempt.arm);
                }
                None => {
                    barren += 1;
                    self.no_outcome(attempted.end, barren)?;
                }
            }
        }
        Ok(Ended::Finished)
    }

    /// Where TLS with a gateway passes through, nobody sees when there is a desktop.
    fn patience_with(&self, settings: &Settings) -> Patience {
        let is_unseen = settings.gateway.is_some() && settings.interception.is_none();
        let whole = if is_unseen && !self.is_person { UNSEEN } else { self.patience.whole };
        Patience { whole, ..self.patience }
    }

    /// An attempt that brought nothing to count.
    fn no_outcome(&self, end: AttemptEnd, barren: usize) -> Result<(), Failure> {
        let what = match end {
            AttemptEnd::NoConnection => "the client made no connection",
            _ => "the client only asked its user something",
        };
        if barren >= MOST_BARREN {
            return Err(Failure::not_done(format!(
                "{what} in {barren} attempts in a row; try the command that --client names by itself, against {}",
                self.series.address()
            )));
        }
        self.output.progress(&format!("  {what}: this attempt does not count"));
        Ok(())
    }
}

/// What is said when an attempt begins, so that whoever has to connect knows.
fn announcement(attempt: &Attempt, dials: bool, is_person: bool, address: SocketAddr) -> String {
    let Attempt { number, total, letter, arm } = attempt;
    let ask = match (dials, is_person, number) {
        (true, false, _) => String::new(),
        (true, true, _) => ": log on as usual".to_owned(),
        (false, _, 1) => format!(": connect to {address}"),
        (false, ..) => format!(": connect again to {address}"),
    };
    format!("attempt {number} of {total}, arm {letter}: {}{ask}", arm.description)
}

/// The same for the dashboard.
fn attempt_view(attempt: &Attempt, turn: u64, connect_to: Option<SocketAddr>) -> AttemptView {
    AttemptView {
        turn,
        number: attempt.number,
        total: attempt.total,
        letter: attempt.letter.clone(),
        arm: attempt.arm.name.clone(),
        description: attempt.arm.description.clone(),
        connect_to: connect_to.map(|address| address.to_string()),
    }
}

/// How far an attempt got, in one line.
fn outcome(record: &Record, end: AttemptEnd) -> String {
    let cut = match end {
        AttemptEnd::TooLong => ", cut after its time",
        AttemptEnd::Asked => ", ended from the dashboard",
        _ => "",
    };
    let verdict = record.verdict.as_ref();
    let says = verdict.map_or_else(String::new, |it| format!("{} ({})", it.id, it.confidence));
    match Depth::of(record) {
        Depth::Works => format!("  it works: {says}{cut}"),
        Depth::Unseen => format!("  it goes on behind the gateway's certificate, unseen{cut}"),
        depth => format!("  it ended {}: {says}{cut}", depth.place()),
    }
}

fn too_short() -> Failure {
    Failure::not_done("no attempt came to its end in the time that --for allows; allow more")
}

/// What stands before the lines of an experiment, as before those of a session.
fn header(proxy: &ProxyArguments, vary: Factor, runs: u16) -> Header {
    let mut settings = settings(proxy.clone()).shown;
    settings.insert("vary".to_owned(), json!(vary.word()));
    settings.insert("runs".to_owned(), json!(runs));
    Header {
        schema: SCHEMA_VERSION,
        rdpscope: env!("CARGO_PKG_VERSION").to_owned(),
        session: String::new(),
        target: proxy.target.to_string(),
        settings,
        started: jiff::Timestamp::now().to_string(),
    }
}

/// Shows what follows and keeps it.
fn conclude(finished: &Finished, header: Header, folder: Option<&TraceFolder>, output: &Output) {
    let mut lines = vec![Line::Experiment(Box::new(finished.line.clone()))];
    lines.extend(finished.proven.clone().map(|verdict| Line::Verdict(Box::new(verdict))));
    lines.iter().for_each(|line| output.json_line(line));
    let id = header.session.clone();
    lines.insert(0, Line::Trace(header));
    let file = folder.and_then(|folder| match folder.write_experiment(&id, &lines) {
        Ok(path) => Some(path.display().to_string()),
        Err(error) => {
            output.error(&error.to_string());
            None
        }
    });
    let traces = folder.map(|folder| folder.path().display().to_string());
    let kept = KeptExperiment { file: file.as_deref(), traces: traces.as_deref() };
    output.progress("");
    output.result(&report::experiment(finished, kept, &output.style()));
    if let Some(file) = kept.file.filter(|_| output.json) {
        output.progress(&format!("the experiment is in {file}"));
    }
}
