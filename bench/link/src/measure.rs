//! Asks for octets as often, as large and as many at once as each line on stdin says, by each way to them.

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
use tokio::sync::Mutex;

use crate::Outcome;

/// A line on stdin is `{"way", "octets", "times", "atOnce"}`: `times` requests in all, shared by `atOnce` who ask one after the other. The answer is
/// `{"firstByteMs": median, "seconds"}`.
pub async fn run(target: &str, link: &str, server: &str, source: &str) -> Outcome<()> {
    let link = Link::parse(link)?;
    let peer = Peer::builder().server(server).open().await?;
    let proof = link.secret.as_ref().map(|secret| secret.proof(&link.device));
    let options = ConnectOptions { label: Some("peerage-http".into()), proof, ..ConnectOptions::default() };
    let client = Client::new(peer.connect(&link.device.clone().into(), options).await?.into_channel());
    let bare = Bare(Mutex::new(peer.connect(&PeerId::parse(source)?, ConnectOptions::default()).await?));
    let direct = target.strip_prefix("http://").ok_or("the target is a plain http address")?.to_owned();

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let asked: Value = serde_json::from_str(&line)?;
        let way: &dyn Way = match asked["way"].as_str() {
            Some("direct") => &direct,
            Some("bare") => &bare,
            Some("link") => &client,
            _ => return Err("the ways are direct, bare and link".into()),
        };
        let number = |name: &str| asked[name].as_u64().and_then(|n| usize::try_from(n).ok()).ok_or("a number is missing");
        println!("{}", measure(way, number("octets")?, number("times")?, number("atOnce")?).await?);
    }
    Ok(())
}

async fn measure(way: &dyn Way, octets: usize, times: usize, at_once: usize) -> Outcome<Value> {
    let begun = Instant::now();
    let firsts = try_join_all((0..at_once).map(|_| way.ask(octets, times / at_once))).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let mut firsts: Vec<_> = firsts.into_iter().flatten().collect();
    firsts.sort();
    let median = firsts.get(firsts.len() / 2).ok_or("nothing was asked")?;
    Ok(json!({ "firstByteMs": median.as_secs_f64() * 1e3, "seconds": seconds }))
}

/// A way to get octets.
trait Way: Sync {
    /// Asks one time after the other, over one connection where the way has connections, reads to the end, and gives the times to the first octets.
    fn ask(&self, octets: usize, times: usize) -> BoxFuture<'_, Outcome<Vec<Duration>>>;
}

impl Way for String {
    fn ask(&self, octets: usize, times: usize) -> BoxFuture<'_, Outcome<Vec<Duration>>> {
        Box::pin(async move {
            let socket = TcpStream::connect(self).await?;
            socket.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
            let driver = tokio::spawn(connection);
            let mut firsts = Vec::with_capacity(times);
            for _ in 0..times {
                let request = Request::get(path(octets)).header(HOST, self).body(Empty::<Bytes>::new())?;
                sender.ready().await?;
                let begun = Instant::now();
                firsts.push(read(begun, octets, sender.send_request(request).await?.into_body()).await?);
            }
            driver.abort();
            Ok(firsts)
        })
    }
}

impl Way for Client {
    fn ask(&self, octets: usize, times: usize) -> BoxFuture<'_, Outcome<Vec<Duration>>> {
        Box::pin(async move {
            let mut firsts = Vec::with_capacity(times);
            for _ in 0..times {
                let request = Request::get(path(octets)).body(Empty::<Bytes>::new())?;
                let begun = Instant::now();
                firsts.push(read(begun, octets, self.request(request).await?.into_body()).await?);
            }
            Ok(firsts)
        })
    }
}

/// The bare data channel has no requests: who asks has it alone.
struct Bare(Mutex<Connection>);

impl Way for Bare {
    fn ask(&self, octets: usize, times: usize) -> BoxFuture<'_, Outcome<Vec<Duration>>> {
        Box::pin(async move {
            let mut firsts = Vec::with_capacity(times);
            for _ in 0..times {
                let mut connection = self.0.lock().await;
                let begun = Instant::now();
                connection.send(Message::Text(octets.to_string())).await?;
                let (mut left, mut first) = (octets, None);
                while left > 0 {
                    let message = connection.recv().await.ok_or("the bare channel closed")?;
                    first.get_or_insert_with(|| begun.elapsed());
                    left -= message.len();
                }
                firsts.push(first.ok_or("nothing came")?);
            }
            Ok(firsts)
        })
    }
}

fn path(octets: usize) -> String {
    format!("/bytes?n={octets}")
}

/// Reads a body of so many octets to its end; the time of the first.
async fn read<B>(begun: Instant, octets: usize, mut body: B) -> Outcome<Duration>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut read, mut first) = (0, None);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Into::into)?.into_data() {
            first.get_or_insert_with(|| begun.elapsed());
            read += data.len();
        }
    }
    if read != octets {
        return Err(format!("{read} octets came, not {octets}").into());
    }
    first.ok_or_else(|| "nothing came".into())
}
