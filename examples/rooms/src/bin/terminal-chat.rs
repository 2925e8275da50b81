//! Terminal chat: whoever started it talks from the terminal with those who have the page open. See `examples/rooms/README.md`.

use std::io::{self, Write};

use anyhow::Context;
use clap::Parser;
use peerage_room_examples::{Listen, NO_ROOMS, page};
use peerage_server::hub::{Broadcaster, Hub, Incoming, Presence};
use tokio::sync::mpsc;

/// The room that the page joins.
const ROOM: &str = "terminal";

/// Talk from this terminal with everybody who has the page open. `/who` lists them, `/kick NAME` shows one out, the end of input (ctrl-D) ends it
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen } = Options::parse();
    let hub = listen
        .hub()
        .on_joined(async |who| note(&who, "came in"))
        .on_left(async |who, _| note(&who, "left"))
        .on("message", async |message: Incoming| print_message(&message))
        .open()
        .await
        .context(NO_ROOMS)?;
    let operator = operate(hub.clone());
    let own = axum::Router::new();
    listen
        .serve("Terminal chat", page!("terminal-chat"), hub, own, operator)
        .await
}

/// Told for a command that is none, so that a slip is not said to everybody.
const COMMANDS: &str = "/who, /kick NAME; ctrl-D ends. Other lines are said to everybody";

/// What the operator types, until the input ends.
async fn operate(hub: Hub) {
    let (typed, mut lines) = mpsc::channel(1);
    // A terminal can only be waited for by a thread; the process does not wait for it.
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if typed.blocking_send(line).is_err() {
                break;
            }
        }
    });
    let operator = hub.broadcaster();
    while let Some(line) = lines.recv().await {
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("", _) => {}
            ("/who", _) => {
                for member in hub.room_peers(ROOM) {
                    print(&format!(
                        "{}{}",
                        member.id,
                        if member.is_host { " (host)" } else { "" }
                    ));
                }
            }
            ("/kick", name) => {
                if !hub.kick(ROOM, name.trim()) {
                    print(&format!("{} is not here", name.trim()));
                }
            }
            (command, _) if command.starts_with('/') => print(COMMANDS),
            _ => say(&operator, line.trim()),
        }
    }
}

fn say(operator: &Broadcaster, line: &str) {
    let heard = operator.room(ROOM, serde_json::Value::from(line));
    if heard == 0 {
        print("nobody is here to hear that");
    }
}

fn note(who: &Presence, what: &str) {
    if &*who.room == ROOM {
        print(&format!("# {} {what}", who.name));
    }
}

fn print_message(message: &Incoming) {
    // What pages say has no other place where it is shown.
    if let Some(text) = message.text().filter(|_| &*message.room == ROOM) {
        print(&format!("{}: {text}", message.from));
    }
}

/// One line. What strangers send must not move the cursor, change colours or look like several lines.
fn print(line: &str) {
    let line: String = line.chars().flat_map(shown).collect();
    // A terminal that is gone is no reason to throw members out.
    let _ = writeln!(io::stdout(), "{line}");
}

/// As it may be printed: control characters, and those that turn the direction of what follows, by their number.
fn shown(character: char) -> Vec<char> {
    match character {
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            character.escape_unicode().collect()
        }
        control if control.is_control() => control.escape_unicode().collect(),
        other => vec![other],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_one_line_without_commands_to_the_terminal() {
        let shown: String = "a\u{1b}[2J\r\nb\u{9b}\u{202e}é👋"
            .chars()
            .flat_map(shown)
            .collect();
        assert_eq!(shown, "a\\u{1b}[2J\\u{d}\\u{a}b\\u{9b}\\u{202e}é👋");
    }
}
