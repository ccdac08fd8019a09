//! The dashboard of the built program: who may see it, what it shows, and that nothing waits for it.

use crate::support::left_out::left_out_without;
use crate::support::rdpscope::{Finished, Rdpscope, program};
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};
use http::Site;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

mod browser;
mod experiment;
mod hostile;
mod http;
mod load;
mod metrics;

/// A relay with a dashboard and a scripted server behind it.
struct Watched {
    rdpscope: Rdpscope,
    site: Site,
    url: String,
    server: TcpListener,
}

impl Watched {
    fn start(arguments: &[&str]) -> Watched {
        let server = listener();
        let target = server.local_addr().expect("a listener has an address").to_string();
        let arguments = [&["--listen", "127.0.0.1:0", "--dashboard", ":0"], arguments].concat();
        let rdpscope = Rdpscope::start_as(program(), &target, &arguments);
        let url = rdpscope.dashboard();
        Watched { site: Site::of(&url), url, rdpscope, server }
    }

    /// Both ends of a new session.
    fn session(&self) -> Ends {
        Ends::connect(self.rdpscope.address, &self.server)
    }

    /// A session of `user` that the server ends because it demands NLA.
    fn refused(&self, user: &str) {
        refusal(user).play(self.session());
    }

    fn finish(self) -> Finished {
        self.rdpscope.signal(Signal::INT);
        self.rdpscope.finish()
    }
}

fn refusal(user: &str) -> Conversation {
    Conversation::new().client(connection_request(user, SSL)).server(negotiation_failure(5)).finish(Server)
}

fn is_over(session: &Value) -> bool {
    session["is_over"] == true
}

#[test]
fn only_who_knows_the_token_sees_anything() {
    let watched = Watched::start(&[]);
    let site = &watched.site;
    let host = site.host();
    let host = ("host", &*host);
    let wrong = format!("Bearer {}", site.token.chars().rev().collect::<String>());
    for path in ["/", "/events", "/metrics", "/report/x", "/dashboard.js", "/dashboard.css", "/nothing"] {
        for headers in [&[host][..], &[host, ("authorization", &wrong)], &[host, ("cookie", "rdpscope=1")]] {
            let answer = site.send("GET", path, headers, "");
            assert_eq!(answer.status, 401, "{path} {headers:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"rdpscope\"");
            assert!(!answer.body.contains(&site.token));
        }
    }
    assert_eq!(site.send("GET", "/?token=", &[host], "").status, 401);
    let cookie = site.cookie();
    let answer = site.send("GET", "/", &[host, ("cookie", &cookie)], "");
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains(&site.token), "the page does not hold the token");
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.get("/nothing").status, 404);
    let token = site.token.clone();
    let finished = watched.finish();
    assert_eq!(finished.exit_code, Some(130));
    let told = finished.stderr.matches(&token).count();
    assert_eq!(told, 1, "the token is said once, to the user:\n{}", finished.stderr);
    let stdout: String = finished.stdout.iter().map(ToString::to_string).collect();
    assert!(!stdout.contains(&token) && !String::from_utf8_lossy(&finished.files).contains(&token));
}

#[test]
fn a_name_that_was_made_to_point_here_is_turned_away() {
    let watched = Watched::start(&[]);
    let site = &watched.site;
    let bearer = format!("Bearer {}", site.token);
    let port = site.address.port();
    let with_host =
        |host: &str| site.send("GET", "/", &[("host", host), ("authorization", &bearer)], "").status;
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", "127.0.0.1:1", "[::1]"] {
        assert_eq!(with_host(host), 421, "{host}");
    }
    assert_eq!(with_host(&format!("localhost:{port}")), 200);
    let by_token = site.send("GET", &format!("/?token={}", site.token), &[("host", "evil.example")], "");
    assert_eq!((by_token.status, by_token.header("set-cookie")), (421, ""));
}

#[test]
fn another_sites_page_changes_nothing() {
    let watched = Watched::start(&[]);
    let site = &watched.site;
    let (host, cookie) = (site.host(), site.cookie());
    let post = |origin: Option<&str>| {
        let mut headers = vec![("host", &*host), ("cookie", &*cookie)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        site.send("POST", "/next", &headers, "turn=1").status
    };
    let own = format!("http://{host}");
    for origin in [None, Some("null"), Some("http://evil.example"), Some("https://127.0.0.1")] {
        assert_eq!(post(origin), 403, "{origin:?}");
    }
    assert_eq!(post(Some(&own)), 409, "there is no experiment");
    assert_eq!(site.send("DELETE", "/next", &[("host", &host), ("cookie", &cookie)], "").status, 403);
}

#[test]
fn every_answer_forbids_what_it_does_not_need() {
    let watched = Watched::start(&[]);
    let site = &watched.site;
    let refused = site.send("GET", "/", &[("host", &site.host())], "");
    for answer in [site.get("/"), site.get("/dashboard.js"), site.get("/metrics"), refused] {
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
    }
    let page = site.get("/").body;
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" onclick"), "{page}");
    assert_eq!(page.matches("<script").count(), 1, "one script, in a file of its own: {page}");
    assert!(site.get("/dashboard.js").header("content-type").starts_with("text/javascript"));
    assert!(!site.get("/dashboard.js").body.contains("innerHTML"), "everything is set as text");
}

