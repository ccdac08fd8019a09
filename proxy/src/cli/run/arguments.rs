//! What users type after `rdpscope run`.

use crate::cli::Failure;
use crate::cli::ab::arguments::AbArguments;
use crate::cli::arguments::{Arguments, Command, ProxyArguments, address, client_command, listen, target};
use crate::cli::gateway::gateway;
use crate::experiment::Factor;
use crate::relay::client_command::ClientCommand;
use crate::relay::target::Target;
use clap::{Args, Parser};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct RunArguments {
    /// The server: HOST[:PORT] or [IPv6]:PORT
    #[arg(value_parser = target)]
    pub(super) target: Target,
    /// The way leads through this RD Gateway, HOST[:PORT]
    #[arg(long, value_name = "HOST", value_parser = gateway)]
    pub(super) gateway: Option<Target>,
    /// Connect here instead of resolving the target or the gateway, on its port unless another is named
    #[arg(long, value_name = "NAME|IP", value_parser = address)]
    pub(super) address: Option<String>,
    /// Where to listen for the client; port 0 picks one [default: 127.0.0.1:13389, with --gateway 127.0.0.1:13443]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    pub(super) listen: Option<SocketAddr>,
    /// Run this client for each connection, which then needs nobody; {host}, {port} and {rdp} are filled in, no shell is
    /// used [default: mstsc on Windows, elsewhere xfreerdp where there is one, else you connect by hand; with --gateway only
    /// where --trust-ca lets it trust rdpscope in the gateway's place]
    #[arg(long, value_name = "COMMAND", value_parser = client_command)]
    pub(super) client: Option<ClientCommand>,
    /// Attempts for each arm of an experiment
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) runs: u16,
    /// Keep the traces and the report in a new folder below this one [default: the user's data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) trace: Option<PathBuf>,
    /// Keep one CA across runs in this folder, so that it has to be trusted only once
    #[arg(long, value_name = "DIR")]
    pub(super) ca: Option<PathBuf>,
    /// Trust the session CA on this machine for as long as an experiment with certificates lasts, and with --gateway for as
    /// long as your client is awaited
    #[arg(long)]
    pub(super) trust_ca: bool,
    /// Ask nothing before each step
    #[arg(long)]
    pub(super) yes: bool,
    /// Do not open the report in the browser
    #[arg(long)]
    pub(super) no_browser: bool,
}

const EXAMPLES: &str = "\
Examples:
  rdpscope run srv10                           it does not connect, and nobody knows why
  rdpscope run srv10 --gateway gw.corp.example --trust-ca
                                               the same through an RD Gateway
  rdpscope run srv10 --yes --client './log-on.sh {host} {port}'
                                               by itself, for example overnight

It goes step by step, and stops where the answer is proved:
  1. the probe, which needs nobody
  2. your own client through rdpscope, once
  3. the experiments that prove or acquit what was found
  4. the report, one page, in the browser

Before each step in which somebody has to do something it asks. q, Ctrl-C or the
end of input leave at any time; what was found until then is told and kept. With
nobody at a terminal and without --client only the first and the last step are
done.

The last line is one sentence to read out on the phone.

Exit codes:
  0    done, and no fault was found
  1    done, or left early, and a fault was found
  2    wrong usage
  3    a step could not be done, and no fault was found
  130  interrupted; the report is written all the same";

impl RunArguments {
    /// Whether the client of this machine is started, where there is one. In the place of a gateway rdpscope shows a
    /// certificate of its own: unless this machine trusts its CA, the user starts the client when that is done.
    pub(super) fn opens_client(&self) -> bool {
        self.client.is_none() && (self.gateway.is_none() || self.trust_ca)
    }

    /// The same as the flags of `proxy`, with traces in `folder`.
    pub(super) fn proxy(&self, folder: PathBuf) -> Result<ProxyArguments, Failure> {
        let target = self.target.to_string();
        let typed = Arguments::try_parse_from(["rdpscope", "proxy", "--", &target]);
        let Ok(Arguments { command: Command::Proxy(mut proxy), .. }) = typed else {
            return Err(Failure::usage(format!("{target} cannot be relayed to")));
        };
        proxy.gateway.gateway.clone_from(&self.gateway);
        proxy.address.clone_from(&self.address);
        proxy.listen = self.listen;
        proxy.client.clone_from(&self.client);
        proxy.trace = Some(folder);
        // A server that is reached directly shows its own certificate.
        proxy.interception.trust_ca = self.trust_ca && self.gateway.is_some();
        proxy.interception.ca = self.ca.clone().filter(|_| self.gateway.is_some());
        Ok(*proxy)
    }

    /// The same as the flags of `ab` for one factor.
    pub(super) fn ab(&self, vary: Factor, folder: PathBuf) -> Result<AbArguments, Failure> {
        let mut proxy = self.proxy(folder)?;
        let arms = vary.arms(&[]).unwrap_or_default();
        let ends_tls = arms.iter().any(|arm| arm.settings.ends_tls || arm.settings.cert.is_some());
        let signs = ends_tls || self.gateway.is_some();
        proxy.interception.trust_ca = self.trust_ca && signs;
        proxy.interception.ca = self.ca.clone().filter(|_| signs);
        Ok(AbArguments { proxy, vary, runs: self.runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_at_a_gateway_is_opened_where_it_trusts_rdpscope() {
        let opens = |flags: &[&str]| {
            let words = [&["rdpscope", "run", "srv10"], flags].concat();
            let Command::Run(run) = Arguments::try_parse_from(words).unwrap().command else {
                panic!("{flags:?}")
            };
            run.opens_client()
        };
        assert!(opens(&[]) && opens(&["--gateway", "gw", "--trust-ca"]));
        assert!(!opens(&["--gateway", "gw"]) && !opens(&["--client", "./log-on.sh"]));
    }
}
