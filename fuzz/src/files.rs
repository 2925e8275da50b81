//! Both ends of a file's transfer between a hostile peer and its own shell.

use std::time::Duration;

use peerage_proto::file::{Beginning, Config, Decision, Receiver, Sender, Task, Wish};
use peerage_proto::value::Value;
use peerage_proto::wire::file::{FileName, Message, Reason};

use crate::script::{Script, epoch};

/// Octets of the file that is sent.
const SIZE: u64 = 40;

fn beginning(length: u64) -> Beginning {
    let mut beginning = Beginning::default();
    beginning.push(&vec![7; length as usize]);
    beginning
}

/// What a peer says: a message that is right in form, or JSON that need not be.
fn said(script: &mut Script<'_>) -> Value {
    let file = u64::from(script.u8() % 4);
    let digest = beginning(u64::from(script.u8() % 64)).digest();
    let number = u64::from(script.u8() % 64);
    match script.u8() % 10 {
        0 => Message::Offer {
            file,
            name: String::from_utf8_lossy(script.long()).into_owned(),
            size: number,
        },
        1 => Message::OfferOfOtherVersion { file },
        2 => Message::Compare {
            file,
            lengths: vec![number, 9],
        },
        3 => Message::Prefixes {
            file,
            digests: vec![digest; (number % 9) as usize],
        },
        4 => Message::Accept { file, from: number },
        5 | 6 => Message::Data(vec![7; 1 + number as usize].into()),
        7 => Message::End { file, digest },
        8 => Message::Done {
            file,
            digest,
            name: "x".into(),
        },
        _ => match serde_json::from_slice::<serde_json::Value>(script.long()) {
            Ok(json) => return json.into(),
            Err(_) => Message::Stop {
                file,
                reason: Reason::Source,
            },
        },
    }
    .into()
}

/// Nothing but the announced octets is written, only what has the stated hash is kept, and nobody is asked about a name that leads elsewhere.
pub fn file_transfer(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let mut receiver = Receiver::new(Config::default(), now);
    let mut sender = Sender::new(Config::default());
    let (mut room, mut written, mut there) = (0, Beginning::default(), Vec::new());
    while !script.is_empty() {
        match script.u8() % 8 {
            0 => now += Duration::from_secs(script.u8().into()),
            1 => sender.handle_file(&FileName::parse("plan.pdf").expect("a name"), SIZE, now),
            2 => receiver.handle_failure(Reason::Storage, now),
            3 => sender.handle_failure(now),
            4 => {
                let value = said(&mut script);
                sender.handle_value(value, now);
            }
            _ => {
                let value = said(&mut script);
                receiver.handle_value(value, now);
            }
        }
        receiver.handle_timeout(now);
        sender.handle_timeout(now);
        while let Some(wish) = receiver.poll_output() {
            match wish {
                Wish::Decide(offer) => {
                    assert!(
                        !offer.name.as_str().contains(['/', '\\', '\0'])
                            && !offer.name.as_str().starts_with('.')
                    );
                    room = offer.size;
                    there = vec![beginning(u64::from(script.u8() % 64)), beginning(3)];
                    receiver.handle_decision(Decision::Take(there.clone()), now);
                }
                Wish::Begin { behind } => {
                    written = behind.map_or_else(Beginning::default, |n| there[n].clone())
                }
                Wish::Write(octets) => {
                    written.push(&octets);
                    assert!(written.length() <= room, "no more than announced");
                }
                Wish::Keep(_) => receiver.handle_kept("x", now),
                Wish::Say(_) | Wish::GiveUp(_) | Wish::Close => {}
            }
        }
        let mut hashed = 0;
        while let Some(task) = sender.poll_output() {
            if let Task::Hash(lengths) = task {
                hashed += lengths.len();
                let there = lengths
                    .iter()
                    .map(|&length| beginning(length.min(SIZE)))
                    .collect();
                sender.handle_hashed(there, now);
            }
        }
        assert!(hashed <= 8);
        let wanted = sender.wants_octets();
        assert!(wanted <= SIZE);
        if wanted > 0 {
            sender.handle_read(vec![7; wanted.min(10) as usize].into(), now);
        }
    }
}
