//! The page: what is in it, that it is whole, and that nothing from the wire is markup in it.

use super::dom::{Dom, Element};
use super::*;
use crate::report::{Document, Fleet, Host, HostValue, Subject, html};
use std::collections::{BTreeMap, BTreeSet};

/// What names, cookies and reasons of a hostile peer hold.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "]]><svg onload=alert(3)>",
    "</style></title></pre><iframe src=//evil.example>",
    "javascript:alert(4)' onclick='x",
    "moc.\u{202e}elpmaxe\u{2066}\u{200b}\x1b[2J\x00",
];

fn subject(lines: Vec<Line>) -> Subject {
    Subject::new(lines.into_iter().collect(), "traces/one/trace.jsonl".to_owned())
}

fn document(subjects: Vec<Subject>) -> Document {
    Document { subjects, ..Document::default() }
}

fn page_of(lines: Vec<Line>) -> String {
    html(&document(vec![subject(lines)]))
}

fn an_experiment() -> Document {
    let run = |session: &str, verdict| ExperimentRun {
        reached: Some(Phase::X224),
        reached_us: Some(2_000),
        began: Some(Phase::Tls),
        verdict,
        session: session.to_owned(),
    };
    let arm =
        |name: &str, runs| ExperimentArm { name: name.to_owned(), description: format!("arm {name}"), runs };
    let experiment = Experiment {
        factor: "cert".to_owned(),
        arms: vec![
            arm(
                "server",
                vec![run("one", VerdictId::CertificateExpired), run("gone", VerdictId::CertificateExpired)],
            ),
            arm("fresh", vec![run("two", VerdictId::Healthy)]),
        ],
        conclusion: ExperimentConclusion {
            effect: ExperimentEffect::Cause,
            guilty: Some("dates".to_owned()),
            p_value: Some(0.0286),
            because: "The server's own failed 4 of 4; the other worked 4 of 4.".to_owned(),
        },
        confounders: vec![ExperimentConfounder {
            id: "confounder-x".to_owned(),
            arm: "fresh".to_owned(),
            forbids: false,
            text: "The key is another one.".to_owned(),
            way_round: vec![],
        }],
    };
    let healthy = healthy("two", "srv10.contoso.local:3389");
    let Some(Line::Trace(header)) = healthy.first().cloned() else { panic!("{healthy:?}") };
    let verdict =
        verdict(VerdictId::CertificateExpired, Confidence::Confirmed, Phase::Tls, "Its dates are the cause.");
    let of_experiment = vec![
        Line::Trace(Header { session: "run".to_owned(), ..header }),
        Line::Experiment(Box::new(experiment)),
        Line::Verdict(Box::new(verdict)),
    ];
    document(vec![subject(of_experiment), subject(expired("one")), subject(healthy)])
}

fn a_fleet() -> Document {
    let target = |name: &str, id, text: &str| {
        let probe =
            Probe { target: name.to_owned(), started: "2026-11-21T02:10:00Z".to_owned(), ..Probe::default() };
        let verdict = verdict(id, Confidence::Confirmed, Phase::Tls, text);
        subject(vec![Line::Probe(Box::new(probe)), Line::Verdict(Box::new(verdict))])
    };
    let value = |class: &'static str| Some(HostValue { class: class.into(), words: format!("{class}!") });
    let host =
        |subject, validity, version| Host { subject, values: vec![value(validity), value(version), None] };
    let fleet = Fleet {
        comparison: Comparison {
            targets: 3,
            failing: 1,
            working: 2,
            sentences: vec!["c:3389 differs from the 2 that work in: certificate validity".to_owned()],
            ..Comparison::default()
        },
        properties: vec!["certificate validity", "TLS version", "path MTU"],
        hosts: vec![host(0, "valid", "TLS1.3"), host(1, "valid", "TLS1.3"), host(2, "expired", "TLS1.3")],
    };
    let subjects = vec![
        target("a:3389", VerdictId::Healthy, "It is well."),
        target("b:3389", VerdictId::Healthy, "It is well."),
        target("c:3389", VerdictId::CertificateExpired, "It expired."),
    ];
    Document { subjects, fleet: Some(fleet), ..Document::default() }
}

