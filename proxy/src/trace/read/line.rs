//! Reading one line as what its type says that it is.

use super::{Tag, event};
use crate::trace::Line;
use serde::de::Error as _;
use std::str::FromStr;

/// The types of lines.
const KINDS: &[&str] = &[
    "trace",
    "event",
    "phase",
    "altered",
    "finding",
    "probe",
    "summary",
    "verdict",
    "experiment",
    "end",
    "comparison",
];

impl FromStr for Line {
    type Err = serde_json::Error;

    /// The line in the JSON `text`; a `Deserialize` would copy every line to find its type first.
    fn from_str(text: &str) -> serde_json::Result<Line> {
        let tag: Tag<'_> = serde_json::from_str(text)?;
        parse(text, &tag.kind)
    }
}

/// The line of this type in the JSON `text`.
pub(super) fn parse(text: &str, kind: &str) -> serde_json::Result<Line> {
    Ok(match kind {
        "trace" => Line::Trace(serde_json::from_str(text)?),
        "event" => Line::Event(event::read(text)?.1),
        "phase" => Line::Phase(serde_json::from_str(text)?),
        "altered" => Line::Altered(serde_json::from_str(text)?),
        "finding" => Line::Finding(serde_json::from_str(text)?),
        "probe" => Line::Probe(serde_json::from_str(text)?),
        "summary" => Line::Summary(serde_json::from_str(text)?),
        "verdict" => Line::Verdict(serde_json::from_str(text)?),
        "experiment" => Line::Experiment(serde_json::from_str(text)?),
        "end" => Line::End(serde_json::from_str(text)?),
        "comparison" => Line::Comparison(serde_json::from_str(text)?),
        unknown => return Err(serde_json::Error::unknown_variant(unknown, KINDS)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::schema_for;

    #[test]
    fn every_type_of_line_is_known() {
        let schema = schema_for!(Line).to_value();
        let alternatives = schema["oneOf"].as_array().unwrap();
        let kinds: Vec<&str> =
            alternatives.iter().filter_map(|it| it["properties"]["type"]["const"].as_str()).collect();
        assert_eq!(kinds, KINDS);
        for kind in kinds {
            let error = parse(r#"{"type":1}"#, kind).unwrap_err().to_string();
            assert!(!error.contains("unknown variant"), "{kind}: {error}");
        }
    }

    #[test]
    fn every_line_of_the_examples_is_read_and_read_again() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/traces");
        let mut read = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            for text in std::fs::read_to_string(file.unwrap().path()).unwrap().lines() {
                let line: Line = text.parse().unwrap();
                let written = serde_json::to_string(&line).unwrap();
                assert_eq!(written.parse::<Line>().unwrap(), line, "{text}");
                read += 1;
            }
        }
        assert!(read > 1500, "{read} lines");
    }
}
