//! Two sessions side by side as text.

use super::{Contrast, Difference, Weight};
use crate::report::Style;
use crate::report::layout::Look;
use crate::report::verdict::Block;

/// What a comparison is, said wherever one is shown.
pub(in crate::report) const CAUTION: &str = "Two sessions were looked at, and this is what differs between them; that it is the reason is not proved by it.";

/// The comparison as text, without a line end at the end.
pub fn contrast_text(contrast: &Contrast, style: &Style) -> String {
    let mut block = Block::new(style);
    block.item("FIRST", Look::Heading, &first_words(contrast));
    if let Some(Difference { phase, working, failing, .. }) = &contrast.parted {
        let words = format!("The two part in {phase}: {}.", sides_words(contrast, working, failing));
        block.item("parting", Look::Heading, &words);
    }
    let [(first, good), (second, bad)] = match contrast.is_as_named {
        true => [("works", Look::Good), ("fails", Look::Bad)],
        false => [("one", Look::Heading), ("other", Look::Heading)],
    };
    block.item(first, good, &format!("{}: {}", contrast.working, contrast.answers[0]));
    block.item(second, bad, &format!("{}: {}", contrast.failing, contrast.answers[1]));
    for note in &contrast.notes {
        block.item("note", Look::Doubtful, note);
    }
    let others = contrast.others.iter().map(|it| {
        format!("{}, {}{}: {}", it.phase, it.what, aside(it), sides_words(contrast, &it.working, &it.failing))
    });
    block.list("others", others);
    block.item("same", Look::Heading, &same_words(contrast));
    block.item("", Look::Heading, CAUTION);
    block.page.finish().unwrap_or_default()
}

/// Where each of the two is.
pub(in crate::report) fn sides(contrast: &Contrast) -> [&'static str; 2] {
    match contrast.is_as_named {
        true => ["where it works", "where it fails"],
        false => ["in the one", "in the other"],
    }
}

/// The same fact of both, in words.
pub(in crate::report) fn sides_words(contrast: &Contrast, working: &str, failing: &str) -> String {
    let [works, fails] = sides(contrast);
    format!("{working} {works}, {failing} {fails}")
}

/// The first difference in a sentence.
pub(in crate::report) fn first_words(contrast: &Contrast) -> String {
    match &contrast.first {
        Some(it) => {
            let [works, fails] = sides(contrast);
            format!(
                "The first difference that can explain it is in {}: {} is “{}” {works} and “{}” {fails}.",
                it.phase, it.what, it.working, it.failing
            )
        }
        None if !contrast.is_as_named => {
            "Nothing that was recorded differs in a way that matters.".to_owned()
        }
        None if contrast.parted.is_some() => {
            "Up to the place where they part, nothing that was recorded differs.".to_owned()
        }
        None => "Nothing that was recorded differs in a way that can explain it.".to_owned(),
    }
}

/// How many facts are the same.
pub(in crate::report) fn same_words(contrast: &Contrast) -> String {
    format!(
        "{} facts that both have are the same; ports, times of day, random values and ids were not compared.",
        contrast.same
    )
}

/// What is to be thought of a difference that is no likely cause.
pub(in crate::report) fn aside(difference: &Difference) -> &'static str {
    match difference.weight {
        Weight::Cause => "",
        Weight::Setting => " (seldom a reason)",
        Weight::Identity => " (who or where)",
        Weight::Timing => " (time)",
        Weight::Consequence => " (follows from the failure)",
    }
}
