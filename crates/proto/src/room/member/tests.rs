use std::time::Duration;

use crate::room::{Config as RoomConfig, ConnKey, Kind, Output as RoomOutput, Payload, Room};

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
