//! The oldest transport, RPC over HTTP, with the one client that speaks it.

use super::{ACCESS_DENIED, Gives, parts, through, told};
use crate::support::gateway::{Gateway, PASSWORD, Setup, What};
use crate::support::peers::FreeRdp;

#[test]
fn xfreerdp2_reaches_the_desktop_over_rpc() {
    let Some((xrdp, _)) = parts(FreeRdp::Two) else { return };
    let gateway = Gateway::start(Setup::default());
    let run = through(gateway.address, FreeRdp::Two, Gives::Password(PASSWORD), "rpc", xrdp.address);
    assert!(run.active, "{}\n{}", run.tail(), told(&gateway));
}
