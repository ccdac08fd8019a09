//! The flags that let others watch: the dashboard.

use super::Failure;
use super::arguments::ProxyArguments;
use super::output::Output;
use crate::dashboard::{AttemptView, BoundDashboard, DEFAULT_PORT, Dashboard};
use crate::recorder::{Taps, TraceFolder};
use crate::trace::Experiment;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

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
}

/// Who watches.
#[derive(Default)]
pub(super) struct Watching {
    dashboard: Option<Dashboard>,
}

impl BoundWatching {
    /// Binds what the user asks for, before anything else listens.
    pub(super) fn bind(arguments: &ProxyArguments) -> Result<BoundWatching, Failure> {
        let Some(address) = arguments.watching.dashboard else { return Ok(BoundWatching::default()) };
        if !address.ip().is_loopback() && !arguments.allow_remote {
            return Err(Failure::usage(format!(
                "{address} can be reached by other machines; add --allow-remote if they shall see the dashboard, whose \
                 pages are not encrypted on the way"
            )));
        }
        let token_file = arguments.watching.dashboard_token.as_deref();
        let dashboard = BoundDashboard::bind(address, token_file).map_err(Failure::not_done)?;
        Ok(BoundWatching { dashboard: Some(dashboard) })
    }

    /// Begins to show, and says where.
    pub(super) fn start(self, traces: Option<&TraceFolder>, output: &Output) -> Result<Watching, Failure> {
        let Some(bound) = self.dashboard else { return Ok(Watching::default()) };
        let dashboard = bound.start(traces.cloned()).map_err(Failure::not_done)?;
        output.progress(&format!("dashboard at {}", dashboard.url()));
        Ok(Watching { dashboard: Some(dashboard) })
    }
}

impl Watching {
    /// What sessions are to be heard by.
    pub(super) fn taps(&self) -> Taps {
        self.dashboard.iter().map(Dashboard::tap).collect()
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

    /// Shows what there is for the last time.
    pub(super) fn finish(self) {
        if let Some(dashboard) = self.dashboard {
            dashboard.finish();
        }
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
