//! The matrix of an experiment, and the button that goes on to the next attempt.

use super::*;

/// An experiment by hand: nothing dials but the test.
struct ByHand {
    rdpscope: Rdpscope,
    site: Site,
    server: TcpListener,
}

impl ByHand {
    fn start() -> ByHand {
        let server = listener();
        let target = server.local_addr().expect("a listener has an address");
        let arguments = ["--vary", "mss", "--runs", "2", "--dashboard", ":0"];
        let rdpscope = Rdpscope::start_experiment(target, &arguments);
        let site = Site::of(&rdpscope.dashboard());
        ByHand { rdpscope, site, server }
    }

    /// Asks for the next attempt as the page's form does.
    fn go_on(&self, turn: u64) -> u16 {
        let (host, cookie) = (self.site.host(), self.site.cookie());
        let origin = format!("http://{host}");
        let headers = [("host", &*host), ("cookie", &*cookie), ("origin", &*origin)];
        self.site.send("POST", "/next", &headers, &format!("turn={turn}")).status
    }
}

/// The experiment once it is at `turn`.
fn at_turn(changes: &mut http::Changes, turn: u64) -> Value {
    loop {
        let experiment = &changes.next().1["experiment"];
        if experiment["attempt"]["turn"] == turn {
            return experiment.clone();
        }
    }
}

#[test]
fn attempts_fill_the_matrix_and_the_button_goes_on() {
    let by_hand = ByHand::start();
    let mut changes = by_hand.site.follow();
    let first = at_turn(&mut changes, 1);
    assert_eq!((&first["factor"], &first["attempt"]["number"]), (&Value::from("mss"), &Value::from(1)));
    assert_eq!(first["attempt"]["connect_to"], by_hand.rdpscope.address.to_string());
    let names: Vec<_> =
        first["arms"].as_array().expect("arms").iter().map(|arm| arm["name"].clone()).collect();
    assert_eq!(names.len(), 2, "{first}");

    // A session that was refused counts; then nobody dials in the second.
    refusal("alice").play(Ends::connect(by_hand.rdpscope.address, &by_hand.server));
    let second = at_turn(&mut changes, 2);
    assert_eq!(second["arms"][0]["runs"][0]["verdict"], "nla-required");
    assert_eq!(by_hand.go_on(1), 409, "that one is over");
    assert_eq!(by_hand.go_on(9), 409, "that one has not come");
    assert_eq!(by_hand.go_on(2), 303);
    let third = at_turn(&mut changes, 3);
    assert_eq!(third["attempt"]["number"], 2, "it does not count: {third}");
    assert_eq!(third["attempt"]["total"], 3, "and is not made up for: {third}");
    assert!(third["arms"][1]["runs"].as_array().expect("runs").is_empty());

    // A session that hangs is ended and counts as far as it got.
    let request = Conversation::new().client(connection_request("alice", SSL));
    let ends = request.play_open(Ends::connect(by_hand.rdpscope.address, &by_hand.server));
    assert_eq!(by_hand.go_on(3), 303);
    at_turn(&mut changes, 4);
    drop(ends);
    let page = by_hand.site.get("/").body;
    assert!(page.contains("Go on to the next attempt") && page.contains("What was varied: mss"), "{page}");
    assert_eq!(by_hand.go_on(4), 303);
    let finished = by_hand.rdpscope.finish();
    let runs: Vec<_> = finished.line("experiment")["arms"]
        .as_array()
        .expect("arms")
        .iter()
        .map(|arm| arm["runs"].as_array().map(Vec::len).unwrap_or_default())
        .collect();
    assert_eq!(runs.iter().sum::<usize>(), 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("left out, as the dashboard was asked to"), "{}", finished.stderr);
    assert!(finished.stderr.contains("ended from the dashboard"), "{}", finished.stderr);
}

#[test]
fn an_experiment_of_which_every_attempt_is_left_out_says_so() {
    let by_hand = ByHand::start();
    let mut changes = by_hand.site.follow();
    for turn in 1..=4 {
        at_turn(&mut changes, turn);
        assert_eq!(by_hand.go_on(turn), 303);
    }
    let finished = by_hand.rdpscope.finish();
    assert_eq!(finished.exit_code, Some(3));
    assert!(finished.stderr.contains("every attempt was left out"), "{}", finished.stderr);
}
