//! `rdpscope demo`: the whole story with nothing installed. A session fails, an experiment names the guilty property of
//! the certificate, the certificate is renewed, and the next session is healthy.

use super::arguments::{self, Arguments, Command, DemoArguments};
use super::output::Output;
use super::proxy::{relay_between, runtime};
use super::watching::Watching;
use super::{Exit, Failure, ab};
use crate::alter::impair::Impairments;
use crate::demo::{ClientReport, DemoCertificate, DemoServer, SERVER_NAME, connect};
use crate::relay::client_command::ClientCommand;
use crate::relay::listener::Settings;
use crate::relay::session::Route;
use crate::relay::target::Target;
use crate::relay::udp::UdpMode;
use clap::Parser;
use std::net::SocketAddr;

const BASELINE: &str = "\
A server with a fault and a client that refuses it, both in this program, and rdpscope between them.
The client will only say: Error code 0x904, extended 0x7. This is what rdpscope sees:
";
const EXPERIMENT: &str = "
Is it the certificate, and what in it? rdpscope ab shows the client other certificates in turn:
";
const RENEWED: &str = "
The administrator does what stands there: the certificate is renewed. The same client once more:
";

pub(super) fn run(arguments: &DemoArguments, output: &Output) -> Result<Exit, Failure> {
    if let Some(address) = arguments.client {
        return client(address);
    }
    let expired = serve(DemoCertificate::Expired)?;
    output.progress(BASELINE);
    let told = session(expired, output)?;
    if told.accepted {
        return Err(Failure::not_done(format!("the demo's client went on: {}", told.message)));
    }
    output.progress(&format!("All that the client told its user was:\n  {}", told.message));

    output.progress(EXPERIMENT);
    let exit = experiment(expired, output)?;
    if exit != Exit::Fault {
        return Ok(exit);
    }

    let renewed = serve(DemoCertificate::Renewed)?;
    output.progress(RENEWED);
    let told = session(renewed, output)?;
    if !told.accepted {
        return Err(Failure::not_done(format!("the demo's client refused it again: {}", told.message)));
    }
    output.progress("Now with a server of yours:  rdpscope probe HOST");
    Ok(Exit::Healthy)
}

/// The part of the client alone, which an experiment starts anew for each attempt.
fn client(address: SocketAddr) -> Result<Exit, Failure> {
    let now = jiff::Timestamp::now().as_second();
    let report = runtime()?.block_on(connect(address, now)).map_err(Failure::not_done)?;
    Ok(if report.accepted { Exit::Healthy } else { Exit::Fault })
}

/// Serves on a thread of its own until the program ends.
fn serve(certificate: DemoCertificate) -> Result<SocketAddr, Failure> {
    let runtime = runtime()?;
    let now = jiff::Timestamp::now().as_second();
    let server = runtime.block_on(DemoServer::bind(certificate, now)).map_err(Failure::not_done)?;
    let address = server.address();
    // It ends only when its listener fails, and then the next client says so.
    std::thread::spawn(move || runtime.block_on(server.run()));
    Ok(address)
}

/// One session of the demo's client through rdpscope, and what it told its user.
fn session(server: SocketAddr, output: &Output) -> Result<ClientReport, Failure> {
    let now = jiff::Timestamp::now().as_second();
    runtime()?.block_on(async {
        let (report, told) = tokio::sync::oneshot::channel();
        let dial = move |address: SocketAddr| async move {
            // The relay has ended when nobody listens to the report.
            let _ = report.send(connect(address, now).await);
        };
        let (kept, watching) = ((None, None), Watching::default());
        relay_between(settings(server), kept, watching, output, std::future::pending(), dial).await?;
        match told.await {
            Ok(report) => report.map_err(Failure::not_done),
            Err(_) => Err(Failure::not_done("the demo's client did not run")),
        }
    })
}

fn settings(server: SocketAddr) -> Settings {
    let at = Target { host: server.ip().to_string(), port: server.port() };
    Settings {
        route: Route {
            target: Target { host: SERVER_NAME.to_owned(), port: crate::relay::target::RDP_PORT },
            address: Some(at),
            upstream_proxy: None,
        },
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        sessions: Some(1),
        duration: None,
        client: None,
        profiles: None,
        udp: UdpMode::Off,
        gateway: None,
        as_http_proxy: false,
        interception: None,
        impairments: Impairments::default(),
        is_experiment: false,
        knows_command: arguments::accepts,
        shown: serde_json::Map::new(),
    }
}

/// `rdpscope ab`, with this program as the client.
fn experiment(server: SocketAddr, output: &Output) -> Result<Exit, Failure> {
    let at = server.to_string();
    let words =
        ["rdpscope", "ab", SERVER_NAME, "--vary", "cert", "--address", &at, "--listen", "127.0.0.1:0"];
    let typed = Arguments::try_parse_from(words.into_iter().chain(["--no-trace"]));
    let Ok(Arguments { command: Command::Ab(mut arguments), .. }) = typed else {
        return Err(Failure::not_done("the demo's experiment could not be set up"));
    };
    let program = std::env::current_exe().map_err(|error| {
        Failure::not_done(format!("cannot find this program to run it as the client: {error}"))
    })?;
    let words = [&program.display().to_string(), "demo", "--client", "{host}:{port}"].map(str::to_owned);
    arguments.proxy.client = Some(ClientCommand::of_words(words.into()));
    ab::run(*arguments, output)
}
