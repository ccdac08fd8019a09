//! The page in a real browser.

use super::*;
use crate::support::browser::{Browser, CHROMIUM};

#[test]
fn a_browser_follows_sessions_and_may_do_what_it_has_to() {
    const EVIL: &str = "<img src=x onerror=alert(1)>";
    if left_out_without(&[CHROMIUM]) {
        return;
    }
    let watched = Watched::start(&[]);
    let mut browser = Browser::open(&watched.url);
    browser.wait_until("document.getElementById('state').innerText === 'live'");
    assert_eq!(browser.evaluate("location.search"), "", "the token is not in the address any more");
    assert_eq!(browser.evaluate("document.cookie"), "", "no script can read the cookie");
    browser.wait_until("!document.getElementById('nothing').hidden");

    let under_way = Conversation::new().client(connection_request(EVIL, SSL));
    let ends = under_way.play_open(watched.session());
    browser.wait_until("document.querySelector('.session.running .phases .now')?.innerText.includes('x224')");
    Conversation::new().server(negotiation_failure(5)).finish(Server).play(ends);
    browser.wait_until("document.querySelector('.session.bad .verdict')?.innerText.includes('nla-required')");
    browser.wait_until("document.getElementById('said').innerText === 'Session 1: nla-required.'");
    assert!(
        browser.evaluate("document.querySelector('.phases .failed').innerText").to_string().contains("x224")
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('#sessions img').length"), 0);

    // By keyboard to the report and back.
    browser.evaluate("document.querySelector('.session a').focus()");
    browser.press("Enter", 13);
    browser.wait_until(
        "location.pathname.startsWith('/report/') && document.body.innerText.includes('nla-required')",
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), 0);
    browser.go_to(&format!("http://{}/", watched.site.address));
    browser.wait_until("document.querySelectorAll('.session').length === 1");

    watched.refused("bob");
    browser.wait_until("document.querySelectorAll('.session').length === 2");
    browser.evaluate(
        "(() => { const find = document.getElementById('find'); find.value = '#2'; \
                      find.dispatchEvent(new Event('input', { bubbles: true })); })()",
    );
    browser.wait_until("document.getElementById('matches').innerText === '1 of 2 shown'");
    for (width, scheme) in [(360, "light"), (1400, "dark")] {
        browser.show(width, 900, scheme);
        browser.keep_picture(&format!("dashboard-{width}-{scheme}"));
        let is_within = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.evaluate(is_within), true, "{width} columns are enough");
    }
    watched.finish();
    browser.wait_until("document.getElementById('state').innerText.startsWith('rdpscope has ended')");
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_button_of_the_page_goes_on_to_the_next_attempt() {
    if left_out_without(&[CHROMIUM]) {
        return;
    }
    let server = listener();
    let target = server.local_addr().expect("a listener has an address");
    let arguments = ["--vary", "mss", "--runs", "1", "--dashboard", ":0"];
    let rdpscope = Rdpscope::start_experiment(target, &arguments);
    let mut browser = Browser::open(&rdpscope.dashboard());
    browser
        .wait_until("document.getElementById('attempt-words').innerText.startsWith('Attempt 1 of 2, arm A')");
    refusal("alice").play(Ends::connect(rdpscope.address, &server));
    browser
        .wait_until("document.getElementById('attempt-words').innerText.startsWith('Attempt 2 of 2, arm B')");
    browser.wait_until("document.querySelector('#matrix td.bad')?.innerText.includes('nla-required')");
    browser.wait_until("document.getElementById('state').innerText === 'live'");
    browser.evaluate("document.querySelector('#attempt button').click()");
    let finished = rdpscope.finish();
    assert!(finished.stderr.contains("left out, as the dashboard was asked to"), "{}", finished.stderr);
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn a_screen_reader_and_a_keyboard_are_enough() {
    if left_out_without(&[CHROMIUM]) {
        return;
    }
    let watched = Watched::start(&[]);
    let mut browser = Browser::open(&watched.url);
    watched.refused("alice");
    watched.refused("bob");
    browser.wait_until("document.querySelectorAll('.session.bad').length === 2");
    let tree = browser.read_aloud();
    let has = |role: &str, name: &str| tree.iter().any(|node| node.0 == role && node.1.contains(name));
    for (role, name) in [
        ("main", ""),
        ("heading", "rdpscope"),
        ("link", "report of session 1"),
        ("link", "report of session 2"),
        ("list", "Phases"),
        ("searchbox", ""),
        ("radio", ""),
    ] {
        assert!(has(role, name), "no {role} {name:?} in {tree:#?}");
    }
    let nameless = |node: &&(String, String)| {
        ["link", "button", "searchbox", "radio"].contains(&node.0.as_str()) && node.1.trim().is_empty()
    };
    assert_eq!(tree.iter().find(nameless), None, "everything that can be used has a name");
    let signs = tree.iter().filter(|node| node.0 == "StaticText" && ["✓", "✗", "–"].contains(&node.1.trim()));
    assert_eq!(signs.count(), 0, "signs are said as words");
    assert!(tree.iter().any(|node| node.0 == "StaticText" && node.1.trim() == "failed"), "{tree:#?}");

    // From the top of the page with the Tab key alone: first to what skips the rest, then to everything that can be used.
    browser.evaluate("document.activeElement?.blur()");
    for wanted in ["To the sessions", "radio", "search", "report of session 2", "report of session 1"] {
        browser.press("Tab", 9);
        let text = "document.activeElement.innerText.replace(/\\s+/g, ' ') || document.activeElement.type";
        let at = browser.evaluate(text);
        assert_eq!(at, wanted, "the Tab key leads to everything in its order");
        let outline = "parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2";
        assert_eq!(browser.evaluate(outline), true, "where the keyboard is can be seen: {wanted}");
    }
    watched.finish();
}
