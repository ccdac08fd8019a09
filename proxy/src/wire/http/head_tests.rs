use super::*;

fn request(lines: &str) -> RequestHead {
    RequestHead::decode(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).as_bytes()).unwrap()
}

fn response(lines: &str, method: &str) -> ResponseHead {
    ResponseHead::decode(format!("{}\r\n\r\n", lines.replace('\n', "\r\n")).as_bytes(), Some(method)).unwrap()
}

#[test]
fn a_request_keeps_order_and_spelling_and_hides_what_is_private() {
    let head = request(
        "RDG_OUT_DATA /remoteDesktopGateway/?ConId={C}&ClmTk=secret&bare HTTP/1.1\nuser-AGENT: MS-RDGateway/1.0\n\
         Upgrade: WebSocket\nRDG-User-Id: secret\nRDG-Correlation-Id: {1}\nAuthorization: NTLM c2VjcmV0",
    );
    assert_eq!((head.method.as_str(), head.path.as_str()), ("RDG_OUT_DATA", "/remoteDesktopGateway/"));
    assert_eq!(head.query_names, ["ConId", "ClmTk"]);
    assert_eq!(head.connection_id.as_deref(), Some("{C}"));
    assert_eq!(head.correlation_id.as_deref(), Some("{1}"));
    let names: Vec<_> = head.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["user-AGENT", "Upgrade", "RDG-User-Id", "RDG-Correlation-Id", "Authorization"]);
    assert!(head.upgrade && head.framing == Framing::None && head.fault.is_none());
    assert!(!format!("{head:?}").contains("ecret"), "{head:?}");
}

#[test]
fn the_framing_of_a_request() {
    let framing = |headers: &str| {
        let head = request(&format!("RDG_IN_DATA / HTTP/1.1\nHost: a{headers}"));
        (head.framing, head.fault.map(|fault| fault.reason))
    };
    assert_eq!(framing(""), (Framing::None, None));
    assert_eq!(framing("\nTransfer-Encoding: gzip, Chunked"), (Framing::Chunked, None));
    assert_eq!(framing("\nContent-Length: 12"), (Framing::Length(12), None));
    assert_eq!(framing("\nContent-Length: 12, 12\nContent-Length: 12"), (Framing::Length(12), None));
    assert_eq!(framing("\nContent-Length: 1\nContent-Length: 2").1, Some("two different Content-Length"));
    assert_eq!(framing("\nContent-Length: +1"), (Framing::None, Some("Content-Length is no number")));
    let both = framing("\nContent-Length: 1\nTransfer-Encoding: chunked");
    assert_eq!(both, (Framing::Chunked, Some("both Transfer-Encoding and Content-Length")));
    assert_eq!(framing("\nTransfer-Encoding: gzip").0, Framing::UntilClose);
}

#[test]
fn the_framing_of_a_response() {
    let framing = |head: &str, method: &str| response(head, method).framing;
    assert_eq!(
        framing("HTTP/1.1 101 Switching Protocols\nContent-Length: 3", "RDG_OUT_DATA"),
        Framing::Upgraded
    );
    assert_eq!(framing("HTTP/1.1 200 OK\nContent-Length: 3", "HEAD"), Framing::None);
    assert_eq!(framing("HTTP/1.1 204 No Content\nContent-Length: 3", "GET"), Framing::None);
    assert_eq!(framing("HTTP/1.0 200 OK", "RDG_OUT_DATA"), Framing::UntilClose);
    assert_eq!(framing("HTTP/1.1 200 OK\ntransfer-encoding:chunked", "RDG_OUT_DATA"), Framing::Chunked);
    assert_eq!(
        framing("HTTP/1.1 401 Unauthorized\nContent-Length: 341", "RDG_OUT_DATA"),
        Framing::Length(341)
    );
    assert_eq!(response("HTTP/1.0 403", "GET").version, "HTTP/1.0");
}

#[test]
fn a_head_with_a_fault_is_read_all_the_same() {
    let head = response("HTTP/1.1 200 OK\nServer : odd\nbad header\nVia: 1.1 box", "GET");
    assert_eq!(head.fault.map(|fault| fault.reason), Some("a header's name is not valid"));
    assert_eq!(head.headers.last().map(|header| header.name.as_str()), Some("Via"));
    assert!(ResponseHead::decode(b"HTTP/9.9 200 OK\r\n\r\n", None).is_err());
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS + 1));
    let refused = RequestHead::decode(many.as_bytes()).unwrap_err();
    assert_eq!(refused.reason, "more headers than any peer sends");
}

#[test]
fn the_end_of_a_head_is_found_wherever_it_was_cut() {
    for (bytes, length) in [
        (&b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest"[..], 29),
        (b"GET / HTTP/1.0\n\nrest", 16),
        (b"HTTP/1.0 200 OK\n\r\n", 18),
    ] {
        let found = (0..=bytes.len()).find_map(|count| head_length(&bytes[..count], count.saturating_sub(1)));
        assert_eq!(found, Some(length));
        assert_eq!(head_length(bytes, 0), Some(length));
    }
    assert_eq!([head_length(b"\r\n\r\n", 0), head_length(b"GET / HTTP/1.1\r\n", 0)], [None, None]);
}

#[test]
fn what_may_log_on_is_in_no_path_query_or_header() {
    let read = |line: &str, headers: &str| {
        let head = format!("{line} HTTP/1.1\r\n{headers}\r\n");
        RequestHead::decode(head.as_bytes()).unwrap()
    };
    let path = |target: &str| read(&format!("GET {target}"), "").path;
    assert_eq!(path("https://anna:CANARY@gw/remote/"), "gw/remote/");
    assert_eq!(path("anna:CANARY@gw:443"), "gw:443");
    assert_eq!(path("/remote/;jsessionid=CANARY"), "/remote/");
    assert_eq!(path("/remote/#access_token=CANARY"), "/remote/");
    assert_eq!(path("/remoteDesktopGateway/"), "/remoteDesktopGateway/");
    assert_eq!(path("https://gw/remote/@x"), "https://gw/remote/@x");
    let names = |query: &str| read(&format!("GET /r?{query}"), "").query_names;
    assert_eq!(names("ConId=1&Q0FOQVJZ==&Q0FOQVJZ=&x;CANARY=1&a.CANARY=1"), ["ConId"]);
    let shown = |name: &str, value: &str| {
        let head = read("GET /", &format!("{name}: {value}\r\n"));
        head.headers[0].value.clone().unwrap_or_default()
    };
    assert_eq!(shown("Host", "anna:CANARY@gw"), "gw");
    assert_eq!(shown("RDG-Auth-Scheme", "PAA CANARY"), "PAA");
    assert_eq!(shown("RDG-Auth-Scheme", "CANARYCANARYCANARY"), "");
    assert_eq!(shown("Sec-WebSocket-Protocol", "bearer.CANARY"), "");
}
