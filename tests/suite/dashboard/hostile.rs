//! Names that attack whoever looks at them, in certificates, cookies and host names: text everywhere, on the dashboard, in
//! reports and in a terminal.

use super::*;
use crate::support::browser::{Browser, CHROMIUM};
use crate::support::certificates::{hostile, hostile_name};
use crate::support::process::{Lines, Process};
use crate::support::scripted::Side::Client;
use crate::support::scripted::bytes::connection_confirm;
use crate::support::scripted::terminated::{TlsEnd, pass};
use crate::support::scripted::tls::{Handshake, Trust};
use rustls::version::TLS12;
use tempfile::TempDir;

const WITHIN: Duration = Duration::from_secs(60);
/// What ends the element that a careless page would put it in.
const SCRIPT: &str = "</style></title><script>document.title='ran'</script>";
/// As long as the name that the client asks for in its place.
const SERVER_NAME: &[u8; 9] = b"<s>\x1b[2J!?";

/// The program as somebody in front of a terminal runs it.
struct AtATerminal {
    process: Process,
    stdout: Lines,
    traces: TempDir,
    address: SocketAddr,
    url: String,
    server: TcpListener,
}

impl AtATerminal {
    fn start(sessions: usize) -> AtATerminal {
        let (server, traces) = (listener(), TempDir::new().expect("a temporary folder is made"));
        let target = server.local_addr().expect("a listener has an address").to_string();
        let mut command = program();
        command.args([
            "proxy",
            &target,
            "--listen",
            "127.0.0.1:0",
            "--dashboard",
            ":0",
            "--color",
            "always",
            "-v",
        ]);
        command.args(["--sessions", &sessions.to_string(), "--trace"]).arg(traces.path());
        let (process, stdout) = Process::spawn_apart(command);
        let said = |beginning: &str| {
            let line = process.output.wait_for(WITHIN, |line| line.contains(beginning));
            let line = line.unwrap_or_else(|| panic!("no {beginning:?}: {}", process.output.tail()));
            line.split_once(beginning).expect("it is there").1.to_owned()
        };
        let url = said("dashboard at ");
        let address = said("listening on ").parse().expect("an address");
        AtATerminal { process, stdout, traces, address, url, server }
    }

    fn session(&self) -> Ends {
        Ends::connect(self.address, &self.server)
    }

    /// A client that accepts any certificate, and a server that shows the hostile one.
    fn shows_a_hostile_certificate(&self) {
        let (mut client, mut server) = self.session().into_streams();
        let request = connection_request(&hostile_name("cookie"), SSL);
        pass(&mut client, &mut server, &request);
        pass(&mut server, &mut client, &connection_confirm(SSL));
        let mut client = TlsEnd::client(client, &TLS12, Trust::Anything);
        let mut server = TlsEnd::server(server, &TLS12, &hostile());
        std::thread::scope(|scope| {
            let handshake = scope.spawn(|| server.handshake());
            client.handshake().expect("the client takes any certificate");
            handshake.join().expect("it does not panic").expect("the server takes any client");
        });
        // The client first: a server that leaves says nothing of the certificate.
        client.finish();
        server.next();
    }

    /// A client that asks for a hostile name in its ClientHello, and leaves.
    fn asks_for_a_hostile_name(&self) {
        let mut hello = Handshake::new(&TLS12, &hostile(), Trust::Anything).client_hello();
        let place = hello.windows(9).position(|it| it == b"localhost").expect("it asks for a name");
        hello[place..place + 9].copy_from_slice(SERVER_NAME);
        let negotiated =
            Conversation::new().client(connection_request(SCRIPT, SSL)).server(connection_confirm(SSL));
        negotiated.client(hello).finish(Client).finish(Server).play(self.session());
    }
}

