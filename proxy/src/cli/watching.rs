//! The flags that let others watch: the dashboard, and a collector of traces.

use super::Failure;
use super::arguments::ProxyArguments;
use super::output::Output;
use crate::dashboard::{AttemptView, BoundDashboard, DEFAULT_PORT, Dashboard};
use crate::otlp::{Endpoint, EndpointError, Exporter, Sender};
use crate::recorder::{Tap, Taps, TraceFolder};
use crate::trace::Experiment;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Watching")]
pub(super) struct WatchingArguments {
    /// Show a live page of all sessions on [ADDR][:PORT], 127.0.0.1:8389 where a part is left out; port 0 picks one. The
    /// address to open, with a token in it, is said on standard error. The same address has /metrics for Prometheus,
    /// which sends the token as a bearer token
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) dashboard: Option<SocketAddr>,
    /// Take the dashboard's token from this file, which is written where it is missing, instead of a new one each time;
    /// Prometheus reads the same file as `credentials_file`
    #[arg(long, value_name = "FILE", requires = "dashboard")]
    pub(super) dashboard_token: Option<PathBuf>,
    /// Send each session that is over to an OpenTelemetry collector, as a trace with a span for each phase: to
    /// http[s]://HOST:PORT, /v1/traces where no path is named. What is sent are times, phases, names of events, the
    /// verdict, facts of TLS, and addresses of machines; no name of a user and nothing that one typed. Headers that the
    /// collector asks for are taken from OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    pub(super) otlp: Option<Endpoint>,
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    text.parse()
}

/// `[ADDR][:PORT]`.
fn address(text: &str) -> Result<SocketAddr, String> {
    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let text = text.replace("localhost", "127.0.0.1");
    let with_port = text.parse().ok();
    let port_alone = || Some(SocketAddr::new(LOCAL, text.strip_prefix(':')?.parse().ok()?));
    let address_alone =
        || Some(SocketAddr::new(bare.replace("localhost", "127.0.0.1").parse().ok()?, DEFAULT_PORT));
    with_port.or_else(port_alone).or_else(address_alone).ok_or_else(|| {
        format!("not an address for the dashboard; write for example 127.0.0.1:{DEFAULT_PORT} or :0")
    })
}

/// Who watches before anything is there to be watched.
#[derive(Default)]
pub(super) struct BoundWatching {
    dashboard: Option<BoundDashboard>,
    collector: Option<Endpoint>,
}

/// Who watches.
#[derive(Default)]
pub(super) struct Watching {
    dashboard: Option<Dashboard>,
    exporting: Option<Exporting>,
}

/// A collector that is sent what is over.
pub(super) struct Exporting {
    exporter: Exporter,
    collector: String,
    /// What is sent, in the plural.
    what: &'static str,
    output: Output,
}

impl BoundWatching {
    /// Binds what the user asks for, before anything else listens.
    pub(super) fn bind(arguments: &ProxyArguments) -> Result<BoundWatching, Failure> {
        let collector = arguments.watching.otlp.clone();
        let Some(address) = arguments.watching.dashboard else {
            return Ok(BoundWatching { dashboard: None, collector });
        };
        if !address.ip().is_loopback() && !arguments.allow_remote {
            return Err(Failure::usage(format!(
                "{address} can be reached by other machines; add --allow-remote if they shall see the dashboard, whose \
                 pages are not encrypted on the way"
            )));
        }
        let token_file = arguments.watching.dashboard_token.as_deref();
        let dashboard = BoundDashboard::bind(address, token_file).map_err(Failure::not_done)?;
        Ok(BoundWatching { dashboard: Some(dashboard), collector })
    }

    /// Begins to show, and says where.
    pub(super) fn start(self, traces: Option<&TraceFolder>, output: &Output) -> Result<Watching, Failure> {
        let exporting =
            self.collector.map(|collector| Exporting::start(collector, "sessions", output)).transpose()?;
        let shown = self.dashboard.map(|bound| bound.start(traces.cloned()));
        let dashboard = shown.transpose().map_err(Failure::not_done)?;
        if let Some(dashboard) = &dashboard {
            output.progress(&format!("dashboard at {}", dashboard.url()));
        }
        Ok(Watching { dashboard, exporting })
    }
}

impl Watching {
    /// What sessions are to be heard by.
    pub(super) fn taps(&self) -> Taps {
        let exporting = self.exporting.iter().map(Exporting::tap);
        self.dashboard.iter().map(Dashboard::tap).chain(exporting).collect()
    }

    /// Shows how far an experiment is.
    pub(super) fn show_experiment(
        &self,
        experiment: impl FnOnce() -> Experiment,
        attempt: Option<AttemptView>,
    ) {
        if let Some(dashboard) = &self.dashboard {
            dashboard.show_experiment(experiment(), attempt);
        }
    }

    /// Completes when somebody asks that the attempt of this turn ends.
    pub(super) async fn asked_to_go_on(&self, turn: u64) {
        if let Some(dashboard) = &self.dashboard {
            let mut skipped = dashboard.skipped();
            if skipped.wait_for(|skipped| *skipped >= turn).await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Shows and sends what there is for the last time.
    pub(super) fn finish(self) {
        if let Some(dashboard) = self.dashboard {
            dashboard.finish();
        }
        if let Some(exporting) = self.exporting {
            exporting.finish();
        }
    }
}

impl Exporting {
    /// Begins to send `what` to `collector`; what goes wrong is said on `output`.
    pub(super) fn start(
        collector: Endpoint,
        what: &'static str,
        output: &Output,
    ) -> Result<Exporting, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let of_traces = set("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
        let sender = Sender {
            service: set("OTEL_SERVICE_NAME").unwrap_or_else(|| "rdpscope".to_owned()),
            host: host_name(),
            headers: of_traces.or_else(|| set("OTEL_EXPORTER_OTLP_HEADERS")).unwrap_or_default(),
        };
        let name = collector.to_string();
        let complaining = output.clone();
        let exporter = Exporter::start(collector, sender, move |sentence| complaining.error(sentence))
            .map_err(|error| {
                Failure::not_done(format!("cannot start to export: {error}; leave --otlp out"))
            })?;
        Ok(Exporting { exporter, collector: name, what, output: output.clone() })
    }

    /// What is to be told of everything that is over.
    pub(super) fn tap(&self) -> Arc<dyn Tap> {
        self.exporter.tap()
    }

    /// Sends what there is for the last time, and says what did not come to the collector.
    pub(super) fn finish(self) {
        let Exporting { exporter, collector, what, output } = self;
        let exported = exporter.finish();
        if exported.dropped > 0 {
            let all = exported.taken + exported.dropped;
            let lost =
                format!("{} of {all} {what} did not come to the collector at {collector}", exported.dropped);
            output.error(&lost);
        }
    }
}

/// What this machine calls itself.
pub(super) fn host_name() -> Option<String> {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_str().ok().map(str::to_owned)
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_address_may_be_left_out() {
        for (text, means) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            (":9000", "127.0.0.1:9000"),
            ("127.0.0.2", "127.0.0.2:8389"),
            ("localhost", "127.0.0.1:8389"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::1]", "[::1]:8389"),
            ("::1", "[::1]:8389"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(address(text), Ok(means.parse().unwrap()), "{text}");
        }
        for wrong in ["", ":", "srv10", "127.0.0.1:", "127.0.0.1:99999", ":x"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
