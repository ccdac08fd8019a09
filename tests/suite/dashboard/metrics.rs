//! `/metrics`, read back by the rules of the text format.

use super::*;
use crate::support::scripted::bytes::HYBRID;

/// A line of the text format.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Families in the order of the text: their kind, and their samples.
type Families = BTreeMap<String, (String, Vec<Sample>)>;

/// Reads the format as strictly as its description allows, and keeps to the rules for names.
fn parse(text: &str) -> Families {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families = Families::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a name and its help");
            assert!(help.ends_with('.'), "{line}");
            assert!(!families.contains_key(name), "{name} stands twice");
            current = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a name and its type");
            assert_eq!(name, current, "the type follows its help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            families.insert(name.to_owned(), (kind.to_owned(), Vec::new()));
        } else {
            let sample = sample(line);
            let (kind, samples) = families.get_mut(&current).expect("a sample follows its type");
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let of_family = suffixes.iter().any(|suffix| sample.name == format!("{current}{suffix}"));
            assert!(of_family, "{line} is not of {current}");
            let same = |other: &Sample| other.name == sample.name && other.labels == sample.labels;
            assert!(!samples.iter().any(same), "{line} stands twice");
            samples.push(sample);
        }
    }
    for (name, (kind, samples)) in &families {
        assert!(name.starts_with("rdpscope_"), "{name}");
        if kind == "histogram" {
            histograms(name, samples);
        }
    }
    families
}

fn sample(line: &str) -> Sample {
    let (named, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = match named.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
        None => (named, ""),
    };
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(is_name(name), "{line}");
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once('=').expect("a label has a value");
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("in quotation marks");
        assert!(is_name(name) && !value.contains(['"', '\\']), "{line}");
        (name.to_owned(), value.to_owned())
    });
    let value = if value == "+Inf" { f64::INFINITY } else { value.parse().expect("a number") };
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}

/// Buckets grow, the last is without bound, and it is the count.
fn histograms(name: &str, samples: &[Sample]) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|sample| sample.name == format!("{name}_bucket"))
            .map(|sample| {
                let bound = &sample.labels["le"];
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().expect("a bound") };
                (bound, sample.value)
            })
            .collect();
        assert!(buckets.is_sorted(), "{labels:?}: {buckets:?}");
        let count = samples.iter().find(|it| it.name == format!("{name}_count")).expect("a count").value;
        assert!(samples.iter().any(|it| it.name == format!("{name}_sum")), "a sum");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count)), "{labels:?}");
    }
}

fn value(families: &Families, name: &str, labels: &[(&str, &str)]) -> f64 {
    let all = families.values().flat_map(|(_, samples)| samples);
    let mut found = all.filter(|sample| {
        sample.name == name
            && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|it| it == value))
    });
    found.next().unwrap_or_else(|| panic!("no {name} {labels:?}")).value
}

