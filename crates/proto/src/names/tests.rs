//! Each test is a promise; the list of names is the specification.

use super::*;

/// A realm, a clock, and what was said.
struct Table {
    names: Names,
    now: Instant,
    sockets: u64,
}

impl Table {
    fn new() -> Self {
        Self::with(Config::default())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an arbitrary beginning: nothing here asks what time it is again"
    )]
    fn with(config: Config) -> Self {
        Self {
            names: Names::new(config),
            now: Instant::now(),
            sockets: 0,
        }
    }

    fn open(&mut self) -> ConnId {
        self.sockets += 1;
        let conn = ConnId(self.sockets);
        self.names.handle_input(Input::Opened(conn), self.now);
        conn
    }

    fn receive(&mut self, conn: ConnId, text: &str) {
        self.names
            .handle_input(Input::Received(conn, Message::from_text(text)), self.now);
    }

    /// Logs in under a name given as JSON, and takes for granted that nothing is said to it.
    #[track_caller]
    fn log_in(&mut self, conn: ConnId, name: &str) {
        self.receive(conn, &login(name));
        self.expect(&[]);
    }

    /// A socket with this name.
    #[track_caller]
    fn join(&mut self, name: &str) -> ConnId {
        let conn = self.open();
        self.log_in(conn, name);
        conn
    }

    fn close(&mut self, conn: ConnId) {
        self.names.handle_input(Input::Closed(conn), self.now);
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.names.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.names.handle_timeout(due);
        }
        self.now = end;
    }

    #[track_caller]
    fn expect(&mut self, expected: &[Output]) {
        let outputs: Vec<_> = std::iter::from_fn(|| self.names.poll_output()).collect();
        assert!(
            outputs == expected,
            "{} instead of {}",
            show(&outputs),
            show(expected)
        );
    }
}

fn show(outputs: &[Output]) -> String {
    let line = |output: &Output| match output {
        Output::Send(ConnId(conn), text) => format!("\n  {conn} <- {text}"),
        Output::Ping(ConnId(conn)) => format!("\n  {conn} pinged"),
        Output::Close(ConnId(conn), reason) => format!("\n  {conn} closed: {reason:?}"),
    };
    outputs.iter().map(line).collect()
}

fn send(conn: ConnId, text: &str) -> Output {
    Output::Send(conn, text.to_owned())
}

fn error(conn: ConnId, fault: Fault<'_>) -> Output {
    Output::Send(conn, fault.to_text())
}

fn login(name: &str) -> String {
    format!(r#"{{"action":"login","data":{name}}}"#)
}

fn name(json: &str) -> Name {
    Name::parse(json).unwrap()
}

const ANNA: &str = "\"anna\"";
const BEN: &str = "\"ben\"";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn what_is_sent_to_a_name_reaches_its_holder_with_all_members_in_order() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    let offer = r#"{"from":"anna","to":"ben","action":"offer","data":{"type":"offer","sdp":"v=0\r\n"},"more":[1, 2]}"#;
    t.receive(anna, offer);
    t.expect(&[send(ben, offer)]);
    let answer = r#"{"from":"ben","to":"anna","action":"answer","data":{}}"#;
    t.receive(ben, answer);
    t.expect(&[send(anna, answer)]);
}

