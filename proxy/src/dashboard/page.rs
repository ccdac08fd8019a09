//! The page as it is loaded: whole without a script, which then keeps it up to date. Every text passes [`escaped`].

use super::server::html_response;
use super::view::{AttemptView, Change, ExperimentView, PhaseView, SessionView, VerdictView};
use crate::trace::{ClosedBy, ExperimentRun, How, Leg, Outcome, VerdictId};
use axum::response::Response;
use std::fmt::Write as _;

/// Everything on the page.
pub(super) fn html(everything: &Change) -> Response {
    html_response(document(everything), None)
}

fn document(everything: &Change) -> String {
    let totals = &everything.totals;
    let mut page = String::with_capacity(16 * 1024);
    page.push_str(HEAD);
    let shown = everything.experiment.as_ref();
    let hidden = if shown.is_some() { "" } else { " hidden" };
    // Writing to a string cannot fail.
    let _ = write!(page, "<section id=\"experiment\" aria-labelledby=\"experiment-title\"{hidden}>");
    page.push_str(&attempt_html(shown.and_then(|experiment| experiment.attempt.as_ref())));
    let matrix = shown.map(matrix_html).unwrap_or_default();
    let _ = write!(page, "<div id=\"matrix\">{matrix}</div></section>");
    let _ = write!(
        page,
        "<section aria-labelledby=\"sessions-title\"><h2 id=\"sessions-title\">Sessions</h2><ul id=\"totals\">"
    );
    let _ = write!(page, "<li><strong>{}</strong> running</li>", totals.active);
    for (verdict, count) in &totals.verdicts {
        let _ = write!(page, "<li><strong>{count}</strong> {verdict}</li>");
    }
    page.push_str("</ul>");
    page.push_str(FILTER);
    let empty = everything.sessions.is_empty();
    let _ = write!(
        page,
        "<p id=\"nothing\"{}>No session yet: point the client at the address that rdpscope listens on.</p>",
        if empty { "" } else { " hidden" }
    );
    page.push_str("<ol id=\"sessions\">");
    everything.sessions.iter().for_each(|session| page.push_str(&session_html(session)));
    let _ = write!(page, "</ol><p id=\"elsewhere\">{}</p></section>", elsewhere(totals.left, totals.unseen));
    page.push_str(FOOT);
    page
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
    <meta name=\"color-scheme\" content=\"light dark\"><title>rdpscope dashboard</title>\
    <link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/dashboard.css\">\
    <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\
    <script src=\"/dashboard.js\" defer></script></head><body>\
    <a class=\"skip\" href=\"#sessions\">To the sessions</a>\
    <header><h1>rdpscope</h1><p id=\"state\" role=\"status\">as of now; without a script this page loads anew every \
    5 seconds</p></header><main>";

const FILTER: &str = "<form id=\"filter\" hidden><fieldset><legend class=\"unseen\">Show</legend>\
    <label><input type=\"radio\" name=\"show\" value=\"all\" checked> all</label>\
    <label><input type=\"radio\" name=\"show\" value=\"running\"> running</label>\
    <label><input type=\"radio\" name=\"show\" value=\"faults\"> faults</label></fieldset>\
    <label>Find <input type=\"search\" id=\"find\" autocomplete=\"off\" placeholder=\"client, verdict, arm\"></label>\
    <p id=\"matches\" role=\"status\"></p></form>";

const FOOT: &str = "<p class=\"hint\">~ encrypted: judged by sizes and timing alone</p></main><p id=\"said\" class=\"unseen\" aria-live=\"polite\"></p></body></html>\n";

fn elsewhere(left: u64, unseen: u64) -> String {
    let left =
        (left > 0).then(|| format!("{left} older sessions have left this page; their traces are kept."));
    let unseen = (unseen > 0).then(|| format!("{unseen} more sessions run than there is room for here."));
    [left, unseen].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn session_html(session: &SessionView) -> String {
    let mut html = String::new();
    let class = match &session.verdict {
        _ if !session.is_over => "running",
        Some(verdict) if verdict.is_fault => "bad",
        Some(verdict) if verdict.is_good => "good",
        _ => "plain",
    };
    let id = escaped(&session.id);
    let _ = write!(
        html,
        "<li class=\"session {class}\" data-id=\"{id}\"><p class=\"who\"><strong>#{}</strong> {} <span \
         class=\"client\">{}</span>{}</p><ol class=\"phases\" aria-label=\"Phases\">",
        session.number,
        time_html(session.started_ms),
        escaped(session.client.as_deref().unwrap_or_default()),
        session
            .arm
            .as_ref()
            .map_or_else(String::new, |arm| format!(" <span class=\"arm\">arm {}</span>", escaped(arm))),
    );
    session.phases.iter().for_each(|phase| html.push_str(&phase_html(phase)));
    if let Some(current) = session.current {
        let _ = write!(
            html,
            "<li class=\"now\"><span class=\"sign\" aria-hidden=\"true\">…</span>{current}</li>"
        );
    }
    html.push_str("</ol><p class=\"verdict\">");
    html.push_str(&session.verdict.as_ref().map_or_else(|| "running".to_owned(), verdict_html));
    let _ = write!(
        html,
        "</p><p class=\"facts\">{} <a href=\"/report/{id}\">report<span class=\"unseen\"> of session {}</span></a></p></li>",
        facts(session),
        session.number
    );
    html
}

fn verdict_html(verdict: &VerdictView) -> String {
    format!("<strong>{}</strong> {}: {}", verdict.id, escaped(&verdict.confidence), escaped(&verdict.summary))
}

fn phase_html(phase: &PhaseView) -> String {
    let (class, sign, word) = match phase.outcome {
        Outcome::Ok => ("ok", "✓", "ok"),
        Outcome::Failed => ("failed", "✗", "failed"),
        Outcome::Unfinished => ("cut", "✂", "cut"),
        Outcome::Skipped => ("skipped", "–", "skipped"),
    };
    let leg = match phase.leg {
        Some(Leg::Client) => " client",
        Some(Leg::Server) => " server",
        _ => "",
    };
    let time = if phase.us == 0 { String::new() } else { duration(phase.us) };
    let inferred = if phase.inferred { "~" } else { "" };
    format!(
        "<li class=\"{class}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span><span class=\"unseen\">{word} \
         </span>{inferred}{}{leg} <span class=\"time\">{time}</span></li>",
        phase.phase
    )
}

fn facts(session: &SessionView) -> String {
    let mut facts = vec![escaped(&session.target)];
    if let Some(end) = &session.end {
        let who = match end.closed_by {
            ClosedBy::Client => "client",
            ClosedBy::Server => "server",
            ClosedBy::Proxy => "rdpscope",
        };
        let how = match end.how {
            How::Fin => "FIN",
            How::Reset => "RST",
            How::Timeout => "timeout",
            How::Alert => "TLS alert",
            How::McsUltimatum => "MCS ultimatum",
        };
        facts.push(format!("after {}", duration(end.us)));
        facts.push(format!("ended by the {who} ({how})").replace("the rdpscope", "rdpscope"));
        facts.push(format!("{} up, {} down", size(end.bytes_up), size(end.bytes_down)));
    }
    if session.altered > 0 {
        facts.push(format!("{} altered", session.altered));
    }
    facts.join(" · ")
}

/// The attempt that is due, with its button. It stays in the page, so that a script can fill it in.
fn attempt_html(attempt: Option<&AttemptView>) -> String {
    let hidden = if attempt.is_some() { "" } else { " hidden" };
    let (words, turn) =
        attempt.map_or_else(Default::default, |attempt| (attempt_words(attempt), attempt.turn));
    format!(
        "<h2 id=\"experiment-title\">Experiment</h2><form id=\"attempt\" method=\"post\" action=\"/next\"{hidden}>\
         <p id=\"attempt-words\" aria-live=\"polite\">{}</p><input type=\"hidden\" name=\"turn\" value=\"{turn}\">\
         <button>Go on to the next attempt</button><p class=\"hint\">An attempt with a session counts as far as it \
         got; one without is left out.</p></form>",
        escaped(&words)
    )
}

fn attempt_words(attempt: &AttemptView) -> String {
    let ask = match &attempt.connect_to {
        Some(address) if attempt.turn == 1 => format!(" Connect to {address}."),
        Some(address) => format!(" Connect again to {address}."),
        None => String::new(),
    };
    format!(
        "Attempt {} of {}, arm {}: {}.{ask}",
        attempt.number, attempt.total, attempt.letter, attempt.description
    )
}

/// Arms in rows, their attempts in columns, and what follows so far.
fn matrix_html(shown: &ExperimentView) -> String {
    let experiment = &shown.experiment;
    let columns = experiment.arms.iter().map(|arm| arm.runs.len()).max().unwrap_or_default();
    let mut html = format!(
        "<table><caption>What was varied: {}</caption><thead><tr><th scope=\"col\">arm</th>",
        escaped(&experiment.factor)
    );
    (1..=columns).for_each(|number| {
        let _ = write!(html, "<th scope=\"col\">{number}</th>");
    });
    html.push_str("</tr></thead><tbody>");
    for arm in &experiment.arms {
        let _ = write!(
            html,
            "<tr><th scope=\"row\">{} <span class=\"hint\">{}</span></th>",
            escaped(&arm.name),
            escaped(&arm.description)
        );
        arm.runs.iter().for_each(|run| html.push_str(&run_html(run)));
        html.push_str("</tr>");
    }
    let conclusion = &experiment.conclusion;
    let guilty =
        conclusion.guilty.as_ref().map_or_else(String::new, |guilty| format!(": {}", escaped(guilty)));
    let _ = write!(
        html,
        "</tbody></table><p class=\"conclusion\"><strong>{}{guilty}</strong>{}. {}</p>",
        conclusion.effect.id(),
        if shown.attempt.is_some() { " so far" } else { "" },
        escaped(&conclusion.because)
    );
    for confounder in &experiment.confounders {
        let _ =
            write!(html, "<p class=\"hint\">{}: {}</p>", escaped(&confounder.id), escaped(&confounder.text));
    }
    html
}

fn run_html(run: &ExperimentRun) -> String {
    let (class, sign) = match run.verdict {
        VerdictId::Healthy => ("good", "✓"),
        verdict if verdict.is_fault() => ("bad", "✗"),
        _ => ("plain", "–"),
    };
    let began = run.began.map_or("nothing", |phase| phase.id());
    format!(
        "<td class=\"{class}\"><a href=\"/report/{}\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span>{began} \
         {}</a></td>",
        escaped(&run.session),
        run.verdict
    )
}

fn time_html(started_ms: i64) -> String {
    let Ok(started) = jiff::Timestamp::from_millisecond(started_ms) else { return String::new() };
    format!("<time datetime=\"{started}\">{} UTC</time>", started.strftime("%H:%M:%S"))
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// `text` as HTML shows it, in an element or in an attribute between quotation marks.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(character),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_stays_text_wherever_it_stands() {
        let evil = "</p><script>alert(1)</script>\"'&";
        let session = SessionView {
            id: evil.to_owned(),
            target: evil.to_owned(),
            client: Some(evil.to_owned()),
            arm: Some(evil.to_owned()),
            verdict: Some(VerdictView {
                id: "healthy",
                confidence: evil.to_owned(),
                phase: "tls",
                summary: evil.to_owned(),
                is_fault: false,
                is_good: true,
            }),
            ..SessionView::default()
        };
        let page = document(&Change { sessions: vec![session], ..Change::default() });
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 7, "{page}");
        assert!(!page.contains("style=") && !page.contains("onclick"), "{page}");
    }
}