#[test]
fn phases_are_told_as_they_happen_and_the_verdict_at_the_end() {
    let watched = Watched::start(&[]);
    let mut changes = watched.site.follow();
    let (name, first) = changes.next();
    assert_eq!((&*name, first["sessions"].as_array().map(Vec::len)), ("everything", Some(0)));
    let under_way = Conversation::new().client(connection_request("alice", SSL));
    let ends = under_way.play_open(watched.session());
    let runs = changes.wait_for(|session| session["current"] == "x224");
    assert_eq!((&runs["is_over"], &runs["number"]), (&Value::Bool(false), &Value::from(1)));
    assert!(runs["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{runs}");
    let rest = Conversation::new().server(negotiation_failure(5)).finish(Server);
    rest.play(ends);
    let over = changes.wait_for(is_over);
    assert_eq!(over["verdict"]["id"], "nla-required");
    assert_eq!(over["verdict"]["confidence"], "confirmed");
    let phases = over["phases"].as_array().expect("phases");
    let outcomes: Vec<_> = phases.iter().map(|it| (it["phase"].as_str(), it["outcome"].as_str())).collect();
    assert!(outcomes.contains(&(Some("x224"), Some("failed"))), "{outcomes:?}");
    assert_eq!(over["end"]["closed_by"], "server");
    let finished = watched.finish();
    let (name, _) =
        std::iter::from_fn(|| Some(changes.next())).find(|(name, _)| name == "end").expect("an end");
    assert_eq!(name, "end", "the page knows that it is no longer live");
    assert_eq!(finished.session().verdict()["id"], over["verdict"]["id"]);
}

#[test]
fn the_page_is_whole_without_a_script_and_opens_every_report() {
    let watched = Watched::start(&[]);
    let mut changes = watched.site.follow();
    watched.refused("alice");
    let session = changes.wait_for(is_over);
    let id = session["id"].as_str().expect("an id");
    let page = watched.site.get("/").body;
    let link = format!("/report/{id}");
    assert!(page.contains(&link) && page.contains("nla-required</strong> confirmed"), "{page}");
    let report = watched.site.get(&link);
    assert_eq!(report.status, 200);
    assert!(report.body.contains("nla-required"), "{}", report.body);
    for path in ["/report/", "/report/nobody", "/report/..%2f..%2fetc%2fpasswd", "/report/%00"] {
        let answer = watched.site.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
}

#[test]
fn without_traces_the_report_is_there_when_the_session_is_over() {
    let server = listener();
    let target = server.local_addr().expect("a listener has an address").to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--dashboard", ":0", "--no-trace"];
    let mut command = program();
    command.args(["proxy", &target, "--json"]).args(arguments);
    let (process, stdout) = crate::support::process::Process::spawn_apart(command);
    let within = Duration::from_secs(30);
    let listening = stdout.wait_for(within, |line| line.contains("listening")).expect("it listens");
    let listening: Value = serde_json::from_str(&listening).expect("JSON");
    let address: SocketAddr =
        listening["address"].as_str().and_then(|it| it.parse().ok()).expect("an address");
    let url = process.output.wait_for(within, |line| line.starts_with("dashboard at ")).expect("a dashboard");
    let site = Site::of(&url["dashboard at ".len()..]);
    let mut changes = site.follow();
    let open = Conversation::new().client(connection_request("alice", SSL));
    let ends = open.play_open(Ends::connect(address, &server));
    let runs = changes.wait_for(|session| session["current"] == "x224");
    let link = format!("/report/{}", runs["id"].as_str().expect("an id"));
    let early = site.get(&link);
    assert!(early.status == 404 && early.body.contains("when the session is over"), "{early:?}");
    Conversation::new().server(negotiation_failure(5)).finish(Server).play(ends);
    changes.wait_for(is_over);
    let report = site.get(&link);
    assert!(report.status == 200 && report.body.contains("nla-required"), "{report:?}");
}

#[test]
fn what_comes_from_the_wire_is_text() {
    const EVIL: &str = "<img src=x onerror=alert(1)>\u{202e}";
    let watched = Watched::start(&[]);
    let mut changes = watched.site.follow();
    watched.refused(EVIL);
    let session = changes.wait_for(is_over);
    let link = format!("/report/{}", session["id"].as_str().expect("an id"));
    for path in ["/", &link] {
        let page = watched.site.get(path).body;
        assert!(!page.contains("<img") && !page.contains('\u{202e}'), "{path}: {page}");
    }
    let report = watched.site.get(&link).body;
    assert!(report.contains("&lt;img"), "the cookie is shown as what it is: {report}");
}

#[test]
fn an_address_that_cannot_be_had_is_said_before_anything_listens() {
    let taken = listener();
    let address = taken.local_addr().expect("a listener has an address").to_string();
    let output = program().args(["proxy", "127.0.0.1:1", "--no-trace", "--dashboard", &address]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("rdpscope: cannot show the dashboard on {address}: ")), "{said}");
    assert!(said.contains("--dashboard ADDR:PORT"), "{said}");
}

#[test]
fn other_machines_see_it_only_where_that_is_allowed() {
    let output = program().args(["proxy", "127.0.0.1:1", "--no-trace", "--dashboard", "0.0.0.0:0"]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--allow-remote"), "{said}");
}

#[test]
fn a_token_is_kept_in_a_file_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let file = folder.path().join("token");
    let path = file.to_string_lossy().into_owned();
    let first = Watched::start(&["--dashboard-token", &path]).site.token;
    let second = Watched::start(&["--dashboard-token", &path]).site.token;
    assert_eq!(first, second);
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), first);
    assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "short").expect("it can be written");
    let arguments = ["proxy", "127.0.0.1:1", "--no-trace", "--dashboard", ":0", "--dashboard-token", &path];
    let output = program().args(arguments).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("32 to 256 letters"), "{said}");
}
