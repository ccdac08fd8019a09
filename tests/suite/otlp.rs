//! `--otlp`: what a collector is sent, judged by the types that OpenTelemetry publishes, and that no session waits for it.

use crate::support::certificates::certificates;
use crate::support::process::Process;
use crate::support::rdpscope::{Finished, Rdpscope, program};
use crate::support::scripted::Side::Server;
use crate::support::scripted::bytes::{SSL, connection_request, negotiation_failure};
use crate::support::scripted::{Conversation, Ends, listener};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

/// What a collector was sent.
#[derive(Debug)]
struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    request: ExportTraceServiceRequest,
}

/// A collector that answers as it is told to, the last answer over and over.
struct Collector {
    url: String,
    received: Receiver<Received>,
}

impl Collector {
    fn answering(answers: &[&str]) -> Collector {
        Collector::start("http", answers, |stream| Box::new(stream))
    }

    /// The same behind TLS with a certificate that the test authority has signed.
    fn with_tls() -> Collector {
        let (chain, key) = certificates().signed.for_rustls();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key);
        let config = Arc::new(config.expect("a key that fits"));
        Collector::start("https", &[OK], move |stream| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            Box::new(StreamOwned::new(connection, stream))
        })
    }

    fn start(
        scheme: &str,
        answers: &[&str],
        wrap: impl Fn(TcpStream) -> Box<dyn ReadWrite> + Send + 'static,
    ) -> Collector {
        let listener = listener();
        let port = listener.local_addr().expect("a listener has an address").port();
        let mut answers: Vec<String> = answers.iter().rev().map(|answer| (*answer).to_owned()).collect();
        let (sender, received) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
                let Some(received) = serve(wrap(stream), &answer.unwrap_or_default()) else { continue };
                if sender.send(received).is_err() {
                    return;
                }
            }
        });
        Collector { url: format!("{scheme}://localhost:{port}"), received }
    }

    fn next(&self) -> Received {
        self.received.recv_timeout(WITHIN).expect("the collector is sent something")
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

const OK: &str = "200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0";

fn serve(stream: Box<dyn ReadWrite>, answer: &str) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    assert!(line.starts_with("POST "), "{line}");
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut body = vec![0; headers["content-length"].parse().expect("a length")];
    reader.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).expect("it is what OpenTelemetry describes");
    reader.get_mut().write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).ok()?;
    reader.get_mut().flush().ok()?;
    Some(Received { path, headers, request })
}

/// A relay that exports to `url`, and its server's part.
fn refused_session(url: &str, change: impl FnOnce(&mut Command)) -> Finished {
    let server = listener();
    let target = server.local_addr().expect("a listener has an address");
    let mut command = program();
    change(&mut command);
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", "1", "--otlp", url];
    let rdpscope = Rdpscope::start_as(command, &format!("localhost:{}", target.port()), &arguments);
    refusal().play(Ends::connect(rdpscope.address, &server));
    rdpscope.finish_within(WITHIN)
}

/// A client whose cookie names a user, and a server that demands NLA.
fn refusal() -> Conversation {
    Conversation::new()
        .client(connection_request("CORP\\canary-user", SSL))
        .server(negotiation_failure(5))
        .finish(Server)
}

fn attributes(list: &[KeyValue]) -> BTreeMap<&str, String> {
    let value = |it: &KeyValue| match it.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => panic!("{other:?}"),
    };
    list.iter().map(|it| (it.key.as_str(), value(it))).collect()
}

fn spans(received: &Received) -> Vec<Span> {
    let [resource] = &received.request.resource_spans[..] else { panic!("{received:?}") };
    let [scope] = &resource.scope_spans[..] else { panic!("{received:?}") };
    assert_eq!(scope.scope.as_ref().map(|scope| &*scope.name), Some("rdpscope"));
    scope.spans.clone()
}

fn code(span: &Span) -> StatusCode {
    span.status.as_ref().map(|status| status.code()).unwrap_or_default()
}

