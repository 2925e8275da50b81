//! A peer for the end-to-end tests: `probe SERVER ID [--call PEER] [--serialization NAME] [--label TEXT] [--metadata JSON] [--unordered] [--streams]
//! [--values SEED COUNT] [--old]`.
//!
//! It takes connections, or with `--call` makes one and says `hello` on it. With `--values` it sends that many random values, and compares what comes back (`--old`: values of which PeerJS 1.4.7 spoils none); otherwise it says back what it
//! hears: a large value beside those that come after it, and with `--streams` without holding it. Text asks for more: `close`, and `flood COUNT OCTETS`.
//! Prints what happens, a line each.
#![allow(clippy::print_stdout)]

use std::error::Error;

use peerage_peer::{ConnectOptions, Connection, Incoming, Limits, Peer, Serialization, Value};
use peerage_proto::value::Date;
use peerage_proto::wire::id::PeerId;

/// From here on a value is a large one.
const LARGE: usize = 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(id)) = (arguments.next(), arguments.next()) else {
        return Err("usage: probe SERVER ID [options]".into());
    };
    let (mut call, mut values, mut limits) = (None, None, Limits::default());
    let mut old = false;
    // Whoever vanishes is missed at once.
    let mut options = ConnectOptions {
        renew: None,
        ..ConnectOptions::default()
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_default();
        match argument.as_str() {
            "--call" => call = Some(PeerId::parse(&value())?),
            "--serialization" => options.serialization = Serialization::from_name(&value()),
            "--label" => options.label = Some(value()),
            "--metadata" => {
                options =
                    options.with_metadata(&serde_json::from_str::<serde_json::Value>(&value())?)?
            }
            "--unordered" => options.ordered = false,
            "--streams" => limits.stream_from = Some(LARGE),
            "--old" => old = true,
            "--values" => values = Some((value().parse()?, value().parse()?)),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let values = values.map(|(seed, count)| (Random { state: seed, old }, count));
    let builder = Peer::builder()
        .server(server)
        .id(PeerId::parse(&id)?)
        .limits(limits);
    let peer = builder.allow_unverified(true).loopback(true).open().await?;
    println!("ready {}", peer.id());
    if let Some(other) = call {
        match peer.connect(&other, options).await {
            Ok(connection) => {
                if values.is_none() {
                    tell(connection.send("hello").await);
                }
                tokio::spawn(attend(connection, values));
            }
            Err(error) => println!("not connected: {error}"),
        }
    }
    let mut end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = end.recv() => break,
            incoming = peer.incoming() => match incoming {
                Some(connection) => drop(tokio::spawn(attend(connection, values))),
                None => break,
            },
        }
    }
    peer.destroy().await;
    Ok(())
}

async fn attend(connection: Connection, values: Option<(Random, usize)>) {
    let metadata = connection
        .metadata()
        .map_or("none", |metadata| metadata.get());
    println!(
        "open {} {} label {:?} metadata {metadata}",
        connection.peer(),
        connection.serialization().name(),
        connection.label()
    );
    match values {
        Some((random, count)) => compare(&connection, random, count).await,
        None => echo(&connection).await,
    }
    println!(
        "closed {}: {}",
        connection.peer(),
        connection.closed().await
    );
}

async fn echo(connection: &Connection) {
    while let Some(received) = connection.next().await {
        match received {
            Ok(Incoming::Value(value)) => match value.as_str() {
                Some("close") => connection.close(),
                Some(text) if text.starts_with("flood ") => flood(connection, text).await,
                _ if size(&value) >= LARGE => {
                    let connection = connection.clone();
                    tokio::spawn(async move { tell(connection.send(value).await) });
                }
                _ => {
                    if value.is_null() {
                        println!("heard null");
                    }
                    tell(connection.send(value).await);
                }
            },
            Ok(Incoming::Stream(stream)) => {
                println!("stream of {}", stream.length());
                let connection = connection.clone();
                tokio::spawn(async move {
                    let length = stream.length();
                    let reader = Box::pin(stream.into_reader());
                    tell(connection.send_stream(length, reader).await);
                });
            }
            Err(error) => println!("not received: {error}"),
        }
    }
}

/// Sends many values, and says when the last has found room.
async fn flood(connection: &Connection, text: &str) {
    let numbers = text.split(' ').skip(1).map(str::parse::<usize>);
    let [Ok(count), Ok(octets)] = numbers.collect::<Vec<_>>()[..] else {
        return;
    };
    println!("flooding");
    for _ in 0..count {
        tell(connection.send(vec![7_u8; octets]).await);
    }
    println!("flooded");
}

fn tell(sent: Result<(), peerage_peer::SendError>) {
    if let Err(error) = sent {
        println!("not sent: {error}");
    }
}

fn size(value: &Value) -> usize {
    value
        .as_bytes()
        .map_or_else(|| value.as_str().map_or(0, str::len), |bytes| bytes.len())
}