/// A session through a gateway in which everything that a peer may choose is `evil`.
fn hostile_with(evil: &str) -> Vec<Line> {
    let mut shown = certificate(evil);
    shown.sans = vec![evil.to_owned(), "srv10".to_owned()];
    shown.self_signed = false;
    shown.key_algorithm = evil.to_owned();
    let response = GatewayMessage::HttpResponse(Box::new(HttpResponse {
        role: Role::OutChannel,
        status: 407,
        reason: evil.to_owned(),
        headers: vec![HttpHeader { name: evil.to_owned(), value: Some(evil.to_owned()), length: evil.len() }],
        ..HttpResponse::default()
    }));
    let certificate =
        Detail::Certificate { chain: vec![shown.into()], unreadable: vec![evil.to_owned()], der: vec![] };
    let other = Detail::OtherProtocol { protocol: Some(evil.to_owned()), first_bytes: hex::encode(evil) };
    let mut lines = Script::connected(evil, evil, evil)
        .on(1, 2_500, Some(Side::Server), Phase::GatewayHttp, Detail::Gateway(response))
        .client(2_600, Phase::X224, asked(Some(evil), &["SSL", evil]))
        .client(
            2_900,
            Phase::Tls,
            client_hello(&evil.chars().filter(char::is_ascii).take(30).collect::<String>()),
        )
        .server(3_000, Phase::Tls, certificate)
        .server(3_100, Phase::Tls, other)
        .proxy(
            3_150,
            Leg::Proxy,
            Phase::Tls,
            Detail::NotAltered { setting: evil.to_owned(), reason: evil.to_owned() },
        )
        .finding(Phase::Tls, evil)
        .end(
            Verdict {
                evidence: vec![evidence(1, evil)],
                next: vec![evil.to_owned()],
                fix: vec![fix(Where::Server, evil, Some(evil))],
                ..verdict(VerdictId::NotRdp, Confidence::Confirmed, Phase::X224, evil)
            },
            end(3_200, ClosedBy::Server, How::Fin),
        );
    for line in &mut lines {
        match line {
            Line::Trace(header) => {
                header.settings.insert(evil.to_owned(), evil.into());
                header.rdpscope = evil.to_owned();
            }
            Line::Summary(summary) => {
                summary.cookie = Some(evil.to_owned());
                summary.sni = Some(evil.to_owned());
                summary.cipher = Some(evil.to_owned());
            }
            _ => {}
        }
    }
    lines.push(Line::Altered(Altered {
        t_us: 1,
        leg: Leg::Server,
        connection: None,
        phase: Phase::X224,
        message: evil.to_owned(),
        structure: evil.to_owned(),
        field: evil.to_owned(),
        offset: 0,
        before: evil.to_owned(),
        after: String::new(),
        why: evil.to_owned(),
    }));
    lines
}

fn hostile_document(evil: &str) -> Document {
    let mut document = document(vec![subject(hostile_with(evil)), subject(hostile_with(evil))]);
    document.notes = vec![evil.to_owned()];
    document.subjects[0].source = evil.to_owned();
    document
}

/// The title of the page; pictures have titles too.
fn title(dom: &Dom) -> &str {
    let mut titles = dom.all("title").filter(|it| it.within.contains(&"head".to_owned()));
    titles.next().map(|it| it.text.as_str()).unwrap_or_default()
}

/// Every kind of page.
fn pages() -> Vec<(&'static str, String)> {
    let mut compared =
        document(vec![subject(healthy("two", "srv10.contoso.local:3389")), subject(expired("one"))]);
    compared.compare().unwrap();
    let broken_off: Vec<Line> = expired("cut").into_iter().take(9).collect();
    vec![
        ("healthy", page_of(healthy("one", "srv10.contoso.local:3389"))),
        ("expired", page_of(expired("one"))),
        ("refused", page_of(refused())),
        ("nla", page_of(nla_required())),
        ("cut", page_of(broken_off)),
        ("hostile", html(&hostile_document(HOSTILE[0]))),
        ("experiment", html(&an_experiment())),
        ("fleet", html(&a_fleet())),
        ("compared", html(&compared)),
        ("empty", html(&Document::default())),
    ]
}