#[test]
fn a_session_is_a_trace_with_a_span_for_each_phase() {
    let collector = Collector::answering(&[OK]);
    let finished = refused_session(&collector.url, |command| {
        command
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary%2Dkey")
            .env("OTEL_SERVICE_NAME", "rdp at the branch");
    });
    let received = collector.next();
    assert_eq!(received.path, "/v1/traces");
    assert_eq!(received.headers["content-type"], "application/x-protobuf");
    assert_eq!(received.headers["x-key"], "canary-key");
    finished.assert_nowhere("canary-key");
    let resource = received.request.resource_spans[0].resource.as_ref().expect("a resource");
    let resource = attributes(&resource.attributes);
    assert_eq!(resource["service.name"], "rdp at the branch");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(!resource["host.name"].is_empty());

    let session = finished.session();
    let spans = spans(&received);
    let [root, phases @ ..] = &spans[..] else { panic!("no spans") };
    assert_eq!((root.parent_span_id.len(), root.trace_id.len(), root.span_id.len()), (0, 16, 8));
    assert_eq!((&*root.name, root.kind(), code(root)), ("rdp session", SpanKind::Server, StatusCode::Error));
    let facts = attributes(&root.attributes);
    assert_eq!(facts["error.type"], "nla-required");
    assert_eq!(facts["rdpscope.confidence"], "confirmed");
    assert_eq!((&*facts["server.address"], &*facts["client.address"]), ("localhost", "127.0.0.1"));
    assert_eq!(facts["rdpscope.session"], session.lines()[0]["session"]);
    assert_eq!(facts["rdpscope.bytes_up"], session.end()["bytes_up"].to_string());

    let told: Vec<_> =
        session.lines().iter().filter(|it| it["type"] == "phase" && it["outcome"] != "skipped").collect();
    assert_eq!(phases.len(), told.len());
    let started: i64 = session.lines()[0]["started"]
        .as_str()
        .and_then(|it| it.parse::<jiff::Timestamp>().ok())
        .expect("a time")
        .as_microsecond();
    for (span, phase) in phases.iter().zip(told) {
        assert_eq!(span.name, phase["phase"].as_str().unwrap_or_default());
        assert_eq!((&span.trace_id, &span.parent_span_id), (&root.trace_id, &root.span_id));
        let at = |field: &str| (started as u64 + phase[field].as_u64().expect("a time")) * 1000;
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (at("start_us"), at("end_us")));
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
    }
    let x224 = phases.iter().find(|span| span.name == "x224").expect("a span of x224");
    assert_eq!(code(x224), StatusCode::Error);
    let names: Vec<&str> = x224.events.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["connection_request", "negotiation_failure"]);
    let all = format!("{:?}", received.request);
    for secret in ["canary", "CORP", "mstshash"] {
        assert!(!all.contains(secret), "{secret} is told: {all}");
    }
    assert_eq!(finished.exit_code, Some(1));
    assert!(!finished.stderr.contains("collector"), "{}", finished.stderr);
}

#[test]
fn a_collector_that_is_busy_is_tried_again() {
    let busy = "503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0";
    let collector = Collector::answering(&[busy, OK]);
    let finished = refused_session(&collector.url, |_| ());
    let [first, second] = [collector.next(), collector.next()];
    assert_eq!(first.request, second.request);
    assert!(collector.received.try_recv().is_err(), "once it is taken it is not sent again");
    assert!(!finished.stderr.contains("collector"), "{}", finished.stderr);
}

