//! Recorded clients, played again over sockets: what they did, and what they see now.
//!
//! Driven by what causes what, not by the recording's clock: the next thing is done when what was recorded before it has come, and a socket that was
//! spoken on has answered a ping, so that the server has read what was said.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use peerage_server::testing::TestServer;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::common::{Client, PATIENCE, soon};
use crate::compare::Observed;
use crate::table::Changes;

/// For what should come, once something has not come that should have: the test fails already, and is to say how.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// Well below the shortest silence that any replay allows.
const BEAT: Duration = Duration::from_millis(100);

/// One line of a recorded conversation.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(default)]
    pub(crate) t: u64,
    pub(crate) who: String,
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) binary: bool,
}

/// What was recorded of these events. The recordings do not say who closed: `by_server` does.
pub(crate) fn recorded<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    by_server: impl Fn(&Event) -> bool,
) -> Observed {
    let mut observed = Observed::new();
    for event in events {
        if let Some(line) = line_of(event, &by_server) {
            observed.entry(event.who.clone()).or_default().push(line);
        }
    }
    observed
}

/// What the server did, in one line; none for what a client did.
pub(crate) fn line_of(event: &Event, by_server: impl Fn(&Event) -> bool) -> Option<String> {
    let who = &event.who;
    match event.event.as_str() {
        "recv" => Some(format!("{who} recv {}", event.text)),
        "close" if by_server(event) => Some(format!("{who} close {}", event.code)),
        "http-error" => Some(format!("{who} refused {}", event.status)),
        _ => None,
    }
}

/// The clients of one server.
pub(crate) struct Stage<'a> {
    server: &'a TestServer,
    log: Arc<Log>,
    players: HashMap<String, Player>,
    /// How often each line is to have been seen by now.
    due: HashMap<String, usize>,
    /// Lines that the table takes away, and those that it adds.
    changes: Changes,
    patience: Duration,
    /// Pings while others are waited for.
    beating: Option<String>,
}

struct Player {
    sink: Sink,
    reader: JoinHandle<()>,
    leaving: Arc<AtomicBool>,
    pings: u64,
}

type Sink = SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;
type Source = SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>;

/// What all clients have seen.
#[derive(Default)]
struct Log {
    seen: Mutex<Seen>,
    changed: Notify,
}

#[derive(Default)]
struct Seen {
    lines: Vec<(String, String)>,
    pongs: HashMap<String, u64>,
    ended: HashSet<String>,
}

impl Log {
    fn read(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no reader panics")
    }

    fn write(&self, act: impl FnOnce(&mut Seen)) {
        act(&mut self.read());
        self.changed.notify_one();
    }
}

impl<'a> Stage<'a> {
    pub(crate) fn new(server: &'a TestServer) -> Self {
        Self {
            server,
            log: Arc::default(),
            players: HashMap::new(),
            due: HashMap::new(),
            changes: Changes::default(),
            patience: PATIENCE,
            beating: None,
        }
    }

    /// From now on this client pings while anything is waited for.
    pub(crate) fn beat(&mut self, who: &str) {
        self.beating = Some(who.to_owned());
    }

    /// Begins an entry: nothing is seen yet, and this may be otherwise than recorded. Clients stay.
    pub(crate) fn begin(&mut self, changes: Changes) {
        self.log.write(|seen| seen.lines.clear());
        self.due.clear();
        self.changes = changes;
    }

    /// Everything seen since [`Stage::begin`].
    pub(crate) fn seen(&self) -> Observed {
        let mut observed = Observed::new();
        for (who, line) in &self.log.read().lines {
            observed.entry(who.clone()).or_default().push(line.clone());
        }
        observed
    }

    pub(crate) async fn connect(&mut self, who: &str, path: &str) {
        let dialed = soon(
            "connecting",
            Client::try_dial(self.server, "localhost", path),
        )
        .await;
        let client = match dialed {
            Ok(client) => client,
            Err(tungstenite::Error::Http(response)) => {
                let line = format!("{who} refused {}", response.status().as_u16());
                return self
                    .log
                    .write(|seen| seen.lines.push((who.to_owned(), line)));
            }
            Err(error) => panic!("{who} cannot connect: {error}"),
        };
        self.log.write(|seen| {
            seen.pongs.remove(who);
            seen.ended.remove(who);
        });
        let (sink, source) = client.0.split();
        let leaving = Arc::new(AtomicBool::new(false));
        let reader = read(source, who.to_owned(), self.log.clone(), leaving.clone());
        let player = Player {
            sink,
            reader: tokio::spawn(reader),
            leaving,
            pings: 0,
        };
        self.players.insert(who.to_owned(), player);
    }

    /// Sends, and returns when the server has read it.
    pub(crate) async fn send(&mut self, who: &str, message: Message) {
        self.say(who, message).await;
        self.settle(who).await;
    }

    /// Sends. A client that was refused, or closed, says nothing; that it was is seen already.
    pub(crate) async fn say(&mut self, who: &str, message: Message) {
        let Some(player) = self.players.get_mut(who) else {
            return;
        };
        let _ = soon("sending", player.sink.send(message)).await;
    }

