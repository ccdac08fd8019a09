//! Many sessions at once, and browsers that do not keep up.

use super::*;

const SESSIONS: usize = 200;
/// How long 200 sessions may take on a loaded machine.
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn two_hundred_sessions_at_once_are_on_the_page() {
    let watched = Watched::start(&[]);
    let mut changes = watched.site.follow();
    let request = Conversation::new().client(connection_request("alice", SSL));
    let open: Vec<Ends> = (0..SESSIONS).map(|_| request.play_open(watched.session())).collect();
    let mut running = BTreeMap::new();
    let began = Instant::now();
    while running.len() < SESSIONS {
        assert!(began.elapsed() < WITHIN, "{} of {SESSIONS} are shown", running.len());
        for session in changes.next().1["sessions"].as_array().expect("sessions") {
            if session["current"] == "x224" {
                running.insert(session["number"].as_u64(), session.clone());
            }
        }
    }
    let page = watched.site.get("/").body;
    assert_eq!(page.matches("<li class=\"session running\"").count(), SESSIONS);
    assert!(page.contains(&format!("<strong>{SESSIONS}</strong> running")));
    let answer = Conversation::new().server(negotiation_failure(5)).finish(Server);
    open.into_iter().for_each(|ends| answer.play(ends));
    let mut over = BTreeMap::new();
    while over.len() < SESSIONS {
        assert!(began.elapsed() < 2 * WITHIN, "{} of {SESSIONS} are over", over.len());
        for session in changes.next().1["sessions"].as_array().expect("sessions") {
            if is_over(session) {
                assert_eq!(session["verdict"]["id"], "nla-required");
                over.insert(session["number"].as_u64(), ());
            }
        }
    }
    let finished = watched.finish();
    assert_eq!(finished.sessions.len(), SESSIONS);
}

#[test]
fn the_oldest_leave_the_page_and_are_counted() {
    // What the page has room for, and some more.
    const ALL: usize = 530;
    let watched = Watched::start(&[]);
    (0..ALL).for_each(|_| watched.refused("alice"));
    let began = Instant::now();
    loop {
        let metrics = watched.site.get("/metrics").body;
        if metrics.contains(&format!("verdict=\"nla-required\",confidence=\"confirmed\"}} {ALL}\n")) {
            break;
        }
        assert!(began.elapsed() < WITHIN, "{metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let page = watched.site.get("/").body;
    assert_eq!(page.matches("<li class=\"session bad\"").count(), 500);
    assert!(page.contains("30 older sessions have left this page; their traces are kept."));
    assert_eq!(watched.finish().sessions.len(), ALL, "every trace is there");
}

#[test]
fn a_browser_that_stops_reading_holds_nothing_up_and_is_shown_everything_anew() {
    let watched = Watched::start(&[]);
    let mut slow = watched.site.follow();
    assert_eq!(slow.next().0, "everything");
    let mut awake = watched.site.follow();
    // A request whose rest never comes, and connections that say nothing.
    let mut half = TcpStream::connect(watched.site.address).expect("it listens");
    half.write_all(b"GET / HTTP/1.1\r\nhost: ").expect("it listens");
    let idle: Vec<_> =
        (0..20).map(|_| TcpStream::connect(watched.site.address).expect("it listens")).collect();
    let request = Conversation::new().client(connection_request("alice", SSL));
    let open: Vec<Ends> = (0..SESSIONS).map(|_| request.play_open(watched.session())).collect();
    let answer = Conversation::new().server(negotiation_failure(5)).finish(Server);
    for (place, ends) in open.into_iter().enumerate() {
        let began = Instant::now();
        answer.play(ends);
        assert!(began.elapsed() < WITHIN, "session {place} waits");
    }
    awake.wait_for(|session| is_over(session) && session["number"] == SESSIONS);
    // Whatever it missed, what it reads in the end is right.
    let last = slow.wait_for(|session| is_over(session) && session["number"] == SESSIONS);
    assert_eq!(last["verdict"]["id"], "nla-required");
    drop((half, idle));
    assert_eq!(watched.finish().sessions.len(), SESSIONS);
}

#[test]
fn more_pages_than_there_is_room_for_are_told_so() {
    let watched = Watched::start(&[]);
    let followers: Vec<_> = (0..32).map(|_| watched.site.follow()).collect();
    let answer = watched.site.get("/events");
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(watched.site.get("/").status, 200);
    drop(followers);
}
