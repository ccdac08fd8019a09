//! What users type after `rdpscope ab`.

use crate::cli::arguments::ProxyArguments;
use crate::experiment::{Factor, FactorError};
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct AbArguments {
    #[command(flatten)]
    pub(in crate::cli) proxy: ProxyArguments,
    /// What to change in every other attempt: cert, nla, udp, address, tls, mss, latency. With --gateway cert, address
    /// and tls are the gateway's, nla is that inside the tunnel (inner-nla is the same), udp is left to gateway-udp, and
    /// there are also inner-cert, gateway-udp and gateway-transport
    #[arg(long, value_name = "FACTOR", value_parser = factor, help_heading = "Experiment")]
    pub(in crate::cli) vary: Factor,
    /// Attempts for each arm
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=MOST_RUNS),
        help_heading = "Experiment"
    )]
    pub(in crate::cli) runs: u16,
}

/// More attempts tell nothing more, and no server should be dialled so often for one answer.
const MOST_RUNS: i64 = 100;

const EXAMPLES: &str = "\
Examples:
  rdpscope ab srv10 --vary cert --ca DIR       is it the certificate, and what in it?
                                               It says when to connect; the CA in DIR,
                                               once trusted, serves every later run
  rdpscope ab srv10 --vary cert --ca DIR --client 'xfreerdp /v:{host}:{port} /u:me'
                                               the same by itself
  rdpscope ab srv10 --vary latency             how slow a line does it stand?
  rdpscope ab srv10 --gateway gw --vary gateway-udp --ca DIR
                                               is it the gateway's UDP?
  rdpscope ab srv10 --gateway gw --vary inner-cert --ca DIR
                                               is it the certificate of the server
                                               behind the gateway?

The first arm is the session as it is. An arm that gets past the place where that one
fails shows the cause; the answer names the number of attempts and how often chance
alone would do the same.

Exit codes:
  0    done, and the session works
  1    done, and a fault was found
  2    wrong usage
  3    the work could not be done, for example as no client connected
  130  interrupted";

fn factor(text: &str) -> Result<Factor, FactorError> {
    text.parse()
}