#[test]
fn the_sender_is_who_it_is_whatever_it_claims() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    for forged in [BEN, "\"carol\"", "7", "null", "{\"a\":1}", "[]"] {
        t.receive(
            anna,
            &format!(r#"{{"to":"ben","from":{forged},"action":"x"}}"#),
        );
        t.expect(&[send(ben, r#"{"to":"ben","from":"anna","action":"x"}"#)]);
    }
    t.receive(anna, r#"{"to":"ben","action":"x"}"#);
    t.expect(&[send(ben, r#"{"to":"ben","action":"x","from":"anna"}"#)]);
}

#[test]
fn a_socket_with_several_names_speaks_under_the_one_it_states_and_else_under_its_first() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    t.log_in(anna, "\"anna2\"");
    let first = r#"{"action":"x","to":"ben","from":"anna"}"#;
    let second = r#"{"action":"x","to":"ben","from":"anna2"}"#;
    t.receive(anna, second);
    t.receive(anna, first);
    t.receive(anna, r#"{"action":"x","to":"ben"}"#);
    t.expect(&[send(ben, second), send(ben, first), send(ben, first)]);
    for to in [ANNA, "\"anna2\""] {
        let text = format!(r#"{{"action":"x","to":{to},"from":"ben"}}"#);
        t.receive(ben, &text);
        t.expect(&[send(anna, &text)]);
    }
}

#[test]
fn one_may_send_to_oneself() {
    let mut t = Table::new();
    let anna = t.join(ANNA);
    t.receive(anna, r#"{"to":"anna","action":"x"}"#);
    t.expect(&[send(anna, r#"{"to":"anna","action":"x","from":"anna"}"#)]);
}

#[test]
fn a_taken_name_stays_with_its_holder_and_who_wants_it_is_told() {
    let mut t = Table::new();
    let (anna, ben, mallory) = (t.join(ANNA), t.join(BEN), t.open());
    t.receive(mallory, &login(r#""\u0061nna""#));
    t.expect(&[error(mallory, Fault::NameTaken(&name(ANNA)))]);
    t.receive(ben, r#"{"action":"x","to":"anna"}"#);
    t.expect(&[send(anna, r#"{"action":"x","to":"anna","from":"ben"}"#)]);
}

#[test]
fn a_login_that_is_repeated_changes_nothing() {
    let mut t = Table::with(Config {
        names_per_socket: 1,
        ..Config::default()
    });
    let anna = t.join(ANNA);
    t.log_in(anna, ANNA);
    assert_eq!(t.names.held(), 1);
}

#[test]
fn an_unknown_receiver_is_named_to_the_sender_who_stays_connected() {
    let mut t = Table::new();
    let carl = t.join("\"carl\"");
    let missing = "no\\\"body";
    t.receive(
        carl,
        &format!(r#"{{"action":"offer","to":"{missing}","from":"carl","data":{{}}}}"#),
    );
    t.expect(&[error(
        carl,
        Fault::UnknownReceiver(&name(&format!("\"{missing}\""))),
    )]);
    t.receive(carl, r#"{"action":"x","to":"carl","from":"carl"}"#);
    t.expect(&[send(carl, r#"{"action":"x","to":"carl","from":"carl"}"#)]);
}

#[test]
fn what_is_no_message_is_answered_and_disturbs_nobody_its_sender_included() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    for text in [
        "",
        "{oops",
        "5",
        "\"action\"",
        "[]",
        r#"{"to":"ben"}"#,
        r#"{"action":"offer"}"#,
        r#"{"action":"login"}"#,
        r#"{"action":"login","data":{"a":1}}"#,
    ] {
        t.receive(anna, text);
        t.expect(&[error(anna, Fault::Malformed)]);
    }
    t.names
        .handle_input(Input::Received(anna, Message::parse(b"\xff\xfe")), t.now);
    t.expect(&[error(anna, Fault::Malformed)]);
    t.receive(ben, r#"{"action":"x","to":"anna","from":"ben"}"#);
    t.expect(&[send(anna, r#"{"action":"x","to":"anna","from":"ben"}"#)]);
}

#[test]
fn who_has_no_name_cannot_send_as_nobody_could_answer() {
    let mut t = Table::new();
    let (ben, ghost) = (t.join(BEN), t.open());
    for text in [
        r#"{"action":"offer","to":"ben","data":1}"#,
        r#"{"action":"offer","to":"nobody","data":1}"#,
    ] {
        t.receive(ghost, text);
        t.expect(&[error(ghost, Fault::NotLoggedIn)]);
    }
    t.log_in(ghost, "\"ghost\"");
    t.receive(ghost, r#"{"action":"offer","to":"ben","data":1}"#);
    t.expect(&[send(
        ben,
        r#"{"action":"offer","to":"ben","data":1,"from":"ghost"}"#,
    )]);
}

#[test]
fn names_are_free_when_their_socket_is_gone() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    t.log_in(ben, "\"benny\"");
    t.close(ben);
    assert_eq!(t.names.held(), 1);
    t.receive(anna, r#"{"action":"x","to":"ben"}"#);
    t.expect(&[error(anna, Fault::UnknownReceiver(&name(BEN)))]);
    let again = t.join(BEN);
    t.receive(anna, r#"{"action":"x","to":"ben"}"#);
    t.expect(&[send(again, r#"{"action":"x","to":"ben","from":"anna"}"#)]);
    t.join("\"benny\"");
}

#[test]
fn a_number_and_its_text_are_two_names() {
    let mut t = Table::new();
    let (number, text) = (t.join("7"), t.join("\"7\""));
    t.receive(text, r#"{"action":"x","to":7}"#);
    t.expect(&[send(number, r#"{"action":"x","to":7,"from":"7"}"#)]);
    t.receive(number, r#"{"action":"x","to":"7","from":"7"}"#);
    t.expect(&[send(text, r#"{"action":"x","to":"7","from":7}"#)]);
}

#[test]
fn a_socket_holds_16_names_and_is_told_of_one_more() {
    let mut t = Table::new();
    let anna = t.open();
    for n in 0..16 {
        t.log_in(anna, &n.to_string());
    }
    t.receive(anna, &login("16"));
    t.expect(&[error(anna, Fault::TooManyNames)]);
    // It keeps those that it has, and others may have the one it did not get.
    t.log_in(anna, "15");
    t.join("16");
}

#[test]
fn all_sockets_together_hold_as_many_names_as_are_allowed() {
    let mut t = Table::with(Config {
        names: 2,
        ..Config::default()
    });
    let (anna, _ben, carl) = (t.join(ANNA), t.join(BEN), t.open());
    t.receive(carl, &login("\"carl\""));
    t.expect(&[error(carl, Fault::Full)]);
    t.close(anna);
    t.log_in(carl, "\"carl\"");
}

#[test]
fn a_silent_socket_is_pinged_every_20_s_and_closed_after_60() {
    let mut t = Table::new();
    let anna = t.join(ANNA);
    t.advance(secs(20) - Duration::from_nanos(1));
    t.expect(&[]);
    t.advance(Duration::from_nanos(1));
    t.expect(&[Output::Ping(anna)]);
    t.advance(secs(20));
    t.expect(&[Output::Ping(anna)]);
    t.advance(secs(20) - Duration::from_nanos(1));
    t.expect(&[]);
    t.advance(Duration::from_nanos(1));
    t.expect(&[Output::Close(anna, CloseReason::Silent)]);
    assert_eq!((t.names.held(), t.names.poll_timeout()), (0, None));
}

#[test]
fn whatever_a_socket_sends_is_a_sign_of_life() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    for _ in 0..10 {
        t.advance(secs(19));
        t.names.handle_input(Input::Beat(anna), t.now);
        t.receive(ben, "oops");
        t.expect(&[error(ben, Fault::Malformed)]);
    }
    t.advance(secs(59));
    t.expect(&[anna, ben, anna, ben].map(Output::Ping));
}

#[test]
fn one_who_answers_pings_stays_for_ever() {
    let mut t = Table::new();
    let anna = t.join(ANNA);
    for _ in 0..100 {
        t.advance(secs(20));
        t.expect(&[Output::Ping(anna)]);
        t.names.handle_input(Input::Beat(anna), t.now);
    }
}

#[test]
fn a_socket_that_never_logs_in_is_closed_for_silence_too() {
    let mut t = Table::new();
    let ghost = t.open();
    t.advance(secs(60));
    t.expect(&[
        Output::Ping(ghost),
        Output::Ping(ghost),
        Output::Close(ghost, CloseReason::Silent),
    ]);
}

#[test]
fn what_a_closed_socket_still_says_counts_for_nothing() {
    let mut t = Table::new();
    let (anna, ben) = (t.join(ANNA), t.join(BEN));
    t.close(ben);
    t.receive(ben, r#"{"action":"x","to":"anna"}"#);
    t.receive(ben, &login(BEN));
    t.receive(ben, "oops");
    t.names.handle_input(Input::Beat(ben), t.now);
    t.close(ben);
    t.expect(&[]);
    t.close(anna);
    assert_eq!((t.names.held(), t.names.poll_timeout()), (0, None));
}

#[test]
fn debug_output_does_not_show_what_is_said() {
    let output = send(ConnId(1), r#"{"data":"secret"}"#);
    assert!(!format!("{output:?}").contains("secret"));
}