#[test]
fn a_page_is_sound_html() {
    for (name, page) in pages() {
        let dom = Dom::of(&page);
        assert_eq!(dom.errors, [""; 0], "{name}");
        assert_eq!(dom.only("html").attribute("lang"), Some("en"), "{name}");
        assert!(!title(&dom).trim().is_empty(), "{name}");
        dom.only("main");
        assert_eq!(dom.all("h1").count(), 1, "{name}");
    }
}

#[test]
fn a_page_needs_nothing_else_and_runs_nothing() {
    const ALLOWED: [&str; 45] = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "main",
        "footer",
        "article",
        "section",
        "nav",
        "div",
        "p",
        "span",
        "strong",
        "h1",
        "h2",
        "h3",
        "h4",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "figure",
        "figcaption",
        "svg",
        "desc",
        "defs",
        "pattern",
        "line",
        "rect",
        "text",
        "tspan",
    ];
    for (name, page) in pages() {
        let dom = Dom::of(&page);
        let policy = dom.all("meta").find_map(|meta| {
            meta.attribute("http-equiv").filter(|it| *it == "Content-Security-Policy")?;
            meta.attribute("content")
        });
        assert!(policy.unwrap().starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{name}");
        for element in &dom.elements {
            assert!(ALLOWED.contains(&element.name.as_str()), "{name}: {}", element.name);
            for (attribute, value) in &element.attributes {
                assert!(
                    !attribute.starts_with("on") && attribute != "src" && attribute != "style",
                    "{name}: {attribute}"
                );
                let is_place = attribute != "href" || value.starts_with('#');
                assert!(is_place && !value.contains("//"), "{name}: {attribute}={value}");
                assert!(!value.contains("url(") || value.starts_with("url(#"), "{name}: {attribute}={value}");
            }
        }
        let style = &dom.only("style").text;
        assert!(!style.contains("url(") && !style.contains("@import") && !style.contains("@font-face"));
    }
}

#[test]
fn what_a_hostile_peer_says_stays_text() {
    for evil in HOSTILE {
        let page = html(&hostile_document(evil));
        let dom = Dom::of(&page);
        assert_eq!(dom.errors, [""; 0], "{evil}");
        for element in &dom.elements {
            assert!(
                !["script", "img", "iframe"].contains(&element.name.as_str()),
                "{evil}: {}",
                element.name
            );
            for (attribute, value) in &element.attributes {
                assert!(!attribute.starts_with("on"), "{evil}: {attribute}");
                assert!(
                    !value.contains("alert") && !value.contains("evil.example"),
                    "{evil}: {attribute}={value}"
                );
            }
        }
        let is_harmless = |line: &str| crate::report::safe::neutralise(line, false) == line;
        assert!(page.lines().all(is_harmless), "{evil}");
        let shown = crate::report::safe::neutralise(evil, false);
        assert!(dom.only("main").text.contains(&shown), "{evil} is told: {shown}");
    }
}

#[test]
fn headings_are_in_order_and_every_section_has_its_own() {
    for (name, page) in pages() {
        let dom = Dom::of(&page);
        let mut before = 0;
        for heading in dom.elements.iter().filter(|it| ["h1", "h2", "h3", "h4"].contains(&it.name.as_str())) {
            let level: usize = heading.name[1..].parse().unwrap();
            assert!(level <= before + 1, "{name}: {} after h{before}", heading.name);
            assert!(!heading.text.trim().is_empty(), "{name}");
            before = level;
        }
    }
}

#[test]
fn ids_are_unique_and_whatever_points_to_one_finds_it() {
    for (name, page) in pages() {
        let dom = Dom::of(&page);
        let mut ids = BTreeSet::new();
        for id in dom.elements.iter().filter_map(|it| it.attribute("id")) {
            assert!(ids.insert(id.to_owned()), "{name}: {id} twice");
        }
        for element in &dom.elements {
            let targets = element.attribute("href").map(|it| it.trim_start_matches('#').to_owned());
            let labels = element.attribute("aria-labelledby").into_iter().flat_map(str::split_whitespace);
            let fill = element.attribute("fill").and_then(|it| it.strip_prefix("url(#")?.strip_suffix(')'));
            for id in targets.into_iter().chain(labels.chain(fill).map(str::to_owned)) {
                assert!(ids.contains(&id), "{name}: nothing has the id {id}");
            }
        }
    }
}

