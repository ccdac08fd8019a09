//! The page's style and script: small files that are part of the program.

use axum::http::header::{self, HeaderName};
use axum::response::IntoResponse;

/// What it shares with the report comes first.
const STYLE: &str = concat!(include_str!("../report/html/common.css"), include_str!("assets/dashboard.css"));
const SCRIPT: &str = include_str!("assets/dashboard.js");

/// Its style sheet.
pub(super) fn style() -> impl IntoResponse {
    (content_type("text/css; charset=utf-8"), STYLE)
}

/// Its script.
pub(super) fn script() -> impl IntoResponse {
    (content_type("text/javascript; charset=utf-8"), SCRIPT)
}

fn content_type(kind: &'static str) -> [(HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, kind)]
}
