//! Each test is a promise; the list of names is the specification.

mod holding;
mod presence;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::waiting::OVERHEAD;
use super::*;
use crate::identity::SigningKey;
use crate::identity::registration::prove;
use crate::wire::statement::Time;

const WALL: Time = Time(1_800_000_000_000);
const HOSTS: [&str; 2] = ["devices.example", "localhost"];
const HELLO: Hello<'_> = Hello {
    key: "peerjs",
    id: "alice",
    token: "token",
    proof: "",
    hold: Duration::ZERO,
    visible: false,
    hosts: &HOSTS,
    at: WALL,
};

/// A router, a clock, and what was said.
struct Table {
    router: Router,
    totals: Arc<Totals>,
    now: Instant,
    sockets: u64,
    done: Vec<Output>,
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
        let totals = Arc::<Totals>::default();
        Self {
            router: Router::new(config, totals.clone()),
            totals,
            now: Instant::now(),
            sockets: 0,
            done: Vec::new(),
        }
    }

    fn hello(&mut self, hello: Hello<'_>) -> ConnId {
        self.sockets += 1;
        let conn = ConnId(self.sockets);
        self.input(Input::Opened(conn, hello));
        conn
    }

    fn open_with(&mut self, id: &str, token: &str) -> ConnId {
        self.hello(Hello { id, token, ..HELLO })
    }

    fn open_held(&mut self, id: &str, token: &str, hold: Duration) -> ConnId {
        self.hello(Hello {
            id,
            token,
            hold,
            ..HELLO
        })
    }

    fn open_visible(&mut self, id: &str) -> ConnId {
        let conn = self.hello(Hello {
            id,
            visible: true,
            ..HELLO
        });
        self.expect(&[send(conn, signal::OPEN)]);
        conn
    }

    /// Opens a socket and takes its `OPEN` for granted.
    fn open(&mut self, id: &str) -> ConnId {
        let conn = self.open_with(id, "token");
        self.expect(&[send(conn, signal::OPEN)]);
        conn
    }

    fn prove(&mut self, key: &SigningKey, token: &str) -> ConnId {
        let proof = prove(key, "localhost", &Token::parse(token).unwrap(), WALL);
        let id = key.device_id();
        self.hello(Hello {
            id: id.as_str(),
            token,
            proof: &proof,
            ..HELLO
        })
    }

    /// As the shell does.
    fn receive(&mut self, conn: ConnId, text: &str) {
        let input = match FrameRef::parse(text.as_bytes()) {
            Ok(frame) => Input::Received(conn, frame),
            Err(_) => Input::Beat(conn),
        };
        self.input(input);
    }

    /// What an input sends to another shard, which is still on its way.
    fn routed(&mut self, input: Input<'_>) -> Routed {
        self.router.handle_input(input, self.now);
        let outputs = std::iter::from_fn(|| self.router.poll_output());
        let mut routed = outputs.filter_map(|output| match output {
            Output::Route(routed) => Some(routed),
            _ => None,
        });
        let only = routed.next().expect("something is routed");
        assert_eq!(routed.next(), None);
        only
    }

    fn close(&mut self, conn: ConnId) {
        self.input(Input::Closed(conn, Departure::Clean));
    }

    fn lose(&mut self, conn: ConnId) {
        self.input(Input::Closed(conn, Departure::Lost));
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.router.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.router.handle_timeout(due);
            self.drain();
        }
        self.now = end;
    }

    fn input(&mut self, input: Input<'_>) {
        self.router.handle_input(input, self.now);
        self.drain();
    }

    /// What is for another shard goes to this one, which is the only one.
    fn drain(&mut self) {
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Route(routed) => self.router.handle_input(Input::Routed(routed), self.now),
                output => self.done.push(output),
            }
        }
    }

    fn all_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.done)
    }

    /// What the sockets see.
    fn outputs(&mut self) -> Vec<Output> {
        let mut outputs = self.all_outputs();
        outputs.retain(|output| !matches!(output, Output::Came(_) | Output::Went(_)));
        outputs
    }

    fn held(&self) -> Vec<String> {
        let mut held: Vec<_> = self.router.peers().collect();
        held.sort_unstable();
        held.into_iter().map(|(_, id)| id.to_string()).collect()
    }

    fn is_idle(&self) -> bool {
        self.router.waiting.is_empty()
            && self.router.watchers.is_empty()
            && self.totals.waiting.load(Ordering::Relaxed) == 0
            && self.totals.watches.load(Ordering::Relaxed) == 0
    }

    #[track_caller]
    fn expect(&mut self, expected: &[Output]) {
        let outputs = self.outputs();
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
        Output::Close(ConnId(conn), reason) => format!("\n  {conn} closed: {reason:?}"),
        other => format!("\n  {other:?}"),
    };
    outputs.iter().map(line).collect()
}