/// Whether a terminal would do anything but show `text`, beside what colours it.
fn assert_only_shown(what: &str, text: &str) {
    let mut pieces = text.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let plain = pieces.fold(first, |plain, piece| {
        let end = piece.find(|character: char| !character.is_ascii_digit() && character != ';');
        let (_, rest) = piece.split_at(end.unwrap_or(piece.len()));
        plain + rest.strip_prefix('m').unwrap_or_else(|| panic!("{what} moves the cursor: {piece:?}"))
    });
    let obeyed =
        plain.chars().find(|it| it.is_control() && *it != '\n' || ('\u{202a}'..='\u{202e}').contains(it));
    assert_eq!(obeyed, None, "{what}: {plain:?}");
    assert!(!plain.contains(&"W".repeat(200)), "{what} is filled with one name");
}

/// The page has nothing in it that a name of the wire put there, and has not run anything.
fn assert_harmless(browser: &mut Browser) {
    let elements = "document.querySelectorAll('img, svg[onload], main script, [onerror]').length";
    assert_eq!(browser.evaluate(elements), 0);
    assert_ne!(browser.evaluate("document.title"), "ran");
    assert_eq!(
        browser.evaluate("/[\\u202a-\\u202e\\u001b]/.test(document.documentElement.textContent)"),
        false
    );
    for (width, scheme) in [(390, "light"), (1400, "dark")] {
        browser.show(width, 900, scheme);
        let is_within = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(is_within), true, "{width} columns are enough");
    }
}

#[test]
fn names_that_attack_are_text_on_the_dashboard_in_reports_and_in_a_terminal() {
    if left_out_without(&[CHROMIUM]) {
        return;
    }
    let mut terminal = AtATerminal::start(3);
    let mut browser = Browser::open(&terminal.url);
    terminal.shows_a_hostile_certificate();
    terminal.asks_for_a_hostile_name();
    browser.wait_until("document.querySelectorAll('.session:not(.running)').length === 2");
    assert_harmless(&mut browser);
    browser.keep_picture("dashboard-hostile");
    let reports = browser.evaluate("[...document.querySelectorAll('.session a')].map(it => it.href)");
    let (mut seen, reports) = (String::new(), reports.as_array().expect("links").clone());
    assert_eq!(reports.len(), 2);
    for report in &reports {
        browser.go_to(report.as_str().expect("a link"));
        browser.wait_until("document.querySelector('h1')");
        assert_harmless(&mut browser);
        seen.push_str(browser.evaluate("document.body.textContent").as_str().expect("text"));
    }
    browser.keep_picture("report-hostile");
    for (place, name) in [
        ("the cookie", "cookie<img src=x"),
        (
            "the subject",
            "subject<img src=x onerror=document.title='ran'>\\x1b]0;ran\\x07\\x1b[2J\\u{202e}gpj.exe",
        ),
        ("the issuer", "issuer<img src=x"),
        ("the other cookie", SCRIPT),
        ("the alternative name", "<svg onload=document.title='ran'>\\x1b[31m.example"),
        ("the name asked for", "<s>\\x1b[2J!"),
    ] {
        assert!(seen.contains(name), "{place} is shown as what it is: {seen}");
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);

    refusal("carol").play(terminal.session());
    terminal.process.wait(WITHIN).expect("it ends by itself");
    terminal.stdout.wait_for_end(WITHIN);
    terminal.process.output.wait_for_end(WITHIN);
    let (stdout, stderr) = (terminal.stdout.all().join("\n"), terminal.process.output.all().join("\n"));
    assert!(
        stderr.contains("cookie<img") || stdout.contains("cookie<img"),
        "it is shown:\n{stdout}\n{stderr}"
    );
    assert_only_shown("standard output", &stdout);
    assert_only_shown("standard error", &stderr);
    for (format, shown) in
        [("text", "subject<img"), ("markdown", "subject\\<img"), ("html", "subject&lt;img")]
    {
        let mut report = program();
        report.arg("report").arg(terminal.traces.path()).args(["--format", format, "--color", "always"]);
        let output = report.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(shown), "{format}: {said}");
        match format {
            "html" => assert!(!said.contains("<img"), "{said}"),
            "markdown" => assert_eq!(said.matches("<img").count(), said.matches("\\<img").count(), "{said}"),
            _ => {}
        }
        if format != "html" {
            assert_only_shown(format, &said);
        }
    }
}