#[test]
fn sessions_are_counted_by_verdict_and_phases_by_duration() {
    let watched = Watched::start(&[]);
    let site = &watched.site;
    assert_eq!(value(&parse(&site.get("/metrics").body), "rdpscope_sessions_started_total", &[]), 0.0);
    let mut changes = site.follow();
    let runs = Conversation::new().client(connection_request("alice", SSL)).play_open(watched.session());
    changes.wait_for(|session| session["current"] == "x224");
    for number in 2..=3 {
        watched.refused("bob");
        changes.wait_for(|session| is_over(session) && session["number"] == number);
    }
    let answer = site.get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let families = parse(&answer.body);
    assert_eq!(value(&families, "rdpscope_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(value(&families, "rdpscope_sessions_started_total", &[]), 3.0);
    assert_eq!(value(&families, "rdpscope_sessions_active", &[]), 1.0);
    let verdict = [("verdict", "nla-required"), ("confidence", "confirmed")];
    assert_eq!(value(&families, "rdpscope_sessions_total", &verdict), 2.0);
    let failed = [("phase", "x224"), ("outcome", "failed")];
    assert_eq!(value(&families, "rdpscope_phase_duration_seconds_count", &failed), 2.0);
    let sum = value(&families, "rdpscope_phase_duration_seconds_sum", &failed);
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    let request = connection_request("bob", SSL).len() as f64;
    assert_eq!(value(&families, "rdpscope_relayed_bytes_total", &[("direction", "up")]), 2.0 * request);
    let answer = negotiation_failure(5).len() as f64;
    assert_eq!(value(&families, "rdpscope_relayed_bytes_total", &[("direction", "down")]), 2.0 * answer);
    for name in ["rdpscope_recorder_dropped_lines_total", "rdpscope_dashboard_dropped_updates_total"] {
        assert_eq!(value(&families, name, &[]), 0.0);
    }
    drop(runs);
}

#[test]
fn what_rdpscope_changed_is_counted() {
    let watched = Watched::start(&["--nla", "strip", "--cert", "fresh"]);
    let mut changes = watched.site.follow();
    let mut client = TcpStream::connect(watched.rdpscope.address).expect("the relay accepts");
    client.write_all(&connection_request("alice", SSL | HYBRID)).expect("it takes a request");
    let (mut server, _) = watched.server.accept().expect("the relay connects");
    let mut request = vec![0; connection_request("alice", SSL).len()];
    server.read_exact(&mut request).expect("a request");
    assert_eq!(request, connection_request("alice", SSL), "NLA is not in it");
    server.write_all(&negotiation_failure(5)).expect("it takes an answer");
    drop((server, client));
    let over = changes.wait_for(is_over);
    assert!(over["altered"].as_u64() > Some(0), "{over}");
    let families = parse(&watched.site.get("/metrics").body);
    let altered = value(&families, "rdpscope_alterations_total", &[]);
    assert_eq!(Some(altered), over["altered"].as_f64());
}

/// Names in a query: what begins with `rdpscope_`, and the labels that it filters or groups by.
fn asked_for(query: &str) -> (Vec<&str>, Vec<&str>) {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = query.split(|letter: char| !is_name(letter));
    let metrics = words.filter(|word| word.starts_with("rdpscope_")).collect();
    let mut labels: Vec<&str> = query
        .match_indices(['=', '!'])
        .filter_map(|(at, _)| query[..at].rsplit(|letter: char| !is_name(letter)).next())
        .filter(|label| !label.is_empty())
        .collect();
    for groups in query.split(" by (").skip(1) {
        labels.extend(groups.split(')').next().unwrap_or_default().split(',').map(str::trim));
    }
    (metrics, labels)
}

#[test]
fn the_board_for_grafana_asks_for_what_there_is() {
    let watched = Watched::start(&[]);
    let mut changes = watched.site.follow();
    watched.refused("bob");
    changes.wait_for(is_over);
    let families = parse(&watched.site.get("/metrics").body);
    let mut names: Vec<&str> = families.keys().map(String::as_str).collect();
    let samples = || families.values().flat_map(|(_, samples)| samples);
    names.extend(samples().map(|sample| sample.name.as_str()));
    // Prometheus adds where it has them from.
    let mut labels: Vec<&str> = vec!["instance"];
    labels.extend(samples().flat_map(|sample| sample.labels.keys()).map(String::as_str));
    let board = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/grafana/rdpscope.json");
    let board: Value =
        serde_json::from_str(&std::fs::read_to_string(board).expect("the board is there")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(queries.len() >= panels.len() && panels.len() > 5, "{queries:?}");
    for query in &queries {
        let (metrics, filtered) = asked_for(query);
        assert!(!metrics.is_empty(), "{query}");
        assert!(metrics.iter().all(|metric| names.contains(metric)), "{query}: {names:?}");
        assert!(filtered.iter().all(|label| labels.contains(label)), "{query}: {filtered:?} of {labels:?}");
    }
    for name in families.keys().filter(|name| *name != "rdpscope_sessions_started_total") {
        assert!(queries.iter().any(|query| query.contains(name.as_str())), "no panel shows {name}");
    }
    watched.finish();
}
