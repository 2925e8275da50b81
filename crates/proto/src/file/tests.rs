//! Promises of a file's transfer, told as stories of two machines.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Beginning, Config, Decision, Offer, Receiver, Sender, Task, Wish};
use crate::value::Value;
use crate::wire::file::{Digest, FileName, Message, PIECE_MAX, Reason};

/// A sender with a file in memory, a receiver that writes into memory, and an ordered channel between them.
struct Table {
    now: Instant,
    sender: Sender,
    receiver: Receiver,
    to_receiver: VecDeque<Value>,
    to_sender: VecDeque<Value>,
    source: Vec<u8>,
    position: usize,
    /// Beginnings that the receiver finds when it is asked.
    there: Vec<Vec<u8>>,
    refuse: Option<Reason>,
    asked: Vec<Offer>,
    written: Vec<u8>,
    hashed: Vec<Vec<u64>>,
    read_from: Vec<u64>,
    kept: Vec<(Digest, Vec<u8>)>,
    delivered: Vec<(Digest, String)>,
    sender_gave_up: Vec<Reason>,
    receiver_gave_up: Vec<Reason>,
    closed: (bool, bool),
}

/// Instants have no fixed origin; any one will do, for nothing here waits.
#[allow(clippy::disallowed_methods)]
fn any_instant() -> Instant {
    Instant::now()
}

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

fn digest(octets: &[u8]) -> Digest {
    beginning(octets).digest()
}

fn beginning(octets: &[u8]) -> Beginning {
    let mut beginning = Beginning::default();
    beginning.push(octets);
    beginning
}

fn name(text: &str) -> FileName {
    FileName::parse(text).expect("a name")
}

impl Table {
    fn new(source: Vec<u8>) -> Self {
        let now = any_instant();
        Self {
            now,
            sender: Sender::new(Config::default()),
            receiver: Receiver::new(Config::default(), now),
            to_receiver: VecDeque::new(),
            to_sender: VecDeque::new(),
            source,
            position: 0,
            there: Vec::new(),
            refuse: None,
            asked: Vec::new(),
            written: Vec::new(),
            hashed: Vec::new(),
            read_from: Vec::new(),
            kept: Vec::new(),
            delivered: Vec::new(),
            sender_gave_up: Vec::new(),
            receiver_gave_up: Vec::new(),
            closed: (false, false),
        }
    }

    fn offer(&mut self) -> &mut Self {
        let size = self.source.len() as u64;
        self.sender.handle_file(&name("plan.pdf"), size, self.now);
        self.perform();
        self
    }

    /// Says this to the receiver, whatever the sender thinks of it.
    fn say(&mut self, message: Message) -> &mut Self {
        self.receiver.handle_value(message.into(), self.now);
        self.perform();
        self
    }

    /// One message each way.
    fn step(&mut self) -> bool {
        let (there, back) = (self.to_receiver.pop_front(), self.to_sender.pop_front());
        let moved = there.is_some() || back.is_some();
        if let Some(value) = there {
            self.receiver.handle_value(value, self.now);
        }
        if let Some(value) = back {
            self.sender.handle_value(value, self.now);
        }
        self.perform();
        let piece = self.sender.wants_octets().min(1_000) as usize;
        if piece > 0 && self.to_receiver.is_empty() {
            let end = self.position + piece;
            match self.source.get(self.position..end) {
                Some(octets) => {
                    let octets = Bytes::copy_from_slice(octets);
                    self.position = end;
                    self.sender.handle_read(octets, self.now);
                }
                None => self.sender.handle_failure(self.now),
            }
        }
        self.perform();
        moved || piece > 0
    }

    fn run(&mut self) -> &mut Self {
        while self.step() {}
        self
    }

    fn advance(&mut self, by: Duration) -> &mut Self {
        self.now += by;
        self.sender.handle_timeout(self.now);
        self.receiver.handle_timeout(self.now);
        self.perform();
        self
    }

