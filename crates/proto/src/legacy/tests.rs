//! What an old client can rely on.

use super::*;
use crate::wire::legacy::Method;

const SECOND: Duration = Duration::from_secs(1);
const WORKING: &str = KEEP_ALIVE;

/// A session, and its time.
struct Client {
    session: Session,
    now: Instant,
}

impl Client {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary beginning")]
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(usize::MAX, now),
            now,
        }
    }

    fn send(&mut self, text: &str) -> Vec<String> {
        self.session.handle_message(Received::Text(text), self.now);
        self.outputs()
    }

    fn get(&mut self, path: &str) -> Vec<String> {
        self.send(&format!(
            r#"{{"url":"http://localhost:8778{path}?","method":"GET"}}"#
        ))
    }

    fn answered(&mut self, status: u16, body: &'static str) -> Vec<String> {
        self.answered_with(status, Body::Whole(body.into()))
    }

    fn answered_with(&mut self, status: u16, body: Body) -> Vec<String> {
        let answer = Answer {
            status,
            content_type: None,
            body,
        };
        self.session.handle_answer(answer, self.now);
        self.outputs()
    }

    /// Goes on to the next thing that is due.
    fn wait(&mut self) -> Vec<String> {
        self.now = self.session.poll_timeout().expect("something is due");
        self.session.handle_timeout(self.now);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_output())
            .map(|output| match output {
                Output::Text(text) => text,
                Output::Binary(octets) => format!("[{}]", String::from_utf8_lossy(&octets)),
                Output::Ask(request) => format!("{} {}", request.method.name(), request.path),
                Output::Cancel => "cancel".into(),
                Output::Close => "close".into(),
            })
            .collect()
    }
}

