//! The JSON Schema of a trace's lines, and holding a line against it.

use jsonschema::Validator;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::LazyLock;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let text = std::fs::read_to_string(file()).expect("the schema of the trace is there");
    let schema: Value = serde_json::from_str(&text).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is a schema")
});

/// Where the repository keeps it.
pub(crate) fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/trace.schema.json"))
}

/// Fails unless `line` is one that a trace may have.
pub(crate) fn assert_valid(line: &Value) {
    if let Err(error) = VALIDATOR.validate(line) {
        panic!("a trace line breaks the schema at {:?}, {error}:\n{line}", error.instance_path.to_string());
    }
}

/// Whether the schema has room for `line`.
pub(crate) fn is_valid(line: &Value) -> bool {
    VALIDATOR.is_valid(line)
}
