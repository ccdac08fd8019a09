//! Reports as Markdown, as JSON, and two sessions side by side.

use super::*;
use crate::report::{Document, Subject, Weight, contrast, contrast_text, document_text, markdown};

fn subject(lines: Vec<Line>) -> Subject {
    Subject::new(lines.into_iter().collect(), "traces/one/trace.jsonl".to_owned())
}

fn document(subjects: Vec<Subject>) -> Document {
    Document { subjects, ..Document::default() }
}

fn compared(working: Vec<Line>, failing: Vec<Line>) -> Document {
    let mut document = document(vec![subject(working), subject(failing)]);
    document.compare().unwrap();
    document
}

/// A session over TLS 1.2 with this certificate, which the client takes or leaves.
fn with_certificate(session: &str, shown: rdpscope_certs::inspect::Certificate, fails: bool) -> Vec<Line> {
    let certificate = Detail::Certificate { chain: vec![shown.into()], unreadable: vec![], der: vec![] };
    let script = Script::connected(session, "srv10.contoso.local:3389", "192.0.2.10:3389")
        .client(2_600, Phase::X224, asked(Some("bob"), &["SSL"]))
        .server(3_100, Phase::X224, chose("SSL"))
        .client(4_000, Phase::Tls, client_hello("srv10.contoso.local"))
        .server(5_000, Phase::Tls, server_hello(0xc030, false))
        .server(5_000, Phase::Tls, certificate);
    if fails {
        let verdict = verdict(VerdictId::CertificateExpired, Confidence::Likely, Phase::Tls, "It expired.");
        script.end(verdict, end(6_000, ClosedBy::Client, How::Reset))
    } else {
        let verdict = verdict(VerdictId::Healthy, Confidence::Likely, Phase::Active, "It worked.");
        script
            .proxy(6_000, Leg::Server, Phase::Tls, Detail::HandshakeComplete)
            .end(verdict, end(9_000, ClosedBy::Client, How::Fin))
    }
}

#[test]
fn a_ticket_has_the_answer_the_proof_and_the_commands() {
    insta::assert_snapshot!(markdown(&document(vec![subject(expired("2026-11-21T02-10-00-1"))])));
}

#[test]
fn nothing_in_a_ticket_is_markup_of_somebody_else() {
    let page = markdown(&document(vec![subject(hostile())]));
    assert!(!page.contains(['\x1b', '\r', '\u{202e}', '\u{9b}']), "{page:?}");
    for evil in
        ["<script>alert(1)</script>", "[x](http://evil.example)", "![x](y)", "a|b|c", "# top", "@everyone"]
    {
        let lines = Script::connected(evil, evil, evil)
            .client(2_600, Phase::X224, asked(Some(evil), &[evil]))
            .finding(Phase::Tls, evil)
            .end(
                Verdict {
                    evidence: vec![evidence(1, evil)],
                    ..verdict(VerdictId::NotRdp, Confidence::Confirmed, Phase::X224, evil)
                },
                end(3_200, ClosedBy::Server, How::Fin),
            );
        let page = markdown(&document(vec![subject(lines)]));
        let outside_of_code: String = page.split('`').step_by(2).collect();
        // A character after a backslash is text.
        let mut parts = outside_of_code.split('\\');
        let first = parts.next().unwrap_or_default().to_owned();
        let outside_of_code = parts.fold(first, |kept, part| kept + part.get(1..).unwrap_or_default());
        assert!(!outside_of_code.contains(evil), "{evil}:\n{page}");
    }
}

#[test]
fn the_first_difference_that_can_explain_it_comes_first() {
    let mut valid = certificate("srv10.contoso.local");
    valid.not_after = "2027-11-09T08:00:00Z".to_owned();
    valid.not_after_unix += 365 * 86_400;
    valid.sha1 = "aa".repeat(20);
    let expired = certificate("srv10.contoso.local");
    let document = compared(with_certificate("two", valid, false), with_certificate("one", expired, true));
    let contrast = document.contrast.as_ref().unwrap();
    let first = contrast.first.as_ref().unwrap();
    assert_eq!((first.what.as_str(), first.weight), ("validity of the server's certificate", Weight::Cause));
    assert!(first.failing.starts_with("expired"), "{first:?}");
    assert!(contrast.others.iter().any(|it| it.what.starts_with("thumbprint (SHA-1)")));
    insta::assert_snapshot!(document_text(&document, &STYLE));
    insta::assert_snapshot!(markdown(&document));
}

