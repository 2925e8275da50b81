//! One round of figures from each way to the same octets.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, try_join_all};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use peerage_peer::http::Client;
use peerage_peer::{ConnectOptions, Connection, Message, Peer};
use peerage_proto::wire::id::PeerId;
use peerage_proto::wire::link_url::Link;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Outcome;

const OCTETS: usize = 128 << 20;
const SEQUENTIAL: usize = 300;
const WORKERS: usize = 32;
const EACH: usize = 100;

pub async fn run(target: &str, link: &str, server: &str, source: &str) -> Outcome<()> {
    let link = Link::parse(link)?;
    let peer = Peer::builder().server(server).build().await?;
    let proof = link.secret.as_ref().map(|secret| secret.proof(&link.device));
    let options = ConnectOptions { label: Some("peerage-http".into()), proof, ..ConnectOptions::default() };
    let client = Client::new(peer.connect(&link.device.clone().into(), options).await?.into_channel());
    let mut bare = peer.connect(&PeerId::parse(source)?, ConnectOptions::default()).await?;
    let address = target.strip_prefix("http://").ok_or("the target is a plain http address")?.to_owned();

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        let direct = round(&address).await?;
        let bare = bare_round(&mut bare).await?;
        let linked = round(&client).await?;
        println!("{}", json!({ "direct": direct, "bare": bare, "link": linked }));
    }
    Ok(())
}

/// A way to make requests: gives the time to the first octet of the body, and reads it to the end.
trait Way: Sync {
    /// Asks `paths` one after the other, over one connection where the way has connections.
    fn ask<'a>(&'a self, path: &'a str, times: usize) -> BoxFuture<'a, Outcome<Vec<Duration>>>;
}

impl Way for String {
    fn ask<'a>(&'a self, path: &'a str, times: usize) -> BoxFuture<'a, Outcome<Vec<Duration>>> {
        Box::pin(async move {
            let socket = TcpStream::connect(self).await?;
            socket.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
            let driver = tokio::spawn(connection);
            let mut firsts = Vec::with_capacity(times);
            for _ in 0..times {
                let request = Request::get(path).header(HOST, self).body(Empty::<Bytes>::new())?;
                sender.ready().await?;
                let begun = Instant::now();
                let mut body = sender.send_request(request).await?.into_body();
                let mut first = None;
                while let Some(frame) = body.frame().await {
                    frame?;
                    first.get_or_insert_with(|| begun.elapsed());
                }
                firsts.extend(first);
            }
            driver.abort();
            Ok(firsts)
        })
    }
}

impl Way for Client {
    fn ask<'a>(&'a self, path: &'a str, times: usize) -> BoxFuture<'a, Outcome<Vec<Duration>>> {
        Box::pin(async move {
            let mut firsts = Vec::with_capacity(times);
            for _ in 0..times {
                let request = Request::get(path).body(Empty::<Bytes>::new())?;
                let begun = Instant::now();
                let mut body = self.request(request).await?.into_body();
                let mut first = None;
                while let Some(frame) = body.frame().await {
                    frame?;
                    first.get_or_insert_with(|| begun.elapsed());
                }
                firsts.extend(first);
            }
            Ok(firsts)
        })
    }
}

async fn round(way: &impl Way) -> Outcome<Value> {
    way.ask("/small", 20).await?;
    let mut firsts = way.ask("/small", SEQUENTIAL).await?;
    firsts.sort();
    let begun = Instant::now();
    try_join_all((0..WORKERS).map(|_| way.ask("/small", EACH))).await?;
    let requests = (WORKERS * EACH) as f64 / begun.elapsed().as_secs_f64();
    let path = format!("/bytes?n={OCTETS}");
    let begun = Instant::now();
    way.ask(&path, 1).await?;
    let rate = OCTETS as f64 / 1e6 / begun.elapsed().as_secs_f64();
    Ok(json!({ "firstByteMs": firsts[firsts.len() / 2].as_secs_f64() * 1e3, "requests": requests, "rate": rate }))
}

async fn bare_round(connection: &mut Connection) -> Outcome<Value> {
    let mut firsts = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        firsts.push(bare_ask(connection, 1_000).await?);
    }
    firsts.sort();
    let begun = Instant::now();
    bare_ask(connection, OCTETS).await?;
    let rate = OCTETS as f64 / 1e6 / begun.elapsed().as_secs_f64();
    Ok(json!({ "firstByteMs": firsts[firsts.len() / 2].as_secs_f64() * 1e3, "rate": rate }))
}

async fn bare_ask(connection: &mut Connection, octets: usize) -> Outcome<Duration> {
    let begun = Instant::now();
    connection.send(Message::Text(octets.to_string())).await?;
    let (mut left, mut first) = (octets, None);
    while left > 0 {
        let message = connection.recv().await.ok_or("the bare channel closed")?;
        first.get_or_insert_with(|| begun.elapsed());
        left -= message.len();
    }
    first.ok_or_else(|| "nothing came".into())
}
