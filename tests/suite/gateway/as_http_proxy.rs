//! rdpscope as an HTTP proxy: to the gateway and to the target, and nowhere else.

use super::{WEBSOCKET, client, left_out, relay};
use crate::support::gateway::{Gateway, Setup, way};
use crate::support::peers::{FreeRdp, Xrdp};
use crate::support::rdpscope::{Rdpscope, program};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What a client is answered that asks for this.
fn answer(relay: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(relay).expect("rdpscope listens");
    stream.write_all(request.as_bytes()).expect("what is sent is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    answer
}

#[test]
fn a_gateway_session_without_another_address_in_the_client() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    let gateway = Gateway::start(Setup::default());
    let relay = relay(xrdp.address, gateway.address, 1, &["--as-http-proxy"]);
    let refused = answer(relay.address, "CONNECT somewhere.example:443 HTTP/1.1\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("not to somewhere.example:443"), "{refused}");
    let refused = answer(relay.address, "GET http://somewhere.example/ HTTP/1.1\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let proxy = relay.address;
    let arguments = format!("{} /proxy:http://{proxy}", way(gateway.address, WEBSOCKET));
    let run = client(xrdp.address, &arguments);
    let finished = relay.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    finished.session().assert_reached(&["gateway-tls", "gateway-channel", "active"]);
}

#[test]
fn a_direct_session_through_it() {
    if left_out(FreeRdp::Two) {
        return;
    }
    let xrdp = Xrdp::start(&Xrdp::setup());
    // The client asks for localhost.
    let target = format!("localhost:{}", xrdp.address.port());
    let flags = ["--listen", "127.0.0.1:0", "--sessions", "1", "--as-http-proxy", "--udp", "refuse"];
    let relay = Rdpscope::start_as(program(), &target, &flags);
    let run = client(xrdp.address, &format!("/proxy:http://{}", relay.address));
    let finished = relay.finish();
    assert!(run.active, "{}\n{}", run.tail(), finished.stderr);
    finished.session().assert_reached(&["tcp", "x224", "tls"]);
}
