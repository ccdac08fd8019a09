//! Sessions with HYBRID_EX, in which the server says that the user is let in.

use super::{RIGHT, Trial, assert_no_secret, credentials, left_out};
use crate::support::certificates::certificates;
use crate::support::peers::{ClientRun, FreeRdp, Iron, Xfreerdp};
use crate::support::rdpscope::Finished;
use ironrdp_pdu::nego::SecurityProtocol;
use tempfile::TempDir;

/// HYBRID_EX: only an ironrdp server and FreeRDP 3 speak it.
fn hybrid_ex(arguments: &[&str]) -> Option<(ClientRun, Finished)> {
    if left_out(&[&Xfreerdp::programs(FreeRdp::Three)]) {
        return None;
    }
    let server = Iron::start(SecurityProtocol::HYBRID_EX, &certificates().signed, "test", "Right-1234");
    let client = Xfreerdp::new(FreeRdp::Three, &["/sec:ext", RIGHT[0], RIGHT[1]]);
    let (run, finished) = Trial::new().run(server.address, arguments, |_, port| client.run(port));
    assert_no_secret(&finished);
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    let session = finished.session();
    assert_eq!(session.summary()["selected_protocol"], "HYBRID_EX", "{session}");
    session.assert_reached(&["tcp", "x224", "tls", "credssp", "mcs", "channels", "info"]);
    Some((run, finished))
}

#[test]
fn hybrid_ex_works_on_through_the_servers_own_key() {
    let key = certificates().signed.key_file.to_string_lossy().into_owned();
    let Some((_, finished)) = hybrid_ex(&["--renew-with", &key]) else { return };
    let session = finished.session();
    let result = &session.event("early_user_authorization_result")["result"];
    assert_eq!(result["name"], "AUTHZ_SUCCESS", "{session}");
}

#[test]
fn hybrid_ex_works_where_rdpscope_logs_on_by_itself() {
    let folder = TempDir::new().expect("a temporary folder is made");
    let account = credentials(folder.path(), "Right-1234");
    let arguments = ["--cert", "fresh", "--nla", "terminate", "--credentials", &account];
    let Some((_, finished)) = hybrid_ex(&arguments) else { return };
    let session = finished.session();
    assert_eq!(
        session.events_named("early_user_authorization_result").len(),
        2,
        "one on each leg:\n{session}"
    );
}