#[test]
fn what_always_differs_is_no_difference() {
    let mut again = healthy("two", "srv10.contoso.local:3389");
    for line in &mut again {
        match line {
            Line::Trace(header) => header.started = "2026-11-22T09:00:00Z".to_owned(),
            Line::Event(event) => {
                event.t_us += 1_000;
                if let Detail::Accepted { peer, .. } = &mut event.detail {
                    *peer = "127.0.0.1:61000".to_owned();
                }
                if let Detail::Connected { local, .. } = &mut event.detail {
                    *local = "192.0.2.77:61001".to_owned();
                }
            }
            _ => {}
        }
    }
    let told = contrast(&subject(healthy("one", "srv10.contoso.local:3389")), &subject(again));
    assert_eq!((told.first, told.parted), (None, None));
    assert_eq!(told.others, []);
    assert!(told.same > 10, "{}", told.same);
}

#[test]
fn which_is_which_follows_from_the_verdicts() {
    let document = compared(nla_required(), healthy("two", "srv10.contoso.local:3389"));
    assert!(document.subjects[1].fails() && !document.subjects[0].fails(), "they changed places");
    let first = document.contrast.unwrap().first.unwrap();
    assert_eq!((first.phase, first.what.as_str()), (Phase::X224, "protocols that the client offers"));
    let mut one = self::document(vec![subject(nla_required())]);
    assert!(one.compare().unwrap_err().to_string().contains("takes two sessions"));
    let both = compared(nla_required(), expired("one"));
    assert!(both.contrast.unwrap().notes[0].contains("Both fail"));
}

#[test]
fn what_rdpscope_did_otherwise_is_said() {
    let mut stripped = nla_required();
    if let Some(Line::Trace(header)) = stripped.first_mut() {
        header.settings.insert("nla".to_owned(), "strip".into());
    }
    let contrast = compared(healthy("two", "srv10.contoso.local:3389"), stripped).contrast.unwrap();
    assert!(contrast.notes[0].contains("other settings"), "{:?}", contrast.notes);
    let text = contrast_text(&contrast, &STYLE);
    assert!(text.contains("rdpscope's --nla"), "{text}");
}

#[test]
fn a_trace_that_ends_before_another_certificate_was_shown_does_not_say_which_one_was() {
    let shown = |cut: bool| {
        let mut lines = expired("one");
        if let Some(Line::Trace(header)) = lines.first_mut() {
            header.settings.insert("cert".to_owned(), "fresh".into());
        }
        let began = lines.iter().position(
            |line| matches!(line, Line::Event(event) if matches!(event.detail, Detail::ClientHello(_))),
        );
        lines.truncate(if cut { began.unwrap() + 1 } else { lines.len() });
        subject(lines)
    };
    let passed_on = subject(expired("two"));
    let tells = |one: &Subject, other: &Subject| {
        let told = contrast(one, other);
        let all = told.first.into_iter().chain(told.others);
        all.map(|difference| difference.what).any(|what| what == "certificate that the client is shown")
    };
    assert!(!tells(&shown(true), &passed_on) && !tells(&shown(false), &passed_on));
    let mut presented = expired("three");
    if let Some(Line::Event(event)) = presented.iter_mut().rfind(|line| matches!(line, Line::Event(_))) {
        event.detail = Detail::CertificatePresented {
            mode: "fresh".to_owned(),
            chain: vec![],
            same_key: false,
            differences: vec![],
            der: vec![],
        };
    }
    assert!(tells(&subject(presented), &passed_on));
}

#[test]
fn a_trace_without_a_verdict_is_judged_by_what_is_there() {
    let mut lines = nla_required();
    lines.retain(|line| !matches!(line, Line::Verdict(_) | Line::End(_) | Line::Summary(_)));
    let subject = subject(lines);
    assert!(subject.judged_here);
    assert_eq!(subject.record.verdict.as_ref().unwrap().id, VerdictId::NlaRequired);
    let text = document_text(&document(vec![subject]), &STYLE);
    assert!(text.contains("was made by this reading") && text.contains("breaks off"), "{text}");
}

#[test]
fn a_program_gets_the_conclusion_in_one_line() {
    let document = document(vec![subject(expired("one")), subject(nla_required())]);
    let lines: Vec<serde_json::Value> =
        document.conclusions().map(|line| serde_json::to_value(&line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["type"], "report");
    assert_eq!(lines[0]["verdict"]["id"], "certificate-expired");
    assert_eq!(lines[0]["trace"]["session"], "one");
    assert_eq!((&lines[1]["end"]["closed_by"], &lines[1]["judged_here"]), (&"server".into(), &false.into()));
}