fn send(conn: ConnId, text: &str) -> Output {
    Output::Send(conn, text.to_owned().into())
}

fn refused(conn: ConnId, refused: Refused) -> [Output; 2] {
    [
        send(conn, refused.as_str()),
        Output::Close(conn, CloseReason::Refused(refused)),
    ]
}

fn offer(dst: &str, payload: &str) -> String {
    format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{payload}}}"#)
}

fn relayed(kind: &str, src: &str, dst: &str, payload: &str) -> String {
    format!(r#"{{"type":"{kind}","src":"{src}","dst":"{dst}","payload":{payload}}}"#)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn an_offer_reaches_its_peer_with_the_true_sender_whatever_the_sender_claims() {
    let mut t = Table::new();
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    t.receive(
        alice,
        r#"{"type":"OFFER","src":"carol","dst":"bob","payload":{"sdp":{ "b":1,"a":2}},"extra":1}"#,
    );
    t.expect(&[send(
        bob,
        &relayed("OFFER", "alice", "bob", r#"{"sdp":{ "b":1,"a":2}}"#),
    )]);
}

#[test]
fn an_offer_to_an_absent_peer_expires_back_to_its_sender() {
    let mut t = Table::new();
    let alice = t.open("alice");
    t.receive(alice, &offer("bob", "1"));
    t.advance(secs(5) - Duration::from_nanos(1));
    t.expect(&[]);
    t.advance(Duration::from_nanos(1));
    t.expect(&[send(
        alice,
        r#"{"type":"EXPIRE","src":"bob","dst":"alice"}"#,
    )]);
    assert!(t.is_idle());
}

#[test]
fn each_sender_hears_once_and_in_its_own_time_that_a_peer_did_not_come() {
    let mut t = Table::new();
    let (alice, carol) = (t.open("alice"), t.open("carol"));
    t.receive(alice, &offer("bob", "1"));
    t.receive(alice, r#"{"type":"CANDIDATE","dst":"bob","payload":2}"#);
    t.advance(secs(3));
    t.receive(carol, &offer("bob", "3"));
    t.advance(secs(2));
    t.expect(&[send(
        alice,
        r#"{"type":"EXPIRE","src":"bob","dst":"alice"}"#,
    )]);
    t.advance(secs(2));
    t.expect(&[]);
    let bob = t.open_with("bob", "token");
    t.expect(&[
        send(bob, signal::OPEN),
        send(bob, &relayed("OFFER", "carol", "bob", "3")),
    ]);
    t.advance(secs(5));
    t.expect(&[]);
}

#[test]
fn a_late_peer_gets_open_first_and_then_what_waited_in_order() {
    let mut t = Table::new();
    let alice = t.open("alice");
    t.receive(alice, &offer("bob", "1"));
    t.receive(alice, r#"{"type":"LEAVE","dst":"bob"}"#);
    t.receive(alice, r#"{"type":"CANDIDATE","dst":"bob","payload":2}"#);
    let bob = t.open_with("bob", "token");
    t.expect(&[
        send(bob, signal::OPEN),
        send(bob, &relayed("OFFER", "alice", "bob", "1")),
        send(bob, &relayed("CANDIDATE", "alice", "bob", "2")),
    ]);
    t.advance(secs(10));
    t.expect(&[]);
    assert!(t.is_idle());
}

#[test]
fn an_expiry_is_not_sent_to_a_socket_that_has_gone() {
    let mut t = Table::new();
    let alice = t.open("alice");
    t.receive(alice, &offer("bob", "1"));
    t.close(alice);
    t.advance(secs(5));
    t.expect(&[]);
    assert_eq!(t.router.poll_timeout(), None);
}

#[test]
fn a_second_socket_with_the_same_token_gets_open_and_the_first_is_closed_and_unheard() {
    let mut t = Table::new();
    let (first, bob) = (t.open("alice"), t.open("bob"));
    let second = t.open_with("alice", "token");
    t.expect(&[
        Output::Close(first, CloseReason::Replaced),
        send(second, signal::OPEN),
    ]);
    t.receive(first, &offer("bob", "1"));
    t.close(first);
    t.expect(&[]);
    t.receive(bob, &offer("alice", "2"));
    t.expect(&[send(second, &relayed("OFFER", "bob", "alice", "2"))]);
}

#[test]
fn another_token_does_not_get_a_held_id() {
    let mut t = Table::new();
    t.open("alice");
    let mallory = t.open_with("alice", "other");
    t.expect(&refused(mallory, Refused::IdTaken));
    assert_eq!(t.held(), ["alice"]);
}

#[test]
fn a_closed_socket_frees_its_id_at_once_for_any_token() {
    let mut t = Table::new();
    let alice = t.open("alice");
    t.close(alice);
    let other = t.open_with("alice", "other");
    t.expect(&[send(other, signal::OPEN)]);
}

#[test]
fn a_missing_or_wrong_parameter_is_answered_in_the_stock_servers_words() {
    let mut t = Table::new();
    let base = HELLO;
    let long = "x".repeat(513);
    for (hello, reason) in [
        (Hello { id: "", ..base }, Refused::MissingParameter),
        (Hello { token: "", ..base }, Refused::MissingParameter),
        (Hello { key: "", ..base }, Refused::MissingParameter),
        (Hello { id: &long, ..base }, Refused::MissingParameter),
        (
            Hello {
                token: &long,
                ..base
            },
            Refused::MissingParameter,
        ),
        (
            Hello {
                key: "other",
                ..base
            },
            Refused::WrongKey,
        ),
        (
            Hello {
                key: "other",
                id: "",
                ..base
            },
            Refused::MissingParameter,
        ),
    ] {
        let conn = t.hello(hello);
        t.expect(&refused(conn, reason));
    }
    assert!(t.held().is_empty());
}

#[test]
fn an_id_may_be_any_text_of_up_to_512_octets() {
    let mut t = Table::new();
    for id in [" space ", "a/b", "😀", "__proto__", &"x".repeat(512)] {
        t.open(id);
    }
    assert_eq!(t.held().len(), 5);
}

#[test]
fn a_key_shaped_id_without_its_keys_proof_is_refused_even_while_nobody_holds_it() {
    let mut t = Table::new();
    let (owner, thief) = (
        SigningKey::from_bytes(&[1; 32]).unwrap(),
        SigningKey::from_bytes(&[2; 32]).unwrap(),
    );
    let id = owner.device_id();
    let bare = t.open_with(id.as_str(), "token");
    t.expect(&refused(bare, Refused::ProofRequired));
    let proof = prove(&thief, "localhost", &Token::parse("token").unwrap(), WALL);
    let forged = t.hello(Hello {
        id: id.as_str(),
        proof: &proof,
        ..HELLO
    });
    t.expect(&refused(forged, Refused::ProofRequired));
}

#[test]
fn the_token_alone_does_not_take_a_key_shaped_id_over() {
    let mut t = Table::new();
    let owner = SigningKey::from_bytes(&[1; 32]).unwrap();
    let held = t.prove(&owner, "token");
    t.expect(&[send(held, signal::OPEN)]);
    let thief = t.open_with(owner.device_id().as_str(), "token");
    t.expect(&refused(thief, Refused::ProofRequired));
}

#[test]
fn a_proof_evicts_whoever_holds_the_id_under_another_token() {
    let mut t = Table::new();
    let owner = SigningKey::from_bytes(&[1; 32]).unwrap();
    let stale = t.prove(&owner, "before the restart");
    t.outputs();
    let fresh = t.prove(&owner, "after the restart");
    t.expect(&[
        Output::Close(stale, CloseReason::Replaced),
        send(fresh, signal::OPEN),
    ]);
    t.close(stale);
    let alice = t.open("alice");
    t.receive(alice, &offer(owner.device_id().as_str(), "1"));
    t.expect(&[send(
        fresh,
        &relayed("OFFER", "alice", owner.device_id().as_str(), "1"),
    )]);
}

#[test]
fn a_proof_for_another_server_is_none() {
    let mut t = Table::new();
    let owner = SigningKey::from_bytes(&[1; 32]).unwrap();
    let proof = prove(
        &owner,
        "elsewhere.example",
        &Token::parse("token").unwrap(),
        WALL,
    );
    let id = owner.device_id();
    let conn = t.hello(Hello {
        id: id.as_str(),
        proof: &proof,
        ..HELLO
    });
    t.expect(&refused(conn, Refused::ProofRequired));
}

#[test]
fn a_leave_without_receiver_frees_the_id_and_silences_the_socket() {
    let mut t = Table::new();
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    t.receive(alice, r#"{"type":"LEAVE"}"#);
    let successor = t.open_with("alice", "other");
    t.expect(&[send(successor, signal::OPEN)]);
    t.receive(alice, &offer("bob", "1"));
    t.receive(alice, r#"{"type":"LEAVE"}"#);
    t.close(alice);
    t.receive(bob, &offer("alice", "2"));
    t.expect(&[send(successor, &relayed("OFFER", "bob", "alice", "2"))]);
}

#[test]
fn leave_and_expire_are_relayed_but_never_wait() {
    let mut t = Table::new();
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    for kind in ["LEAVE", "EXPIRE"] {
        t.receive(alice, &format!(r#"{{"type":"{kind}","dst":"bob"}}"#));
        t.expect(&[send(
            bob,
            &format!(r#"{{"type":"{kind}","src":"alice","dst":"bob"}}"#),
        )]);
        t.receive(alice, &format!(r#"{{"type":"{kind}","dst":"nobody"}}"#));
    }
    assert!(t.is_idle());
}

#[test]
fn garbage_is_ignored_and_its_sender_goes_on() {
    let mut t = Table::new();
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    for text in [
        "{not json",
        "5",
        "null",
        "[]",
        "",
        r#"{"type":"CHAT","dst":"bob"}"#,
        r#"{"dst":"bob"}"#,
    ] {
        t.receive(alice, text);
    }
    for kind in ["OPEN", "ID-TAKEN", "ERROR", "INVALID-KEY", "HEARTBEAT"] {
        t.receive(
            alice,
            &format!(r#"{{"type":"{kind}","dst":"bob","payload":{{"msg":"x"}}}}"#),
        );
    }
    t.receive(alice, r#"{"type":"OFFER"}"#);
    t.expect(&[]);
    t.receive(alice, &offer("bob", "1"));
    t.expect(&[send(bob, &relayed("OFFER", "alice", "bob", "1"))]);
}

#[test]
fn a_silent_socket_is_closed_after_90_seconds_and_its_id_is_free() {
    let mut t = Table::new();
    let alice = t.open("alice");
    t.advance(secs(90) - Duration::from_nanos(1));
    t.expect(&[]);
    t.advance(Duration::from_nanos(1));
    t.expect(&[Output::Close(alice, CloseReason::Silent)]);
    t.open("alice");
}

#[test]
fn any_sign_of_life_counts_a_heartbeat_a_message_a_ping_and_even_garbage() {
    let mut t = Table::new();
    let alice = t.open("alice");
    for text in [
        r#"{"type":"HEARTBEAT"}"#,
        r#"{"type":"LEAVE","dst":"nobody"}"#,
        "garbage",
    ] {
        t.advance(secs(80));
        t.receive(alice, text);
    }
    t.advance(secs(80));
    t.input(Input::Beat(alice));
    t.advance(secs(89));
    t.expect(&[]);
    t.advance(secs(1));
    t.expect(&[Output::Close(alice, CloseReason::Silent)]);
}

#[test]
fn the_limit_counts_ids_and_a_takeover_is_not_limited() {
    let mut t = Table::with(Config {
        peers: 2,
        ..Config::default()
    });
    t.open("one");
    let two = t.open("two");
    let three = t.open_with("three", "token");
    t.expect(&refused(three, Refused::Full));
    let again = t.open_with("two", "token");
    t.expect(&[
        Output::Close(two, CloseReason::Replaced),
        send(again, signal::OPEN),
    ]);
    t.close(again);
    t.open("three");
}

#[test]
fn a_message_too_many_for_an_absent_peer_comes_back_at_once_but_a_candidate_is_only_dropped() {
    let mut t = Table::with(Config {
        waiting_messages: 2,
        ..Config::default()
    });
    let (alice, carol) = (t.open("alice"), t.open("carol"));
    t.receive(alice, &offer("bob", "1"));
    t.receive(alice, &offer("bob", "2"));
    t.receive(carol, r#"{"type":"CANDIDATE","dst":"bob"}"#);
    t.expect(&[]);
    t.receive(carol, &offer("bob", "3"));
    t.expect(&[send(
        carol,
        r#"{"type":"EXPIRE","src":"bob","dst":"carol"}"#,
    )]);
    let bob = t.open_with("bob", "token");
    t.expect(&[
        send(bob, signal::OPEN),
        send(bob, &relayed("OFFER", "alice", "bob", "1")),
        send(bob, &relayed("OFFER", "alice", "bob", "2")),
    ]);
    t.advance(secs(10));
    t.expect(&[]);
}

#[test]
fn octets_that_wait_are_bounded_for_one_id_and_for_all() {
    let filler = format!("\"{}\"", "x".repeat(1000));
    let mut t = Table::with(Config {
        waiting_octets: 3000,
        all_waiting_octets: 6000,
        ..Config::default()
    });
    let alice = t.open("alice");
    let taken = |t: &mut Table, dst: &str| {
        t.receive(alice, &offer(dst, &filler));
        t.outputs().is_empty()
    };
    assert_eq!([0; 3].map(|_| taken(&mut t, "one")), [true, true, false]);
    assert_eq!([0; 3].map(|_| taken(&mut t, "two")), [true, true, false]);
    assert_eq!(
        ["three", "four"].map(|dst| taken(&mut t, dst)),
        [false, false]
    );
    t.advance(secs(5));
    t.outputs();
    assert!(t.is_idle());
}

#[test]
fn one_sender_cannot_fill_a_shard_with_messages_for_the_absent() {
    let filler = format!("\"{}\"", "x".repeat(1000));
    let text = relayed("OFFER", "alice", "d0", &filler);
    let mut t = Table::with(Config {
        sender_waiting_octets: 3 * (text.len() + OVERHEAD),
        ..Config::default()
    });
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    for n in 0..3 {
        t.receive(alice, &offer(&format!("d{n}"), &filler));
    }
    t.expect(&[]);
    t.receive(alice, &offer("d3", "1"));
    t.expect(&[send(alice, r#"{"type":"EXPIRE","src":"d3","dst":"alice"}"#)]);
    t.receive(bob, &offer("d3", &filler));
    t.expect(&[]);
    let d0 = t.open_with("d0", "token");
    t.expect(&[send(d0, signal::OPEN), send(d0, &text)]);
    t.receive(alice, &offer("d4", "1"));
    t.expect(&[]);
}

#[test]
fn a_frame_for_which_its_reader_has_no_room_comes_back_as_if_nobody_were_there() {
    let mut t = Table::new();
    let (alice, bob) = (t.open("alice"), t.open("bob"));
    for (kind, is_told) in [
        ("OFFER", true),
        ("ANSWER", true),
        ("CANDIDATE", false),
        ("LEAVE", false),
        ("EXPIRE", false),
    ] {
        let text = relayed(kind, "alice", "bob", "1");
        t.input(Input::Undelivered(FrameRef::from_text(&text).unwrap()));
        let expired = send(alice, r#"{"type":"EXPIRE","src":"bob","dst":"alice"}"#);
        t.expect(if is_told {
            std::slice::from_ref(&expired)
        } else {
            &[]
        });
    }
    t.receive(alice, &offer("bob", "2"));
    t.expect(&[send(bob, &relayed("OFFER", "alice", "bob", "2"))]);
}

#[test]
fn the_shell_hears_when_an_id_comes_and_when_it_goes_but_of_no_takeover() {
    let mut t = Table::new();
    let id = PeerId::parse("alice").unwrap();
    let first = t.open_with("alice", "token");
    assert_eq!(
        t.all_outputs(),
        [Output::Came(id.clone()), send(first, signal::OPEN)]
    );
    let second = t.open_with("alice", "token");
    assert_eq!(
        t.all_outputs(),
        [
            Output::Close(first, CloseReason::Replaced),
            send(second, signal::OPEN)
        ]
    );
    t.receive(second, r#"{"type":"LEAVE"}"#);
    assert_eq!(t.all_outputs(), [Output::Went(id)]);
    t.close(second);
    assert_eq!(t.all_outputs(), []);
}

#[test]
fn who_names_an_ids_token_may_act_for_it_without_its_socket() {
    let mut t = Table::new();
    let alice = t.open("alice");
    assert_eq!(t.router.authorize("alice", "token"), Ok(alice));
    assert_eq!(
        t.router.authorize("alice", "other"),
        Err(Unauthorized::WrongToken)
    );
    assert_eq!(
        t.router.authorize("alice", ""),
        Err(Unauthorized::WrongToken)
    );
    assert_eq!(
        t.router.authorize("bob", "token"),
        Err(Unauthorized::UnknownId)
    );
}

#[test]
fn a_fresh_id_is_a_random_uuid() {
    let mut rng = StdRng::seed_from_u64(7);
    let (one, two) = (fresh_id(&mut rng), fresh_id(&mut rng));
    assert_ne!(one, two);
    for id in [one, two] {
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert!(
            id.bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        );
    }
}

#[test]
fn peers_are_listed_in_the_order_of_their_registration() {
    let mut t = Table::new();
    let zoe = t.open("zoe");
    t.open("bob");
    t.open("amy");
    t.close(zoe);
    t.open("zoe");
    assert_eq!(t.held(), ["bob", "amy", "zoe"]);
}

#[test]
fn debug_output_shows_no_token_proof_or_payload() {
    let hello = Hello {
        token: "hidden",
        proof: "hidden",
        ..HELLO
    };
    assert!(!format!("{hello:?}").contains("hidden"));
    assert!(!format!("{:?}", send(ConnId(1), "hidden")).contains("hidden"));
    let mut t = Table::new();
    let alice = t.open_with("alice", "hidden");
    t.receive(alice, &offer("bob", "\"hidden\""));
    assert!(!format!("{:?}", t.router).contains("hidden"));
}
