//! Chat in several rooms, with a history that outlives the server and a moderator. See `examples/rooms/README.md`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::extract::{Path as Named, State};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use http::StatusCode;
use peerage_room_examples::{Listen, NO_ROOMS, page};
use peerage_server::hub::{Broadcaster, Incoming, Verdict};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::json;

/// Lines that are kept, of all rooms together: the oldest go first.
const KEPT: i64 = 20_000;
/// Lines that a newcomer gets.
const SHOWN: i64 = 100;
/// Characters of a line, as the page lets through.
const LONGEST: usize = 2_000;

/// Words that nobody says here: each becomes as many stars.
const MASKED: [&str; 4] = ["blast", "darn", "dratted", "heck"];
/// Lines with these are not passed on at all.
const REFUSED: [&str; 3] = ["buy now", "casino", "free money"];

/// Chat rooms with a history
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
    /// SQLite database of what was said; made if it is missing
    #[arg(long, value_name = "FILE", default_value = "chat.sqlite3")]
    database: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen, database } = Options::parse();
    let history = History::open(&database, KEPT)
        .with_context(|| format!("cannot open the database {}", database.display()))?;

    // What speaks for the server is there once the hub is.
    let server = Arc::new(OnceLock::new());
    let (speaker, tap) = (server.clone(), history.clone());
    let hub = listen
        .hub()
        .moderate(move |message| {
            let verdict = moderate(&message, speaker.get());
            async { verdict }
        })
        .tap(move |message| {
            let history = tap.clone();
            async move {
                if let Err(error) = history.hear(message).await {
                    eprintln!("a line was not kept: {error:#}");
                }
            }
        })
        .open()
        .await
        .context(NO_ROOMS)?;
    server.get_or_init(|| hub.broadcaster());

    let own = Router::new()
        .route("/history/{room}", get(earlier))
        .with_state(history);
    listen
        .serve("Chat", page!("chat"), hub, own, std::future::pending())
        .await
}

/// Asked before a message is passed on. Whoever sent it is told what became of it.
fn moderate(message: &Incoming, server: Option<&Broadcaster>) -> Verdict {
    let said = match message.event.as_deref() {
        None => message.text(),
        Some("typing") => return Verdict::Relay,
        // Nothing that the page does not know.
        Some(_) => return Verdict::Drop,
    };
    let Some(was) = said else {
        return Verdict::Drop;
    };
    let (now, why) = match judge(&was) {
        Judgement::Good => return Verdict::Relay,
        Judgement::Masked(now) => (Some(now), "a word that nobody says here"),
        Judgement::Refused(why) => (None, why),
    };
    let told = json!({ "was": was, "now": now, "why": why });
    if let Some(server) = server {
        server.emit_to(&message.room, &message.from, "moderated", told);
    }
    now.map_or(Verdict::Drop, |now| Verdict::Replace(now.into()))
}

#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    Good,
    Masked(String),
    Refused(&'static str),
}

fn judge(line: &str) -> Judgement {
    let lower = line.to_lowercase();
    if line.chars().count() > LONGEST {
        return Judgement::Refused("too long");
    }
    if REFUSED.iter().any(|words| lower.contains(words)) {
        return Judgement::Refused("advertising");
    }
    let masked: String = line
        .split_inclusive(|c: char| !c.is_alphanumeric())
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
            if MASKED.contains(&word.to_lowercase().as_str()) {
                part.replacen(word, &"*".repeat(word.chars().count()), 1)
            } else {
                part.to_owned()
            }
        })
        .collect();
    if masked == line {
        Judgement::Good
    } else {
        Judgement::Masked(masked)
    }
}

/// What newcomers get of a room: the last lines, the oldest first.
async fn earlier(
    State(history): State<History>,
    Named(room): Named<String>,
) -> Result<Json<Vec<Line>>, StatusCode> {
    history.last_of(room).await.map(Json).map_err(|error| {
        eprintln!("the history was not read: {error:#}");
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    from: String,
    text: String,
    /// Milliseconds since 1970.
    at: i64,
}

/// What was said, in a database.
#[derive(Clone)]
struct History {
    database: Arc<Mutex<Connection>>,
    /// Lines that stay.
    kept: i64,
}

impl History {
    fn open(file: &Path, kept: i64) -> rusqlite::Result<Self> {
        let database = Connection::open(file)?;
        database.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS lines (
                 id INTEGER PRIMARY KEY, room TEXT NOT NULL, sender TEXT NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL
             );
             CREATE INDEX IF NOT EXISTS lines_of_room ON lines (room, id);",
        )?;
        let database = Arc::new(Mutex::new(database));
        Ok(Self { database, kept })
    }

    /// The tap: hears what was passed on, as it was passed on.
    async fn hear(&self, message: Incoming) -> anyhow::Result<()> {
        match (&message.event, message.text()) {
            (None, Some(text)) => self.keep(message.room, message.from, text).await,
            _ => Ok(()),
        }
    }

    async fn keep(&self, room: Arc<str>, from: Arc<str>, text: String) -> anyhow::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let at = i64::try_from(now.as_millis())?;
        let kept = self.kept;
        self.ask(move |database| {
            database.execute(
                "INSERT INTO lines (room, sender, text, at) VALUES (?, ?, ?, ?)",
                (&*room, &*from, text, at),
            )?;
            let oldest = database.last_insert_rowid() - kept;
            database.execute("DELETE FROM lines WHERE id <= ?", [oldest])
        })
        .await?;
        Ok(())
    }

    async fn last_of(&self, room: String) -> anyhow::Result<Vec<Line>> {
        self.ask(move |database| {
            let mut query = database.prepare(
                "SELECT sender, text, at FROM (SELECT * FROM lines WHERE room = ? ORDER BY id DESC LIMIT ?) ORDER BY id",
            )?;
            let lines = query.query_map((room, SHOWN), |row| {
                Ok(Line { from: row.get(0)?, text: row.get(1)?, at: row.get(2)? })
            })?;
            lines.collect()
        })
        .await
    }

    /// On a thread that may wait for the disk.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let database = self.database.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let database = database
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            ask(&database)
        });
        Ok(asked.await??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_history_is_of_one_room_the_oldest_first_and_of_all_rooms_the_last_lines() {
        let history = History::open(Path::new(":memory:"), 3).unwrap();
        for (room, text) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
            let kept = history.keep(room.into(), "ann".into(), text.to_owned());
            kept.await.unwrap();
        }
        let last = history.last_of("a".to_owned()).await.unwrap();
        let texts: Vec<&str> = last.iter().map(|line| &*line.text).collect();
        assert_eq!(texts, ["3", "4"]);
        assert_eq!(history.last_of("b".to_owned()).await.unwrap().len(), 1);
    }

    #[test]
    fn words_are_masked_as_whole_words_and_in_any_case() {
        let masked = |line: &str| Judgement::Masked(line.to_owned());
        assert_eq!(judge("What the heck?"), masked("What the ****?"));
        assert_eq!(judge("DARN, darn it"), masked("****, **** it"));
        assert_eq!(judge("sandblasted checks"), Judgement::Good);
    }

    #[test]
    fn advertising_and_what_is_too_long_is_refused() {
        assert_eq!(judge("FREE money!"), Judgement::Refused("advertising"));
        assert_eq!(judge(&"é".repeat(2_000)), Judgement::Good);
        assert_eq!(judge(&"é".repeat(2_001)), Judgement::Refused("too long"));
    }
}