    fn perform(&mut self) {
        while let Some(task) = self.sender.poll_output() {
            match task {
                Task::Say(value) => self.to_receiver.push_back(value),
                Task::Hash(lengths) => {
                    let cut =
                        |&length: &u64| &self.source[..(length as usize).min(self.source.len())];
                    let beginnings = lengths.iter().map(|it| beginning(cut(it))).collect();
                    self.hashed.push(lengths);
                    self.sender.handle_hashed(beginnings, self.now);
                }
                Task::Read { from } => {
                    self.position = from as usize;
                    self.read_from.push(from);
                }
                Task::Delivered { digest, name } => self.delivered.push((digest, name)),
                Task::GiveUp(reason) => self.sender_gave_up.push(reason),
                Task::Close => self.closed.0 = true,
            }
        }
        while let Some(wish) = self.receiver.poll_output() {
            match wish {
                Wish::Say(value) => self.to_sender.push_back(value),
                Wish::Decide(offer) => {
                    self.asked.push(offer);
                    let decision = match self.refuse {
                        Some(reason) => Decision::Refuse(reason),
                        None => Decision::Take(self.there.iter().map(|it| beginning(it)).collect()),
                    };
                    self.receiver.handle_decision(decision, self.now);
                }
                Wish::Begin { behind } => {
                    self.written = behind.map_or_else(Vec::new, |index| self.there[index].clone());
                }
                Wish::Write(octets) => self.written.extend_from_slice(&octets),
                Wish::Keep(digest) => {
                    self.kept.push((digest, self.written.clone()));
                    self.receiver.handle_kept("plan (2).pdf", self.now);
                }
                Wish::GiveUp(reason) => self.receiver_gave_up.push(reason),
                Wish::Close => self.closed.1 = true,
            }
        }
    }

    fn arrived(&self) {
        let hash = digest(&self.source);
        let (kept, written) = self.kept.last().expect("a file");
        assert_eq!((*kept, digest(written)), (hash, hash));
        assert!(*written == self.source);
        assert_eq!(self.delivered.last(), Some(&(hash, "plan (2).pdf".into())));
        assert_eq!(self.closed, (false, false));
    }
}

#[test]
fn a_file_arrives_whole_and_both_sides_know_its_hash() {
    for length in [0, 1, 999, 1_000, 1_001, 25_000] {
        let mut table = Table::new(octets(length));
        table.offer().run().arrived();
        assert_eq!(table.asked[0].size, length as u64);
    }
}

#[test]
fn files_go_one_after_the_other() {
    let mut table = Table::new(octets(5_000));
    table.offer().run().arrived();
    table.source = octets(70);
    table.offer().run().arrived();
    assert_eq!(table.delivered.len(), 2);
}

#[test]
fn a_transfer_goes_on_behind_the_longest_beginning_that_is_the_same() {
    let mut table = Table::new(octets(9_000));
    let mut other = octets(8_000);
    other[5] ^= 1;
    table.there = vec![octets(2_000), other, octets(6_000), octets(9_500)];
    table.offer().run().arrived();
    assert_eq!(table.read_from, [6_000]);
    assert_eq!(table.hashed, [vec![2_000, 8_000, 6_000, 9_500]]);
}

#[test]
fn a_file_that_is_there_already_is_not_sent_again() {
    let mut table = Table::new(octets(9_000));
    table.there = vec![octets(9_000)];
    table.offer().run().arrived();
    assert_eq!(table.read_from, [9_000]);
}

#[test]
fn another_files_beginning_is_not_gone_on_from() {
    let mut table = Table::new(octets(9_000));
    table.there = vec![vec![7; 4_000]];
    table.offer().run().arrived();
    assert_eq!(table.read_from, [0]);
}

#[test]
fn beginnings_that_no_file_of_this_size_has_are_not_asked_about() {
    let mut table = Table::new(octets(900));
    table.there = vec![octets(901), Vec::new()];
    table.offer().run().arrived();
    assert_eq!(table.hashed, Vec::<Vec<u64>>::new());
}

#[test]
fn nobody_is_asked_about_a_name_that_leads_elsewhere() {
    for bad in ["../x", "/etc/passwd", ".bashrc", "a\x1b[2Jb", "a\\b", ""] {
        let mut table = Table::new(Vec::new());
        table.say(Message::Offer {
            file: 0,
            name: bad.into(),
            size: 1,
        });
        assert_eq!(table.asked, []);
        let said = table.to_sender.pop_back().map(Message::parse);
        let reason = Reason::Name;
        assert_eq!(said, Some(Ok(Message::Stop { file: 0, reason })), "{bad:?}");
    }
}

#[test]
fn who_does_not_want_a_file_may_want_the_next_one() {
    let mut table = Table::new(octets(3_000));
    table.refuse = Some(Reason::Declined);
    table.offer().run();
    assert_eq!(table.sender_gave_up, [Reason::Declined]);
    assert_eq!(table.read_from, Vec::<u64>::new());
    table.refuse = None;
    table.offer().run().arrived();
}

