//! Members of a room, all in this process, and what they measure.
//!
//! | order | answer |
//! | --- | --- |
//! | `{"do":"join","room":R,"count":N}` | `ms` until all were in, `cpu_ms` of the server for each, `octets` of resident memory for each two seconds later |
//! | `{"do":"talk","rate":D,"warm":S,"seconds":S}` | of a window: deliveries `expected` and `delivered`, `cpu_us` of the server for each, its `cores`, `p50_us`, `p99_us`, `late_us` (p99 of how late a message was handed over), `others` (cores that other processes used) |
//! | `{"do":"rush","messages":M,"warm":S,"seconds":S}` | the same; `late_us` is 0 |
//!
//! A message has 100 octets as an old member sends it, and says when it was sent. Members send one after the other: when they talk, so that D deliveries a second come about; in a rush, so that M messages are on their way.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peerage_peer::direct::{Addresses, ChannelInit, Direct, DirectConfig, Link, LinkEvent};
use peerage_peer::{Channel, ChannelReceiver, ChannelSender, Message};
use peerage_proto::wire::room::{
    self, Body, Emit, Epoch, FromHub, FromMember, Hello, Said, To, Token,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::{Outcome, http, server};

/// Octets of a message.
const SIZE: usize = 100;
/// Stands before the time at which a message was sent: as many digits as these.
const MARK: &[u8] = b"T=";
const DIGITS: usize = 20;
/// Members of one engine: each offers by a port of its own, of which an engine has some.
const TOGETHER: usize = 200;
/// Members that join at a time.
const JOINING: usize = 8;
/// At most this often a member says what it has got.
const GOT: Duration = Duration::from_secs(1);

/// What members speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Old,
    Native,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "old" => Ok(Self::Old),
            "native" => Ok(Self::Native),
            _ => Err(format!("no kind of member: {text}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Order {
    Join {
        room: String,
        count: usize,
    },
    Talk {
        rate: f64,
        warm: f64,
        seconds: f64,
    },
    Rush {
        messages: u64,
        warm: f64,
        seconds: f64,
    },
}

/// When the next message is due.
enum Pace {
    /// So long after the one before, whatever became of that.
    Pause(Duration),
    /// When no more than so many deliveries are outstanding.
    Outstanding(u64),
}

/// What came, over all members.
struct Ears {
    begun: Instant,
    /// Messages that were sent in this time count, in nanoseconds since `begun`.
    window: Mutex<(u64, u64)>,
    nanoseconds: Mutex<Vec<u64>>,
    /// Deliveries in all.
    heard: AtomicU64,
    news: Notify,
}

struct Member {
    id: String,
    sender: ChannelSender,
}

struct Members {
    server: SocketAddr,
    pid: i32,
    kind: Kind,
    ears: Arc<Ears>,
    engines: Vec<Direct>,
    members: Vec<Member>,
}

pub async fn run(server: SocketAddr, pid: i32, kind: Kind) -> Outcome<()> {
    let ears = Arc::new(Ears {
        begun: Instant::now(),
        window: Mutex::default(),
        nanoseconds: Mutex::default(),
        heard: AtomicU64::default(),
        news: Notify::new(),
    });
    let mut members = Members {
        server,
        pid,
        kind,
        ears,
        engines: Vec::new(),
        members: Vec::new(),
    };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match serde_json::from_str(&line)? {
            Order::Join { room, count } => members.join(room, count).await?,
            Order::Talk {
                rate,
                warm,
                seconds,
            } => {
                let pause = members.others() as f64 / rate;
                let pace = Pace::Pause(Duration::from_secs_f64(pause));
                members.talk(&pace, warm, seconds).await?
            }
            Order::Rush {
                messages,
                warm,
                seconds,
            } => {
                let pace = Pace::Outstanding(messages * members.others());
                members.talk(&pace, warm, seconds).await?
            }
        };
        println!("{answer}");
    }
    Ok(())
}

impl Members {
    async fn join(&mut self, room: String, count: usize) -> Outcome<Value> {
        let (cpu, resident, begun) = (
            server::cpu(self.pid)?,
            server::resident(self.pid)?,
            Instant::now(),
        );
        let places = Arc::new(Semaphore::new(JOINING));
        let mut joining = Vec::new();
        for n in 0..count {
            if n % TOGETHER == 0 {
                self.engines.push(Direct::open(DirectConfig {
                    addresses: Addresses::Loopback,
                    ..DirectConfig::default()
                })?);
            }
            let direct = self.engines.last().ok_or("no engine")?.clone();
            let (server, kind, ears, room, places) = (
                self.server,
                self.kind,
                self.ears.clone(),
                room.clone(),
                places.clone(),
            );
            joining.push(tokio::spawn(async move {
                let _place = places.acquire().await?;
                member(server, kind, &direct, &room, format!("m{n}"), ears).await
            }));
        }
        for one in joining {
            self.members.push(one.await??);
        }
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        // What joins cause comes to its end.
        sleep(Duration::from_secs(2)).await;
        let spent = (server::cpu(self.pid)? - cpu).as_secs_f64();
        let grown = server::resident(self.pid)?.saturating_sub(resident);
        Ok(
            json!({ "ms": ms, "cpu_ms": spent * 1e3 / count as f64, "octets": grown / count as u64 }),
        )
    }

    /// Who hears a message.
    fn others(&self) -> u64 {
        self.members.len() as u64 - 1
    }

    async fn talk(&self, pace: &Pace, warm: f64, seconds: f64) -> Outcome<Value> {
        let others = self.others();
        let ears = &self.ears;
        let from = Instant::now();
        let window = [warm, warm + seconds].map(|at| from + Duration::from_secs_f64(at));
        *lock(&ears.window) = (ears.since(window[0]), ears.since(window[1]));
        lock(&ears.nanoseconds).clear();

        let pid = self.pid;
        let clock = tokio::spawn(async move {
            sleep_until(window[0].into()).await;
            let clock = server::Clock::start(pid)?;
            sleep_until(window[1].into()).await;
            clock.stop()
        });
        let (mut late, mut sent, mut turn, mut next) = (Vec::new(), 0_u64, 0, from);
        let before = ears.heard.load(Ordering::Relaxed);
        while next < window[1] {
            // Timers have milliseconds: what is due by now goes now, as it would of several senders.
            loop {
                let handed = Instant::now();
                let heard = ears.heard.load(Ordering::Relaxed) - before;
                let is_due = match pace {
                    Pace::Pause(_) => next <= handed,
                    Pace::Outstanding(most) => (turn as u64 + 1) * others <= heard + most,
                };
                if let Pace::Outstanding(_) = pace {
                    next = handed;
                }
                if !is_due || next >= window[1] {
                    break;
                }
                if handed >= window[0] && handed < window[1] {
                    late.push((handed - next).as_nanos() as u64);
                    sent += 1;
                }
                let member = &self.members[turn % self.members.len()];
                member.say(self.kind, ears.since(handed)).await?;
                turn += 1;
                if let Pace::Pause(pause) = pace {
                    next += *pause;
                }
            }
            match pace {
                Pace::Pause(_) => sleep_until(next.into()).await,
                Pace::Outstanding(_) => {
                    let _ = timeout_at(window[1].into(), ears.news.notified()).await;
                }
            }
        }
        let spent = clock.await??;
        let expected = sent * others;
        // What is on its way may arrive.
        let patience = Instant::now() + Duration::from_secs(5);
        while (lock(&ears.nanoseconds).len() as u64) < expected && Instant::now() < patience {
            sleep(Duration::from_millis(10)).await;
        }
        let mut took = std::mem::take(&mut *lock(&ears.nanoseconds));
        Ok(json!({
            "expected": expected,
            "delivered": took.len(),
            "cpu_us": spent.cpu_seconds * 1e6 / took.len().max(1) as f64,
            "cores": spent.cpu_seconds / spent.seconds,
            "p50_us": part(&mut took, 0.5) as f64 / 1e3,
            "p99_us": part(&mut took, 0.99) as f64 / 1e3,
            "late_us": part(&mut late, 0.99) as f64 / 1e3,
            "others": spent.others_cpu_seconds / spent.seconds,
        }))
    }
}

impl Member {
    async fn say(&self, kind: Kind, now: u64) -> Outcome<()> {
        let head = format!(r#"{{"peer_id":"{}","message":""#, self.id);
        let fill = "x".repeat(SIZE.saturating_sub(head.len() + MARK.len() + DIGITS + 2));
        let message = match kind {
            Kind::Old => Message::Text(format!(r#"{head}T={now:0DIGITS$}{fill}"}}"#).into()),
            Kind::Native => {
                let body = room::Json::parse(format!(r#""T={now:0DIGITS$}{fill}""#).into())
                    .ok_or("no JSON")?;
                let emit = Emit {
                    to: To::Others,
                    ack: None,
                    fast: false,
                    said: Said::Chat(Body::Json(body)),
                };
                Message::Binary(FromMember::Emit(emit).emit())
            }
        };
        Ok(self.sender.send(message).await?)
    }
}

/// Joins, and listens from then on.
async fn member(
    server: SocketAddr,
    kind: Kind,
    direct: &Direct,
    room: &str,
    id: String,
    ears: Arc<Ears>,
) -> Outcome<Member> {
    let channel = match kind {
        Kind::Old => ChannelInit {
            label: "chat".into(),
            ordered: true,
            max_retransmits: Some(3),
        },
        Kind::Native => ChannelInit::reliable(room::LABEL),
    };
    let (mut link, offer) = direct.offer(&[channel]).await?;
    let told = http::post(
        server,
        "/offer",
        &json!({ "room": room, "peer_id": id, "offer": { "type": "offer", "sdp": offer } }),
    )
    .await?;
    link.accept(told["answer"]["sdp"].as_str().ok_or("no answer")?)
        .await?;
    let channel = loop {
        match link.event().await {
            Some(LinkEvent::Open(channel)) => break channel,
            Some(_) => {}
            None => return Err(format!("{id}: {:?}", link.closed()).into()),
        }
    };
    let (sender, receiver) = Channel::split(channel);
    let hello = match kind {
        Kind::Old => Message::Text(
            json!({ "type": "SYSTEM", "action": "PEER_JOIN", "payload": { "userAgent": "bench", "timestamp": 1 }, "peer_id": id, "target": null, "timestamp": 1 }).to_string().into(),
        ),
        Kind::Native => {
            static DRAWN: AtomicU64 = AtomicU64::new(0);
            let drawn = u128::from(DRAWN.fetch_add(1, Ordering::Relaxed)) + 1;
            let hello = Hello { token: Token::new(drawn.to_be_bytes()), metadata: room::Json::NULL, epoch: Epoch([0; 8]), last: 0 };
            Message::Binary(FromMember::Hello(hello).emit())
        }
    };
    sender.send(hello).await?;
    tokio::spawn(keep(link));
    let got = Arc::new(AtomicU64::new(0));
    tokio::spawn(hear(receiver, ears, got.clone()));
    if kind == Kind::Native {
        tokio::spawn(acknowledge(sender.clone(), got));
    }
    Ok(Member { id, sender })
}

/// Until the end of the connection, which no member wants.
async fn keep(mut link: Link) {
    while link.event().await.is_some() {}
    eprintln!("a member was parted: {:?}", link.closed());
}

async fn hear(mut receiver: ChannelReceiver, ears: Arc<Ears>, got: Arc<AtomicU64>) {
    while let Some(message) = receiver.recv().await {
        let arrived = ears.since(Instant::now());
        let octets = match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(frame) => {
                note(&frame, &got);
                frame
            }
        };
        let Some(at) = octets.windows(MARK.len()).position(|two| two == MARK) else {
            continue;
        };
        let digits = octets
            .get(at + MARK.len()..at + MARK.len() + DIGITS)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(sent) = digits.and_then(|digits| digits.parse::<u64>().ok()) else {
            continue;
        };
        ears.heard.fetch_add(1, Ordering::Relaxed);
        ears.news.notify_one();
        let (from, until) = *lock(&ears.window);
        if (from..until).contains(&sent) {
            lock(&ears.nanoseconds).push(arrived.saturating_sub(sent));
        }
    }
}

/// Remembers the place in the room's order that a frame has.
fn note(frame: &Bytes, got: &AtomicU64) {
    let seq = match FromHub::parse(frame.clone()) {
        Ok(Some(FromHub::Message(message))) => message.seq,
        Ok(Some(FromHub::Welcome(welcome))) => welcome.seq,
        Ok(Some(
            FromHub::Joined { seq, .. } | FromHub::Left { seq, .. } | FromHub::Host { seq, .. },
        )) => seq,
        _ => 0,
    };
    got.fetch_max(seq, Ordering::Relaxed);
}

async fn acknowledge(sender: ChannelSender, got: Arc<AtomicU64>) {
    let mut said = 0;
    loop {
        sleep(GOT).await;
        let now = got.load(Ordering::Relaxed);
        if now > said
            && sender
                .send(Message::Binary(FromMember::Got(now).emit()))
                .await
                .is_err()
        {
            return;
        }
        said = now;
    }
}

impl Ears {
    fn since(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_nanos() as u64
    }
}

/// The value below which this part of all lies.
fn part(values: &mut [u64], part: f64) -> u64 {
    values.sort_unstable();
    let at = (values.len() as f64 * part).ceil() as usize;
    values
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