#[test]
fn pictures_have_words_and_tables_have_captions_and_heads() {
    for (name, page) in pages() {
        let dom = Dom::of(&page);
        for (place, svg) in dom.elements.iter().enumerate().filter(|(_, it)| it.name == "svg") {
            assert_eq!(svg.attribute("role"), Some("img"), "{name}");
            assert!(svg.attribute("aria-labelledby").is_some(), "{name}");
            let [title, description] = &dom.elements[place + 1..place + 3] else { panic!() };
            assert_eq!((title.name.as_str(), description.name.as_str()), ("title", "desc"), "{name}");
            assert!(!title.text.is_empty() && !description.text.is_empty(), "{name}");
        }
        let tables = dom.all("table").count();
        assert_eq!(dom.all("caption").filter(|it| !it.text.trim().is_empty()).count(), tables, "{name}");
        assert!(dom.all("th").all(|it| matches!(it.attribute("scope"), Some("col" | "row"))), "{name}");
        let scrolls = dom.elements.iter().filter(|it| it.attribute("class") == Some("scroll"));
        for region in scrolls {
            let of = (
                region.attribute("role"),
                region.attribute("tabindex"),
                region.attribute("aria-label").is_some(),
            );
            assert_eq!(of, (Some("region"), Some("0"), true), "{name}");
        }
    }
}

#[test]
fn the_answer_is_the_first_thing_said() {
    let dom = Dom::of(&page_of(expired("one")));
    let main = &dom.only("main").text;
    let answer = &dom.only("h1").text;
    let lines: Vec<Line> = expired("one");
    let verdict = lines.iter().find_map(|line| match line {
        Line::Verdict(verdict) => Some(verdict.summary.clone()),
        _ => None,
    });
    assert_eq!(Some(answer.clone()), verdict);
    let at = |text: &str| main.find(text).unwrap_or_else(|| panic!("{text} is not told"));
    let order = [
        answer.as_str(),
        "Why",
        "What to do",
        "Phases",
        "Certificate",
        "Who said what",
        "Settings",
        "Raw events",
    ];
    let places: Vec<usize> = order.iter().map(|text| at(text)).collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(title(&dom).contains("srv10"));
}

#[test]
fn every_phase_is_in_the_picture_and_in_the_table_and_not_told_by_colour_alone() {
    let dom = Dom::of(&page_of(nla_required()));
    let picture = &dom.all("svg").next().unwrap().text;
    let table = &dom.all("table").next().unwrap().text;
    for name in ["dns", "tcp", "x224"] {
        assert!(picture.contains(name) && table.contains(name), "{name}");
    }
    assert!(picture.contains('✗') && table.contains("✗ failed"), "{table}");
    let inferred = Dom::of(&page_of(healthy("one", "srv10.contoso.local:3389")));
    let hatched = inferred.all("rect").filter(|it| it.attribute("fill").is_some()).count();
    assert!(hatched > 0, "what is judged by its size is hatched");
    assert!(inferred.only("main").text.contains("Hatched: judged by"));
    assert!(inferred.all("table").next().unwrap().text.contains("(by sizes and timing)"));
}

#[test]
fn a_certificate_is_held_against_the_moment_and_the_names() {
    let dom = Dom::of(&page_of(expired("one")));
    let section =
        dom.all("section").find(|it| it.attribute("aria-labelledby") == Some("certificate")).unwrap();
    assert!(section.text.contains("session: 2026-11-21"), "{}", section.text);
    assert!(section.text.contains("expired 11 days ago") || section.text.contains("expired 12 days ago"));
    assert!(section.text.contains("✗ Of the server"));
}