#[test]
fn a_collector_that_refuses_is_named_once_and_sessions_go_on() {
    for (status, url) in [("401 Unauthorized", "/"), ("404 Not Found", "/elsewhere")] {
        let collector = Collector::answering(&[&format!("{status}\r\ncontent-length: 0")]);
        let finished = refused_session(&format!("{}{url}", collector.url), |_| ());
        let received = collector.next();
        assert_eq!(received.path, if url == "/" { "/v1/traces" } else { url });
        finished.session().assert_confirmed("nla-required");
        assert_eq!(finished.exit_code, Some(1), "the session's own");
        let said = finished.stderr.matches(&format!("it answers {status}")).count();
        assert_eq!(said, 1, "{}", finished.stderr);
        assert!(
            finished.stderr.contains("1 of 1 sessions did not come to the collector"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn what_a_collector_rejects_in_part_is_said() {
    let partial =
        ExportTracePartialSuccess { rejected_spans: 3, error_message: "too \x1b[2J old".to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let body = String::from_utf8(body).expect("these bytes are text");
    let collector =
        Collector::answering(&[&format!("200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())]);
    let finished = refused_session(&collector.url, |_| ());
    assert!(finished.stderr.contains("it rejects 3 spans and says"), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\x1b'), "{}", finished.stderr);
}

#[test]
fn a_collector_that_never_answers_holds_up_neither_sessions_nor_the_end() {
    let silent = listener();
    let url = format!("http://{}", silent.local_addr().expect("a listener has an address"));
    let began = Instant::now();
    let finished = refused_session(&url, |_| ());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    finished.session().assert_confirmed("nla-required");
    assert!(finished.stderr.contains("1 of 1 sessions did not come to the collector"), "{}", finished.stderr);
    drop(silent);
}

#[test]
fn a_collector_that_is_not_there_is_said_at_the_end() {
    let gone = listener();
    let url = format!("http://{}", gone.local_addr().expect("a listener has an address"));
    drop(gone);
    let finished = refused_session(&url, |_| ());
    finished.session().assert_confirmed("nla-required");
    assert!(finished.stderr.contains("1 of 1 sessions did not come to the collector"), "{}", finished.stderr);
}

#[test]
fn a_collector_behind_tls_is_verified() {
    let collector = Collector::with_tls();
    let authority = certificates().authority_file.clone();
    let finished = refused_session(&collector.url, |command| {
        command.env("SSL_CERT_FILE", &authority);
    });
    assert_eq!(spans(&collector.next())[0].name, "rdp session");
    assert!(!finished.stderr.contains("collector"), "{}", finished.stderr);

    let collector = Collector::with_tls();
    let finished = refused_session(&collector.url, |_| ());
    assert!(finished.stderr.contains("1 of 1 sessions did not come to the collector"), "{}", finished.stderr);
    assert!(collector.received.try_recv().is_err(), "nothing is sent to whom nobody vouches for");
}

#[test]
fn many_sessions_come_in_few_requests_and_all_of_them() {
    const SESSIONS: usize = 150;
    let collector = Collector::answering(&[OK]);
    let server = listener();
    let target = server.local_addr().expect("a listener has an address");
    let rdpscope = Rdpscope::start(target, SESSIONS, &["--otlp", &collector.url]);
    let request = Conversation::new().client(connection_request("alice", SSL));
    let open: Vec<Ends> =
        (0..SESSIONS).map(|_| request.play_open(Ends::connect(rdpscope.address, &server))).collect();
    let answer = Conversation::new().server(negotiation_failure(5)).finish(Server);
    open.into_iter().for_each(|ends| answer.play(ends));
    let finished = rdpscope.finish_within(WITHIN);
    let received: Vec<Received> = collector.received.try_iter().collect();
    let roots: usize = received
        .iter()
        .map(|it| spans(it).iter().filter(|span| span.parent_span_id.is_empty()).count())
        .sum();
    assert_eq!(roots, SESSIONS, "{}", finished.stderr);
    assert!(received.len() < SESSIONS / 4, "{} requests", received.len());
}

#[test]
fn what_is_no_collector_is_refused_without_repeating_a_secret() {
    for (url, says) in
        [("collector", "not a collector's address"), ("http://me:canary-secret@collector", "holds no secret")]
    {
        let mut command = program();
        command.args(["proxy", "127.0.0.1:1", "--no-trace", "--otlp", url]);
        let mut process = Process::spawn(command);
        let status = process.wait(WITHIN).expect("it ends");
        process.output.wait_for_end(WITHIN);
        let said = process.output.all().join("\n");
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(says) && !said.contains("canary-secret"), "{said}");
    }
}

#[test]
fn a_probe_is_a_trace_for_each_target() {
    let collector = Collector::answering(&[OK]);
    let server = listener();
    let address = server.local_addr().expect("a listener has an address");
    let refusing = std::thread::spawn(move || {
        for mut stream in server.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            // A connection that is only opened is one of the rounds, or the one that ends this thread.
            match stream.read(&mut request) {
                Ok(0) | Err(_) => continue,
                Ok(4) => return,
                Ok(_) => drop(stream.write_all(&negotiation_failure(2))),
            }
        }
    });
    let (answering, gone) = (address.to_string(), listener().local_addr().expect("an address").to_string());
    let mut command = program();
    command.args(["probe", "--json", "--no-udp", "--no-tls", "--otlp", &collector.url, &answering, &gone]);
    let mut process = Process::spawn(command);
    let status = process.wait(WITHIN).expect("it ends");
    process.output.wait_for_end(WITHIN);
    TcpStream::connect(address).and_then(|mut stream| stream.write_all(b"done")).expect("it listens");
    refusing.join().expect("it answers");
    assert_eq!(status.code(), Some(1), "{}", process.output.all().join("\n"));

    let mut told = BTreeMap::new();
    while told.len() < 2 {
        let received = collector.next();
        assert!(!format!("{:?}", received.request).contains("mstshash"), "no cookie goes along");
        let (roots, phases): (Vec<Span>, Vec<Span>) =
            spans(&received).into_iter().partition(|span| span.parent_span_id.is_empty());
        for root in roots {
            assert_eq!((&*root.name, root.kind()), ("rdp probe", SpanKind::Client));
            let facts = attributes(&root.attributes);
            assert!(!facts.contains_key("rdpscope.session"), "a probe has no session: {facts:?}");
            let of_it = phases.iter().filter(|span| span.trace_id == root.trace_id);
            let names: Vec<&str> = of_it
                .inspect(|span| {
                    assert_eq!(span.parent_span_id, root.span_id);
                    assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
                })
                .map(|span| &*span.name)
                .collect();
            let what = (facts["error.type"].clone(), names.contains(&"x224"), code(&root));
            told.insert(format!("{}:{}", facts["server.address"], facts["server.port"]), what);
        }
    }
    assert_eq!(told[&answering], ("tls-refused-by-server".to_owned(), true, StatusCode::Error));
    assert_eq!(told[&gone], ("tcp-refused".to_owned(), false, StatusCode::Error));
}