#[test]
fn more_octets_than_announced_are_not_written() {
    let mut table = Table::new(octets(1_000));
    table.offer().step();
    table.say(Message::Data(octets(999).into()));
    table.say(Message::Data(octets(2).into()));
    assert_eq!(table.written.len(), 999);
    assert_eq!(table.receiver_gave_up, [Reason::Size]);
    table.run();
    assert_eq!(table.sender_gave_up, [Reason::Size]);
}

#[test]
fn a_file_that_ends_early_is_not_kept() {
    let mut table = Table::new(octets(1_000));
    table.offer().step();
    table.say(Message::Data(octets(999).into()));
    table.say(Message::End {
        file: 0,
        digest: digest(&octets(999)),
    });
    assert_eq!(table.kept, []);
    assert_eq!(table.receiver_gave_up, [Reason::Size]);
}

#[test]
fn a_file_with_another_hash_is_not_kept() {
    let mut table = Table::new(octets(1_000));
    table.offer().step();
    table.say(Message::Data(octets(1_000).into()));
    table.say(Message::End {
        file: 0,
        digest: digest(b"another"),
    });
    assert_eq!(table.kept, []);
    assert_eq!(table.receiver_gave_up, [Reason::Digest]);
}

#[test]
fn a_receiver_that_wrote_something_else_is_not_believed() {
    let mut table = Table::new(Vec::new());
    table.offer();
    table.to_receiver.clear();
    for message in [
        Message::Accept { file: 0, from: 0 },
        Message::Done {
            file: 0,
            digest: digest(b"another"),
            name: "x".into(),
        },
    ] {
        table.sender.handle_value(message.into(), table.now);
    }
    table.perform();
    assert_eq!(table.delivered, []);
    assert_eq!(table.sender_gave_up, [Reason::Digest]);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_is_given_up_and_its_beginning_stays() {
    let mut table = Table::new(octets(10_000));
    table.offer().step();
    table.source.truncate(5_000);
    table.run();
    assert_eq!(table.sender_gave_up, [Reason::Source]);
    assert_eq!(table.receiver_gave_up, [Reason::Source]);
    assert_eq!(table.kept, []);
    table.there = vec![table.written.clone()];
    table.source = octets(10_000);
    table.offer().run().arrived();
    assert_eq!(table.read_from.last(), Some(&5_000));
}

#[test]
fn what_was_on_its_way_when_a_file_was_stopped_is_read_past() {
    let mut table = Table::new(octets(10_000));
    table.offer();
    for _ in 0..4 {
        table.step();
    }
    table.receiver.handle_failure(Reason::Storage, table.now);
    table.perform();
    table.run();
    assert_eq!(table.sender_gave_up, [Reason::Storage]);
    assert_eq!(table.receiver_gave_up, [Reason::Storage]);
    table.offer().run().arrived();
}

#[test]
fn late_words_on_a_stopped_file_are_read_past_at_both_ends() {
    let mut table = Table::new(octets(10));
    table.offer().step();
    table.receiver.handle_failure(Reason::Storage, table.now);
    table.say(Message::Prefixes {
        file: 0,
        digests: Vec::new(),
    });
    table.say(Message::End {
        file: 0,
        digest: digest(b"another"),
    });
    assert!(!table.closed.1);
    table.run();
    for late in [
        Message::Accept { file: 0, from: 0 },
        Message::Compare {
            file: 0,
            lengths: vec![1],
        },
    ] {
        table.sender.handle_value(late.into(), table.now);
        table.perform();
    }
    assert!(!table.closed.0);
    table.offer().run().arrived();
}

#[test]
fn both_may_stop_the_same_file_at_once() {
    let mut table = Table::new(octets(10_000));
    table.offer();
    for _ in 0..4 {
        table.step();
    }
    table.receiver.handle_failure(Reason::Storage, table.now);
    table.sender.handle_failure(table.now);
    table.offer().run().arrived();
}

#[test]
fn a_later_version_is_told_so() {
    let mut table = Table::new(Vec::new());
    table.say(Message::OfferOfOtherVersion { file: 0 });
    let said = table.to_sender.pop_back().map(Message::parse);
    let reason = Reason::Version;
    assert_eq!(said, Some(Ok(Message::Stop { file: 0, reason })));
    assert_eq!(table.closed, (false, false));
}

#[test]
fn a_receiver_has_a_sender_hash_once() {
    let mut table = Table::new(octets(100));
    table.offer();
    for _ in 0..2 {
        let again = Message::Compare {
            file: 0,
            lengths: vec![10],
        };
        table.sender.handle_value(again.into(), table.now);
        table.perform();
    }
    assert_eq!(table.hashed.len(), 1);
    assert!(table.closed.0);
}

#[test]
fn nobody_waits_for_ever() {
    let mut silent = Table::new(Vec::new());
    silent.advance(Duration::from_secs(60));
    assert!(silent.closed.1, "no offer");

    let mut stalled = Table::new(octets(10_000));
    stalled.offer().step();
    stalled.say(Message::Data(octets(5).into()));
    stalled.advance(Duration::from_secs(60));
    assert_eq!(stalled.receiver_gave_up, [Reason::Timeout]);
    assert!(stalled.closed.1);

    let mut undecided = Table::new(octets(10_000));
    undecided.offer().advance(Duration::from_secs(600));
    assert_eq!(undecided.sender_gave_up, [Reason::Timeout]);
    assert!(undecided.closed.0);
}

#[test]
fn the_person_who_is_asked_hears_that_the_offer_is_withdrawn() {
    let now = any_instant();
    let mut receiver = Receiver::new(Config::default(), now);
    let offer = Message::Offer {
        file: 0,
        name: "x".into(),
        size: 1,
    };
    receiver.handle_value(offer.into(), now);
    let reason = Reason::Source;
    receiver.handle_value(Message::Stop { file: 0, reason }.into(), now);
    assert!(matches!(receiver.poll_output(), Some(Wish::Decide(_))));
    assert_eq!(receiver.poll_output(), Some(Wish::GiveUp(reason)));
    receiver.handle_decision(Decision::Take(Vec::new()), now);
    assert_eq!(receiver.poll_output(), None);
}

fn message() -> impl Strategy<Value = Value> {
    let hash = || {
        any::<bool>().prop_map(|known| {
            if known {
                digest(&octets(40))
            } else {
                digest(b"")
            }
        })
    };
    let file = 0..3_u64;
    let size = 0..100_u64;
    prop_oneof![
        (file.clone(), "[a./]{0,3}", size.clone()).prop_map(|(file, name, size)| Message::Offer {
            file,
            name,
            size
        }),
        file.clone()
            .prop_map(|file| Message::OfferOfOtherVersion { file }),
        (file.clone(), proptest::collection::vec(size.clone(), 0..4))
            .prop_map(|(file, lengths)| Message::Compare { file, lengths }),
        (file.clone(), proptest::collection::vec(hash(), 0..4))
            .prop_map(|(file, digests)| Message::Prefixes { file, digests }),
        (file.clone(), size).prop_map(|(file, from)| Message::Accept { file, from }),
        (1..60_usize).prop_map(|length| Message::Data(octets(length).into())),
        (file.clone(), hash()).prop_map(|(file, digest)| Message::End { file, digest }),
        (file.clone(), hash()).prop_map(|(file, digest)| Message::Done {
            file,
            digest,
            name: "x".into()
        }),
        file.prop_map(|file| Message::Stop {
            file,
            reason: Reason::Source
        }),
    ]
    .prop_map(Value::from)
}

proptest! {
    #[test]
    fn whatever_a_peer_says_no_more_than_announced_is_written_and_only_what_was_hashed_is_kept(
        said in proptest::collection::vec(message(), 0..40),
    ) {
        let mut table = Table::new(octets(40));
        table.there = vec![octets(10), octets(33)];
        for value in said {
            let asked = table.asked.len();
            table.receiver.handle_value(value.clone(), table.now);
            table.perform();
            if table.asked.len() > asked {
                table.written.clear();
            }
            let announced = table.asked.last().map_or(0, |offer| offer.size);
            prop_assert!(table.written.len() as u64 <= announced.max(33));
            table.sender.handle_value(value, table.now);
            table.perform();
            let kept = table.kept.last();
            prop_assert!(kept.is_none_or(|(hash, written)| *hash == digest(written)));
            prop_assert!(table.to_sender.len() < 200);
        }
    }

    #[test]
    fn any_value_is_read_without_harm(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut table = Table::new(Vec::new());
        table.receiver.handle_value(Value::Bytes(data.clone().into()), table.now);
        table.sender.handle_value(Value::Bytes(data.into()), table.now);
        table.perform();
        prop_assert!(table.written.len() <= PIECE_MAX);
    }
}