#[test]
fn an_experiment_is_a_matrix_that_leads_to_its_sessions() {
    let dom = Dom::of(&html(&an_experiment()));
    assert_eq!(dom.only("h1").text, "Its dates are the cause.");
    let matrix = dom.all("table").find(|it| it.attribute("class") == Some("matrix")).unwrap();
    assert!(
        matrix.text.contains("certificate-expired") && matrix.text.contains("not tried"),
        "{}",
        matrix.text
    );
    let leads: Vec<&Element> = dom.all("a").filter(|it| it.within.contains(&"table".to_owned())).collect();
    assert!(leads.iter().any(|it| it.attribute("href") == Some("#s2-top")));
    let main = &dom.only("main").text;
    assert!(main.contains("0.029") && main.contains("guilty: dates") && main.contains("arm fresh"), "{main}");
}

#[test]
fn of_a_fleet_what_differs_is_marked_in_its_cell() {
    let dom = Dom::of(&html(&a_fleet()));
    assert_eq!(dom.only("h1").text, "1 of 3 targets failed.");
    let heat = dom.all("table").find(|it| it.attribute("class") == Some("heat")).unwrap();
    assert!(heat.text.contains("≠ expired!"), "{}", heat.text);
    assert!(!heat.text.contains("TLS1.3"), "what is the same for all is folded away");
    let first = heat.text.find("c:3389").unwrap();
    assert!(first < heat.text.find("a:3389").unwrap(), "those that fail first");
    assert!(dom.only("main").text.contains("TLS version: TLS1.3"));
}

/// A session with a hundred thousand messages.
fn endless() -> Vec<Line> {
    let mut lines = healthy("one", "srv10.contoso.local:3389");
    let extra = |t_us: u64| {
        Line::Event(Event {
            t_us: 30_000_000 + t_us,
            leg: Leg::Server,
            from: Some(Side::Server),
            connection: None,
            phase: Phase::Active,
            inferred: true,
            detail: Detail::EncryptedMessage { name: "server_redirection".to_owned(), length: 100 },
        })
    };
    lines.extend((0..100_000).map(extra));
    lines
}

#[test]
fn a_trace_without_end_gives_a_page_that_has_one() {
    let page = page_of(endless());
    assert!(page.len() < 3 << 20, "{} bytes", page.len());
    let dom = Dom::of(&page);
    let main = &dom.only("main").text;
    assert!(main.contains("more that are in the trace alone"), "what is left out is counted");
    assert!(main.contains("events as JSON; the others are in the trace"));
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_colour_can_be_read_on_its_ground_by_light_in_the_dark_and_on_paper() {
    let page = page_of(expired("one"));
    let style = Dom::of(&page).only("style").text.clone();
    let schemes: Vec<BTreeMap<&str, &str>> = style
        .match_indices(":root {")
        .map(|(at, _)| {
            let block = &style[at + 7..at + style[at..].find('}').unwrap()];
            let pairs = block.split(';').filter_map(|it| it.trim().split_once(':'));
            pairs
                .map(|(name, value)| (name.trim(), value.trim()))
                .filter(|(_, value)| value.starts_with('#'))
                .collect()
        })
        // Who asks for more contrast gets it from the colours of the scheme.
        .filter(|scheme: &BTreeMap<&str, &str>| !scheme.is_empty())
        .collect();
    assert_eq!(schemes.len(), 3, "light, dark, print");
    for scheme in &schemes {
        for ground in ["--ground", "--raised", "--good-tint", "--bad-tint", "--doubt-tint"] {
            for ink in ["--ink", "--soft"] {
                let ratio = contrast(scheme[ink], scheme[ground]);
                assert!(ratio >= 4.5, "{ink} on {ground}: {ratio:.2}");
            }
        }
        let on_own = [
            ("--good", "--good-tint"),
            ("--bad", "--bad-tint"),
            ("--doubt", "--doubt-tint"),
            ("--accent", "--bad-tint"),
            ("--accent", "--good-tint"),
        ];
        let on_ground =
            ["--accent", "--good", "--bad", "--doubt", "--client", "--server"].map(|ink| (ink, "--ground"));
        for (ink, ground) in on_own.into_iter().chain(on_ground) {
            let ratio = contrast(scheme[ink], scheme[ground]);
            assert!(ratio >= 4.5, "{ink} on {ground}: {ratio:.2}");
        }
    }
}
