//! `rdpscope demo`.

use super::arguments;
use super::output::Output;
use super::proxy::{relay_between, runtime};
use super::{Exit, Failure};
use crate::alter::impair::Impairments;
use crate::demo::{DemoServer, SERVER_NAME, connect};
use crate::relay::listener::Settings;
use crate::relay::session::Route;
use crate::relay::target::Target;
use crate::relay::udp::UdpMode;
use std::net::SocketAddr;

const STORY: &str = "\
A server with a fault and a client that refuses it, both in this program, and rdpscope between them.
The client will only say: Error code 0x904, extended 0x7. This is what rdpscope sees:
";

pub(super) fn run(output: &Output) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let now = jiff::Timestamp::now().as_second();
    runtime.block_on(async {
        let server = DemoServer::bind(now).await.map_err(Failure::not_done)?;
        output.progress(STORY);
        let settings = settings(server.address());
        tokio::spawn(server.run());
        let (report, told) = tokio::sync::oneshot::channel();
        let dial = move |address: SocketAddr| async move {
            // The relay has ended when nobody listens to the report.
            let _ = report.send(connect(address, now).await);
        };
        relay_between(settings, None, output, std::future::pending(), dial).await?;
        match told.await {
            Ok(Ok(report)) if !report.accepted => {
                output.progress(&format!("All that the client told its user was:\n  {}", report.message));
                output.progress(
                    "Now with a server of yours:  rdpscope proxy HOST  and  mstsc /v:127.0.0.1:13389",
                );
                Ok(Exit::Healthy)
            }
            Ok(Ok(report)) => {
                Err(Failure::not_done(format!("the demo's client went on: {}", report.message)))
            }
            Ok(Err(error)) => Err(Failure::not_done(error)),
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
        udp: UdpMode::Off,
        interception: None,
        impairments: Impairments::default(),
        is_experiment: false,
        knows_command: arguments::accepts,
        shown: serde_json::Map::new(),
    }
}
