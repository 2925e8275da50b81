use std::time::Duration;

use crate::room::{Config as RoomConfig, ConnKey, Kind, Output as RoomOutput, Payload, Room};
use crate::wire::room::Message;

use super::*;

const START: Duration = Duration::from_secs(1_795_204_884);

fn member(token: u8) -> Member {
    Member::new(Config::new(Token::new([token; 16]), Json::NULL))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn chat(text: &str) -> Said {
    Said::Chat(Body::Json(Json::string(text)))
}

/// A room and its members; a member's connection has its place in the list as its key.
struct Stage {
    room: Room,
    members: Vec<Member>,
    told: Vec<Vec<Told>>,
    now: Duration,
}

impl Stage {
    fn new() -> Self {
        Self {
            room: Room::new(RoomConfig::default(), Epoch([7; 8])),
            members: Vec::new(),
            told: Vec::new(),
            now: START,
        }
    }

    fn enter(&mut self, called: &str) -> usize {
        let at = self.members.len();
        self.members.push(member(at as u8 + 1));
        self.told.push(Vec::new());
        self.open(at, called);
        at
    }

    fn open(&mut self, at: usize, called: &str) {
        let conn = ConnKey(at as u64);
        self.room
            .handle_opened(conn, name(called), Kind::Native, self.now);
        self.members[at].handle_opened(self.now);
        self.run();
    }

    fn run(&mut self) {
        loop {
            let mut is_quiet = true;
            for at in 0..self.members.len() {
                while let Some(output) = self.members[at].poll_output() {
                    is_quiet = false;
                    match output {
                        Output::Send { frame, way } => {
                            let payload = Payload::Bytes(frame);
                            let conn = ConnKey(at as u64);
                            self.room.handle_message(conn, payload, way, self.now);
                        }
                        Output::Told(told) => self.told[at].push(told),
                        Output::Close => {}
                    }
                }
            }
            while let Some(output) = self.room.poll_output() {
                is_quiet = false;
                if let RoomOutput::Send {
                    to,
                    payload: Payload::Bytes(frame),
                    way,
                } = output
                {
                    for conn in to.iter() {
                        let member = &mut self.members[conn.0 as usize];
                        member.handle_message(frame.clone(), way, self.now);
                    }
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn take(&mut self, at: usize) -> Vec<Told> {
        std::mem::take(&mut self.told[at])
    }
}

#[test]
fn members_see_each_other_and_hear_what_is_said() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let bob = stage.enter("bob");
    assert!(matches!(
        &stage.take(alice)[..],
        [Told::Entered(Resumed::New), Told::Joined(entry)] if entry.name == name("bob")
    ));
    stage.members[alice]
        .handle_emit(Target::Others, chat("hi"), false, stage.now)
        .unwrap();
    stage.run();
    let told = stage.take(bob);
    let [
        Told::Entered(Resumed::New),
        Told::Message { from, said, .. },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(from.as_ref(), Some(&name("alice")));
    assert_eq!(*said, chat("hi"));
    let hosts = [alice, bob].map(|at| stage.members[at].host().map(|host| host.name.clone()));
    assert_eq!(hosts, [Some(name("alice")), Some(name("alice"))]);
}

#[test]
fn a_question_to_all_has_the_answers_of_all() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let others = ["bob", "carol"].map(|name| stage.enter(name));
    let within = Duration::from_secs(5);
    let id = stage.members[alice]
        .handle_ask(Target::Others, chat("who?"), within, stage.now)
        .unwrap();
    stage.run();
    stage.take(alice);
    for at in others {
        let told = stage.take(at);
        let question = told.iter().find_map(|told| match told {
            Told::Message { question, .. } => *question,
            _ => None,
        });
        let body = Body::Json(Json::string("me"));
        stage.members[at]
            .handle_answer(question.unwrap(), body, stage.now)
            .unwrap();
        stage.run();
    }
    let told = stage.take(alice);
    let [Told::Answers(answers)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(answers.id, id);
    assert_eq!(answers.answers.len(), 2);
    assert_eq!(answers.missing, []);
}

#[test]
fn what_was_missed_and_what_was_not_heard_comes_after_a_break_once_and_in_order() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let bob = stage.enter("bob");
    let say = |stage: &mut Stage, at: usize, text: &str| {
        let member = &mut stage.members[at];
        member
            .handle_emit(Target::Others, chat(text), false, stage.now)
            .unwrap();
    };
    say(&mut stage, alice, "one");
    stage.run();
    stage.take(bob);
    // Bob's connection loses what it said last, and what is said to it.
    say(&mut stage, bob, "lost on its way");
    while stage.members[bob].poll_output().is_some() {}
    stage.members[bob].handle_closed();
    stage
        .room
        .handle_closed(ConnKey(bob as u64), crate::room::Closed::Ended, stage.now);
    say(&mut stage, alice, "two");
    say(&mut stage, bob, "said while away");
    say(&mut stage, alice, "three");
    stage.run();
    stage.take(alice);
    stage.open(bob, "bob");
    let texts = |told: Vec<Told>| -> Vec<String> {
        let said = told.into_iter().map(|told| match told {
            Told::Message { said, .. } => format!("{said:?}"),
            told => format!("{told:?}"),
        });
        said.collect()
    };
    assert_eq!(
        texts(stage.take(bob)),
        [
            "Entered(Whole)",
            "Chat(Json(\"two\"))",
            "Chat(Json(\"three\"))"
        ]
    );
    assert_eq!(
        texts(stage.take(alice)),
        [
            "Chat(Json(\"lost on its way\"))",
            "Chat(Json(\"said while away\"))"
        ]
    );
}

#[test]
fn a_receiver_that_is_named_twice_is_asked_once() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    let twice = [name("bob"), name("bob")];
    let within = Duration::from_secs(5);
    stage.members[alice]
        .handle_ask(Target::Members(&twice), chat("who?"), within, stage.now)
        .unwrap();
    stage.run();
    stage.take(alice);
    let told = stage.take(bob);
    let Some(Told::Message {
        question: Some(question),
        ..
    }) = told.last()
    else {
        panic!("{told:?}");
    };
    let body = Body::Json(Json::string("me"));
    stage.members[bob]
        .handle_answer(*question, body, stage.now)
        .unwrap();
    stage.run();
    let told = stage.take(alice);
    let [Told::Answers(answers)] = &told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((answers.answers.len(), answers.missing.len()), (1, 0));
}

/// What a member says, without a room.
fn frames(member: &mut Member) -> Vec<FromMember> {
    let outputs = std::iter::from_fn(|| member.poll_output());
    outputs
        .filter_map(|output| match output {
            Output::Send { frame, .. } => FromMember::parse(frame, FROM_MEMBER_MAX).unwrap(),
            _ => None,
        })
        .collect()
}

fn welcomed(member: &mut Member, resumed: Resumed, epoch: u8, heard: u64, now: Duration) {
    let you = MemberNumber::new(1).unwrap();
    let me = Entry {
        number: you,
        name: name("alice"),
        metadata: Json::NULL,
        joined: 0,
    };
    let welcome = FromHub::Welcome(Welcome {
        epoch: Epoch([epoch; 8]),
        you,
        seq: 1,
        resumed,
        heard,
        host: Some(you),
        total: 1,
        members: vec![me],
    });
    member.handle_message(welcome.emit(), Way::Reliable, now);
}

/// A member that is alone in a room.
fn entered() -> Member {
    let mut member = member(1);
    member.handle_opened(START);
    welcomed(&mut member, Resumed::New, 7, 0, START);
    assert!(member.is_in());
    while member.poll_output().is_some() {}
    member
}

fn broken_off(member: &mut Member) {
    while member.poll_output().is_some() {}
    member.handle_closed();
}

#[test]
fn who_leaves_before_the_hub_has_answered_says_goodbye() {
    let mut fresh = member(1);
    fresh.handle_opened(START);
    fresh
        .handle_emit(Target::Others, chat("hi and bye"), false, START)
        .unwrap();
    fresh.handle_leave(START);
    let said = frames(&mut fresh);
    assert!(
        matches!(
            &said[..],
            [FromMember::Hello(_), FromMember::Emit(_), FromMember::Leave]
        ),
        "{said:?}"
    );
    // Who comes back does not know what the hub has had of that: nothing is said twice.
    let mut back = entered();
    back.handle_emit(Target::Others, chat("once"), false, START)
        .unwrap();
    broken_off(&mut back);
    back.handle_opened(START);
    back.handle_leave(START);
    let outputs: Vec<_> = std::iter::from_fn(|| back.poll_output()).collect();
    assert_eq!(outputs.last(), Some(&Output::Close));
    assert_eq!(outputs.len(), 3, "{outputs:?}");
    assert!(back.is_over());
}

#[test]
fn what_a_member_says_of_itself_last_is_what_stands() {
    let metadata = |frames: Vec<FromMember>| -> Vec<String> {
        let said = frames.into_iter().filter_map(|frame| match frame {
            FromMember::Metadata(json) => Some(json.as_str().to_owned()),
            _ => None,
        });
        said.collect()
    };
    let say = |member: &mut Member, text| {
        let said = member.handle_metadata(Json::string(text), START);
        said.unwrap();
    };
    // Once before a break, so that the hub may not have it, and once in it.
    let mut member = entered();
    say(&mut member, "old");
    broken_off(&mut member);
    say(&mut member, "new");
    member.handle_opened(START);
    welcomed(&mut member, Resumed::Missed, 7, 0, START);
    assert_eq!(metadata(frames(&mut member)), ["\"old\"", "\"new\""]);
    // While it comes to a hub that knows nothing of it, after its HELLO.
    let mut member = entered();
    broken_off(&mut member);
    member.handle_opened(START);
    say(&mut member, "late");
    welcomed(&mut member, Resumed::Missed, 8, 0, START);
    assert_eq!(metadata(frames(&mut member)), ["\"late\""]);
    // Without end it is not kept.
    let mut member = entered();
    broken_off(&mut member);
    let said = (0..2_000).map(|_| member.handle_metadata(Json::NULL, START));
    assert_eq!(said.filter(Result::is_ok).count(), 1_000);
}

#[test]
fn a_member_knows_best_what_it_says_of_itself() {
    let own = |member: &Member| member.me().unwrap().metadata.as_str().to_owned();
    // A page that is loaded anew says something else; the hub's list is of before that.
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let config = Config::new(Token::new([1; 16]), Json::string("new"));
    stage.members.push(Member::new(config));
    stage.told.push(Vec::new());
    stage.open(alice + 1, "alice");
    assert!(stage.members[alice + 1].is_in());
    assert_eq!(own(&stage.members[alice + 1]), "\"new\"");
    // And after something was missed it is no news to itself.
    let mut member = entered();
    broken_off(&mut member);
    member.handle_metadata(Json::string("away"), START).unwrap();
    member.handle_opened(START);
    welcomed(&mut member, Resumed::Missed, 7, 0, START);
    assert_eq!(own(&member), "\"away\"");
    let outputs = std::iter::from_fn(|| member.poll_output());
    let told = outputs.filter(|it| matches!(it, Output::Told(Told::Metadata(_))));
    assert_eq!(told.count(), 0);
}

#[test]
fn what_the_hub_has_heard_is_counted_from_where_it_says_so() {
    let mut member = entered();
    broken_off(&mut member);
    member.handle_opened(START);
    welcomed(&mut member, Resumed::Missed, 8, 30, START);
    for _ in 0..2 {
        let said = member.handle_emit(Target::Others, chat("x"), false, START);
        said.unwrap();
    }
    member.handle_message(FromHub::Heard(32).emit(), Way::Reliable, START);
    assert!(member.is_in());
    member.handle_message(FromHub::Heard(33).emit(), Way::Reliable, START);
    assert!(!member.is_in(), "more than was said");
}

#[test]
fn the_hub_is_told_what_the_application_has_once_and_in_time() {
    let mut member = entered();
    let word = |seq| {
        let message = FromHub::Message(Message {
            seq,
            from: None,
            ack: None,
            said: chat("x"),
        });
        message.emit()
    };
    let second = Duration::from_secs(1);
    member.handle_message(word(2), Way::Reliable, START);
    member.handle_message(word(5), Way::Reliable, START + second);
    let due = START + Duration::from_secs(5);
    assert_eq!(member.poll_timeout(), Some(due));
    member.handle_timeout(due - second);
    assert_eq!(frames(&mut member), []);
    member.handle_timeout(due);
    assert_eq!(frames(&mut member), [FromMember::Got(5)]);
    assert_eq!(member.poll_timeout(), None);
    // A repetition is no news.
    member.handle_message(word(5), Way::Reliable, due);
    member.handle_timeout(due + 60 * second);
    assert_eq!(frames(&mut member), []);
}

#[test]
fn no_more_goes_out_in_a_second_than_a_hub_takes() {
    let mut member = entered();
    for _ in 0..1_000 {
        let said = member.handle_emit(Target::Others, chat("x"), false, START);
        said.unwrap();
    }
    let full = member.handle_emit(Target::Others, chat("x"), false, START);
    assert_eq!(full, Err(Error::Full));
    assert_eq!(frames(&mut member).len(), 450);
    // What is fast waits for nothing, and is lost.
    member
        .handle_emit(Target::Others, chat("x"), true, START)
        .unwrap();
    assert_eq!(frames(&mut member), []);
    let mut sent = 450;
    for second in 1..=2 {
        let until = START + Duration::from_secs(second);
        while let Some(due) = member.poll_timeout().filter(|due| *due <= until) {
            member.handle_timeout(due);
            sent += frames(&mut member).len();
        }
        assert_eq!(sent, 450 + 190 * second as usize);
    }
    member.handle_timeout(START + Duration::from_secs(60));
    assert_eq!(sent + frames(&mut member).len(), 1_000);
    assert!(member.is_drained());
    assert_eq!(member.poll_timeout(), None);
}

#[test]
fn what_it_said_of_itself_last_stays_though_it_said_so_without_a_connection() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let bob = stage.enter("bob");
    let set = |stage: &mut Stage, text: &str| {
        stage.members[bob]
            .handle_metadata(Json::string(text), stage.now)
            .unwrap();
    };
    // The first is lost on its way, and said again after the greeting, which has the second.
    set(&mut stage, "one");
    while stage.members[bob].poll_output().is_some() {}
    stage.members[bob].handle_closed();
    stage
        .room
        .handle_closed(ConnKey(bob as u64), crate::room::Closed::Ended, stage.now);
    set(&mut stage, "two");
    stage.open(bob, "bob");
    let known = stage.members[alice]
        .members()
        .find(|entry| entry.name == name("bob"))
        .unwrap();
    assert_eq!(known.metadata, Json::string("two"));
}

#[test]
fn what_is_said_and_what_proves_a_name_is_in_no_log() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    stage.members[alice]
        .handle_emit(Target::Others, chat("hush"), false, stage.now)
        .unwrap();
    let member = format!("{:?}", stage.members[alice]);
    assert!(member.contains("is_in: true"), "{member}");
    let frame = FromMember::Leave.emit();
    let logged = [
        member,
        format!("{:?}", Token::new([7; 16])),
        format!("{:?}", Payload::Text("hush".into())),
        format!("{:?}", Payload::Bytes(frame)),
    ];
    for logged in logged {
        assert!(
            !logged.contains("hush") && !logged.contains('7'),
            "{logged}"
        );
    }
    let number = MemberNumber::new(3).unwrap();
    assert_eq!(
        (number.to_string(), format!("{number:?}")),
        ("3".into(), "#3".into())
    );
}