/// Sends random values and says which of them come back as others, or that none does.
async fn compare(connection: &Connection, mut random: Random, count: usize) {
    let sent: Vec<_> = (0..count)
        .map(|_| random.message(connection.serialization()))
        .collect();
    let sending = async {
        for value in &sent {
            tell(connection.send(value.clone()).await);
        }
    };
    let receiving = async {
        let mut missing: Vec<_> = sent.iter().collect();
        while let Some(first) = missing.first() {
            let back = connection.recv().await;
            let found = match &back {
                Some(Ok(back)) => missing.iter().position(|sent| same(sent, back)),
                _ => None,
            };
            match found {
                // 1.4.7 packs what it sends at once in any order.
                Some(place) if place == 0 || random.old => drop(missing.remove(place)),
                _ => {
                    println!(
                        "different {}: {first:?} came back as {back:?}",
                        count - missing.len()
                    );
                    return;
                }
            }
        }
        println!("same {count}");
    };
    tokio::join!(sending, receiving);
}

/// JavaScript keeps members whose names are numbers in an order of its own.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(members), Value::Map(others)) => {
            let found = |(name, value): &(String, Value)| {
                b.get(name).is_some_and(|other| same(value, other))
            };
            members.len() == others.len() && members.iter().all(found)
        }
        (a, b) => a == b,
    }
}

/// SplitMix64.
#[derive(Clone, Copy)]
struct Random {
    state: u64,
    old: bool,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A whole message. PeerJS loses `null` as such.
    fn message(&mut self, serialization: &Serialization) -> Value {
        if *serialization == Serialization::Raw {
            return if self.below(2) == 0 {
                let text = self.text(serialization);
                if text.is_empty() { "x" } else { &text }.into()
            } else {
                let bytes = self.bytes();
                if bytes.is_empty() { vec![1] } else { bytes }.into()
            };
        }
        loop {
            let value = self.value(serialization, 5);
            if !value.is_null() {
                return value;
            }
        }
    }

    fn value(&mut self, serialization: &Serialization, depth: u32) -> Value {
        let kinds = if depth == 0 { 7 } else { 9 };
        match self.below(kinds) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::Integer(self.integer()),
            3 => Value::Float(self.float(serialization)),
            4 => self.text(serialization).into(),
            5 if *serialization != Serialization::Json => self.bytes().into(),
            6 if *serialization == Serialization::MsgPack => {
                Value::Date(Date::from_millis(self.below(1 << 43) as i64 - (1 << 42)))
            }
            5 | 6 => Value::Integer(self.below(300) as i64 - 150),
            7 => {
                let length = self.length(serialization, &[0, 1, 2, 15, 16, 17]);
                (0..length)
                    .map(|_| self.value(serialization, depth - 1))
                    .collect()
            }
            _ => {
                let length = self.length(serialization, &[0, 1, 2, 15, 16]);
                let members = (0..length).map(|number| {
                    let name = format!("{number}{}", self.text(&Serialization::Json));
                    (name, self.value(serialization, depth.saturating_sub(3)))
                });
                Value::Map(members.collect())
            }
        }
    }

    /// A message of PeerJS's json has less than 16,300 octets.
    fn length(&mut self, serialization: &Serialization, lengths: &[usize]) -> usize {
        let length = self.pick(lengths);
        if *serialization == Serialization::Json {
            length.min(3)
        } else {
            length
        }
    }

    /// Around the powers of two, as far as JavaScript's numbers are exact.
    fn integer(&mut self) -> i64 {
        let power = 1_i64 << self.below(54);
        let near = (power + self.below(3) as i64 - 1).min(1 << 53);
        if self.below(2) == 0 { near } else { -near }
    }

    /// BinaryPack has no whole numbers beyond 64 bits, and upstream's writer spoils powers of two and what is next to them.
    fn float(&mut self, serialization: &Serialization) -> f64 {
        let fraction = (self.next() >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        let places = if *serialization == Serialization::Binary {
            6
        } else {
            300
        };
        let exponent = self.below(2 * places + 1) as i32 - places as i32;
        fraction * 10_f64.powi(exponent)
    }

    fn text(&mut self, serialization: &Serialization) -> String {
        let length = match *serialization {
            Serialization::Json => self.below(20),
            _ => self.pick(&[0, 1, 15, 16, 31, 32, 255, 256, 30_000]),
        };
        let character = |random: &mut Self| {
            let last = if random.old { 0xd800 } else { 0x11_0000 };
            let end = random.pick(&[0x80, 0x800, 0xd800, last]);
            char::from_u32(random.below(end) as u32).unwrap_or('\u{1f300}')
        };
        (0..length).map(|_| character(self)).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let least = usize::from(self.old);
        let length = self.pick(&[least, 1, 15, 16, 255, 256, 65_535, 65_536]);
        (0..length).map(|_| self.next() as u8).collect()
    }
}