    /// Waits until the server has read what this client said, and this client what the server had for it by then.
    pub(crate) async fn settle(&mut self, who: &str) {
        let Some(player) = self.players.get_mut(who) else {
            return;
        };
        player.pings += 1;
        let ping = player.pings;
        let octets = ping.to_be_bytes().to_vec();
        self.say(who, Message::Ping(octets.into())).await;
        let answered = self
            .until(|seen| {
                seen.ended.contains(who) || seen.pongs.get(who).is_some_and(|pong| *pong >= ping)
            })
            .await;
        assert!(answered, "{who} got no pong");
    }

    /// Waits for a line that was recorded, unless the table takes it away.
    pub(crate) async fn expect(&mut self, line: &str) {
        if !self.changes.lost.iter().any(|lost| lost == line) {
            self.await_line(line).await;
        }
    }

    /// Waits for what the table adds for this client.
    pub(crate) async fn expect_gained(&mut self, who: &str) {
        let prefix = format!("{who} ");
        let gained = std::mem::take(&mut self.changes.gained);
        let (own, others) = gained
            .into_iter()
            .partition(|line| line.starts_with(&prefix));
        self.changes.gained = others;
        for line in Vec::from_iter::<Vec<_>>(own) {
            self.await_line(&line).await;
        }
    }

    /// Says something that comes back to another (or the same) client and to nobody's record: what was on this way before has come as well.
    pub(crate) async fn mark(&mut self, from: &str, sent: &str, to: &str, received: &str) {
        self.say(from, Message::text(sent)).await;
        let line = format!("{to} recv {received}");
        if !self
            .until(|seen| seen.lines.iter().any(|(_, seen)| *seen == line))
            .await
        {
            panic!("the marker `{sent}` of {from} did not arrive as `{line}`");
        }
        self.log
            .write(|seen| seen.lines.retain(|(_, seen)| *seen != line));
    }

    /// A client closes, after it saw what it is to see.
    pub(crate) async fn leave(&mut self, who: &str) {
        self.expect_gained(who).await;
        self.settle(who).await;
        let Some(mut player) = self.players.remove(who) else {
            return;
        };
        player.leaving.store(true, Ordering::Relaxed);
        let _ = soon("closing", player.sink.send(Message::Close(None))).await;
        soon("the end of a socket", &mut player.reader)
            .await
            .expect("readers do not panic");
    }

    /// Whether something did not come that should have: the test fails, and is about what, not about when.
    pub(crate) fn is_failing(&self) -> bool {
        self.patience < PATIENCE
    }

    pub(crate) fn is_open(&self, who: &str) -> bool {
        self.players.contains_key(who) && !self.log.read().ended.contains(who)
    }

    /// Clients whose sockets are open.
    pub(crate) fn open(&self) -> Vec<String> {
        let mut open: Vec<_> = self.players.keys().cloned().collect();
        open.retain(|who| self.is_open(who));
        open.sort();
        open
    }

    async fn await_line(&mut self, line: &str) {
        let due = self.due.entry(line.to_owned()).or_default();
        *due += 1;
        let due = *due;
        let came = self
            .until(|seen| seen.lines.iter().filter(|(_, seen)| seen == line).count() >= due)
            .await;
        if !came {
            self.patience = IMPATIENCE;
        }
    }

    async fn until(&mut self, is_so: impl Fn(&Seen) -> bool) -> bool {
        let (log, beating) = (self.log.clone(), self.beating.clone());
        let waiting = async {
            while !is_so(&log.read()) {
                tokio::select! {
                    () = log.changed.notified() => {}
                    () = sleep(BEAT) => {
                        if let Some(player) = beating.as_ref().and_then(|who| self.players.get_mut(who)) {
                            let _ = player.sink.send(Message::Ping(Vec::new().into())).await;
                        }
                    }
                }
            }
        };
        tokio::time::timeout(self.patience, waiting).await.is_ok()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Writes down what comes, until the socket ends.
async fn read(mut source: Source, who: String, log: Arc<Log>, leaving: Arc<AtomicBool>) {
    let mut code = None;
    loop {
        let line = match source.next().await {
            Some(Ok(Message::Text(text))) => format!("{who} recv {text}"),
            Some(Ok(Message::Binary(octets))) => {
                format!("{who} recv in a binary frame {}", octets.escape_ascii())
            }
            Some(Ok(Message::Pong(octets))) => {
                let ping = octets.as_ref().try_into().map_or(0, u64::from_be_bytes);
                log.write(|seen| {
                    let last = seen.pongs.entry(who.clone()).or_default();
                    *last = ping.max(*last);
                });
                continue;
            }
            Some(Ok(Message::Close(frame))) => {
                code = Some(frame.map_or(1005, |frame| frame.code.into()));
                continue;
            }
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => break,
        };
        log.write(|seen| seen.lines.push((who.clone(), line)));
    }
    log.write(|seen| {
        if !leaving.load(Ordering::Relaxed) {
            let line = format!("{who} close {}", code.unwrap_or(1006));
            seen.lines.push((who.clone(), line));
        }
        seen.ended.insert(who);
    });
}
