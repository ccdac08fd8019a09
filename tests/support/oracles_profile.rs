//! What must hold for any profile.

use rdpscope::rdpfile::lint::lint;
use rdpscope::rdpfile::retarget::{Through, retarget};
use rdpscope::rdpfile::{Line, Profile};

/// Findings that a line may make: one for each rule that looks at it.
const MOST_FINDINGS_PER_LINE: usize = 8;
/// Findings about the whole file.
const MOST_FINDINGS_OF_FILE: usize = 8;

/// A profile is given back byte by byte, is judged, and keeps every line that leading it through the proxy does not name.
pub(super) fn rdp_file(bytes: &[u8]) {
    let profile = Profile::read(bytes);
    assert_eq!(profile.bytes(), bytes, "what is read is written");
    let findings = lint(&profile);
    let most = profile.lines().len() * MOST_FINDINGS_PER_LINE + MOST_FINDINGS_OF_FILE;
    assert!(findings.len() <= most, "{} findings", findings.len());
    for finding in &findings {
        assert!(finding.line.is_none_or(|line| (1..=profile.lines().len()).contains(&line)), "{finding:?}");
        assert!(!finding.text.chars().any(char::is_control), "{finding:?}");
    }
    let Ok(done) = retarget(&profile, &Through::default()) else { return };
    let changed =
        |line: usize| done.changes.iter().any(|change| change.line == line && change.before.is_some());
    let kept = profile.lines().iter().enumerate().filter(|(index, _)| !changed(index + 1));
    let mut now = done.profile.lines().iter();
    for (_, line) in kept {
        assert!(now.any(|other| is_same(line, other)), "{line:?} is lost");
    }
    assert_eq!(Profile::read(&done.profile.bytes()).bytes(), done.profile.bytes());
}

/// A last line gets an end where another is added below it.
fn is_same(line: &Line, other: &Line) -> bool {
    line == other || line.text == other.text && line.ending == rdpscope::rdpfile::Ending::None
}