fn header(status: u16, length: usize) -> String {
    format!(r#"{{"status": {status}, "content-type": "None", "content-length": {length}}}"#)
}

fn status(text: &str) -> u64 {
    let header: serde_json::Value = serde_json::from_str(text).expect("a header");
    header["status"].as_u64().expect("a status")
}

#[test]
fn a_request_is_confirmed_at_once_and_every_second_until_it_is_answered() {
    let mut client = Client::new();
    assert_eq!(client.get("/a"), [WORKING, "GET /a"]);
    let begun = client.now;
    assert_eq!(client.wait(), [WORKING]);
    assert_eq!(client.wait(), [WORKING]);
    assert_eq!(client.now, begun + 2 * SECOND);
    assert_eq!(
        client.answered(200, "fine"),
        [header(200, 4), "[fine]".into()]
    );
}

#[test]
fn requests_are_asked_one_at_a_time_in_their_order() {
    let mut client = Client::new();
    client.get("/a");
    assert!(client.get("/b").is_empty());
    assert!(client.send(r#"{"url":"ping?"}"#).is_empty());
    assert_eq!(
        client.answered(200, "a"),
        [&header(200, 1), "[a]", WORKING, "GET /b"]
    );
    assert_eq!(
        client.answered(200, "b"),
        [&header(200, 1), "[b]", PONG[0], PONG[1]]
    );
}

#[test]
fn what_is_no_request_is_answered_and_not_passed_over_in_silence() {
    let mut client = Client::new();
    for (text, wanted) in [
        ("this is not json", 400),
        (r#"{"url":"/x","method":"DELETE"}"#, 405),
        (r#"{"url":"ftp://h/x"}"#, 400),
    ] {
        let outputs = client.send(text);
        assert_eq!(
            (outputs.len(), status(&outputs[0])),
            (2, wanted),
            "{outputs:?}"
        );
    }
    client.session.handle_message(Received::Binary, client.now);
    assert_eq!(status(&client.outputs()[0]), 400);
    assert!(!client.session.is_busy());
}

#[test]
fn a_request_that_takes_too_long_is_given_up_before_the_client_is_lost() {
    let mut client = Client::new();
    client.get("/slow");
    client.get("/behind");
    let begun = client.now;
    let outputs = loop {
        let outputs = client.wait();
        if outputs != [WORKING] {
            break outputs;
        }
    };
    assert_eq!(client.now, begun + ANSWER_WITHIN);
    assert_eq!(outputs[0], "cancel");
    assert_eq!(status(&outputs[1]), 504);
    // The one behind has waited as long: its client gives up at the same time.
    assert_eq!(status(&outputs[3]), 504);
    assert_eq!(outputs.len(), 5);
    assert!(client.answered(200, "too late").is_empty());
    assert_eq!(client.get("/next"), [WORKING, "GET /next"]);
}

#[test]
fn the_time_of_a_request_runs_from_its_arrival() {
    let mut client = Client::new();
    let begun = client.now;
    client.get("/before");
    client.get("/behind");
    client.now += SECOND / 2;
    client.answered(200, "x");
    while client.wait() == [WORKING] {}
    assert_eq!(client.now, begun + ANSWER_WITHIN);
}

#[test]
fn a_body_above_what_a_client_takes_becomes_an_error_that_names_both_sizes() {
    let mut client = Client::new();
    client.get("/fits");
    let outputs = client.answered_with(200, Body::Whole(vec![b'x'; MAX_BODY].into()));
    assert_eq!(outputs[0], header(200, MAX_BODY));
    for (body, says) in [
        (Body::Whole(vec![0; MAX_BODY + 1].into()), "262145"),
        (Body::TooLarge(Some(1 << 40)), "1099511627776"),
        (Body::TooLarge(None), "more"),
    ] {
        client.get("/large");
        let outputs = client.answered_with(200, body);
        assert_eq!(status(&outputs[0]), 502);
        assert!(
            outputs[1].contains(says) && outputs[1].contains("262144"),
            "{outputs:?}"
        );
    }
    assert_eq!(client.get("/next"), [WORKING, "GET /next"]);
}

#[test]
fn no_empty_message_is_sent_and_no_body_after_204() {
    let mut client = Client::new();
    for (from_app, to_client) in [(204, 204), (200, 204), (201, 204)] {
        client.get("/");
        assert_eq!(client.answered(from_app, ""), [header(to_client, 0)]);
    }
    client.get("/");
    assert_eq!(
        client.answered(204, "a body that must not be"),
        [header(204, 0)]
    );
    for from_app in [304, 404, 500] {
        client.get("/");
        let outputs = client.answered(from_app, "");
        assert_eq!((outputs.len(), status(&outputs[0])), (2, from_app.into()));
    }
}

#[test]
fn an_answer_is_never_taken_for_a_keep_alive() {
    let mut client = Client::new();
    client.get("/");
    assert_eq!(
        client.answered(202, "taken"),
        [header(200, 5), "[taken]".into()]
    );
}

#[test]
fn requests_beyond_the_queue_are_refused_in_their_turn_and_a_flood_ends_the_connection() {
    let mut client = Client::new();
    client.get("/running");
    for _ in 0..MAX_WAITING {
        assert!(client.get("/waiting").is_empty());
    }
    assert!(client.get("/beyond").is_empty());
    for _ in 0..MAX_WAITING {
        let outputs = client.answered(200, "x");
        assert_eq!(outputs[2..], [WORKING, "GET /waiting"]);
    }
    let outputs = client.answered(200, "x");
    assert_eq!(status(&outputs[2]), 503);
    assert_eq!(client.get("/again"), [WORKING, "GET /again"]);

    for _ in 0..MAX_WAITING {
        client.get("/waiting");
    }
    for _ in 0..MAX_REFUSED {
        assert!(client.get("/beyond").is_empty());
    }
    assert_eq!(client.get("/flood"), ["close"]);
    assert!(client.get("/after").is_empty());
    assert_eq!(client.session.poll_timeout(), None);
}

#[test]
fn a_request_does_not_overtake_one_that_was_refused_before_it() {
    let mut client = Client::new();
    for _ in 0..MAX_WAITING + 1 {
        client.get("/");
    }
    assert!(client.get("/beyond").is_empty());
    client.answered(200, "makes room");
    assert!(client.send(r#"{"url":"ping?"}"#).is_empty());
    for _ in 0..MAX_WAITING - 1 {
        client.answered(200, "x");
    }
    let outputs = client.answered(200, "the last");
    assert_eq!(outputs.len(), 6, "its own answer, and two refusals");
    assert_eq!((status(&outputs[2]), status(&outputs[4])), (503, 503));
}

#[test]
fn waiting_requests_are_bounded_in_octets_too() {
    let mut client = Client::new();
    client.get("/running");
    let large = format!(
        r#"{{"url":"/large","method":"POST","data":"{}"}}"#,
        "x".repeat(200_000)
    );
    for _ in 0..3 {
        client.send(&large);
    }
    assert_eq!(client.session.waiting.len(), 2);
    assert_eq!(client.session.refused, 1);
    for _ in 0..2 {
        client.answered(200, "x");
    }
    assert_eq!(status(&client.answered(200, "x")[2]), 503);
    assert_eq!(client.session.waiting_octets, 0);
}

#[test]
fn a_client_that_asks_for_nothing_is_let_go() {
    let mut client = Client::new();
    client.now += IDLE - SECOND;
    client.send(r#"{"url":"ping?"}"#);
    let begun = client.now;
    assert_eq!(client.wait(), ["close"]);
    assert_eq!(client.now, begun + IDLE);
}

#[test]
fn bodies_reach_the_target_as_the_client_wrote_them() {
    let mut client = Client::new();
    client.session.handle_message(
        Received::Text(r#"{"url":"/x","method":"POST","json":{"b": 1.0,"a":[]}}"#),
        client.now,
    );
    let asked =
        std::iter::from_fn(|| client.session.poll_output()).find_map(|output| match output {
            Output::Ask(request) => Some(request),
            _ => None,
        });
    let Request { method, path, body } = asked.expect("asked");
    assert_eq!((method, path.as_str()), (Method::Post, "/x"));
    assert_eq!(body.expect("a body").into_text(), r#"{"b": 1.0,"a":[]}"#);
}
