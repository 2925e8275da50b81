//! A whiteboard that shows who comes late what has been drawn. See `examples/rooms/README.md`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use peerage_room_examples::{Listen, NO_ROOMS, page};
use peerage_server::hub::{Incoming, Verdict};
use serde::{Deserialize, Serialize};

/// The board's own units, whatever size it has on a screen. These four are also the page's.
const WIDTH: u16 = 1_600;
const HEIGHT: u16 = 1_200;
const COLOURS: u8 = 8;
const SIZES: u8 = 4;

/// Points of one message.
const POINTS: usize = 256;
/// Points of one picture: of more, those that were drawn first are forgotten. Ten minutes of one hand that never rests.
const KEPT: usize = 50_000;
/// Pictures: of more, the one that nobody has drawn on for the longest time is forgotten.
const BOARDS: usize = 20;

/// A board for everybody
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen } = Options::parse();
    let boards = Boards::default();
    let kept = boards.clone();
    let hub = listen
        .hub()
        // Nobody gets what is no drawing.
        .moderate(async |message| match Act::of(&message) {
            Some(_) => Verdict::Relay,
            None => Verdict::Drop,
        })
        // In the order in which the members hear it.
        .tap(move |message| {
            kept.keep(&message);
            async {}
        })
        .open()
        .await
        .context(NO_ROOMS)?;
    let own = Router::new()
        .route("/picture/{room}", get(picture))
        .with_state(boards);
    listen
        .serve(
            "Whiteboard",
            page!("whiteboard"),
            hub,
            own,
            std::future::pending(),
        )
        .await
}

/// What newcomers get: all that is on a board, what was drawn first at first.
async fn picture(State(boards): State<Boards>, Path(room): Path<String>) -> Json<Vec<Line>> {
    Json(boards.picture(&room))
}

/// What a member may say.
enum Act {
    Draw(Line),
    Clear,
    /// Where the pointer is, if it is on the board.
    Cursor,
}

impl Act {
    fn of(message: &Incoming) -> Option<Self> {
        match message.event.as_deref()? {
            "draw" => message
                .json()
                .ok()
                .filter(Line::is_on_board)
                .map(Self::Draw),
            "clear" => message.json().ok().map(|()| Self::Clear),
            "cursor" => message
                .json()
                .ok()
                .filter(|at: &Option<(u16, u16)>| at.is_none_or(|(x, y)| x <= WIDTH && y <= HEIGHT))
                .map(|_| Self::Cursor),
            _ => None,
        }
    }
}

/// A part of a line: from point to point, each two numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    colour: u8,
    size: u8,
    points: Vec<u16>,
}

impl Line {
    fn is_on_board(&self) -> bool {
        let (points, rest) = self.points.as_chunks::<2>();
        let on_board = |[x, y]: &[u16; 2]| *x <= WIDTH && *y <= HEIGHT;
        (1..=POINTS).contains(&points.len())
            && rest.is_empty()
            && points.iter().all(on_board)
            && self.colour < COLOURS
            && self.size < SIZES
    }

    /// What it counts for, with what a line costs beside its points.
    fn cost(&self) -> usize {
        self.points.len() / 2 + 4
    }
}

/// What is on the boards, by room.
#[derive(Clone, Default)]
struct Boards(Arc<Mutex<HashMap<Arc<str>, Board>>>);

#[derive(Default)]
struct Board {
    lines: VecDeque<Line>,
    cost: usize,
    /// Higher than that of all boards that were drawn on before.
    drawn: u64,
}

impl Boards {
    fn keep(&self, message: &Incoming) {
        match Act::of(message) {
            Some(Act::Draw(line)) => self.draw(&message.room, line),
            Some(Act::Clear) => drop(self.all().remove(&message.room)),
            Some(Act::Cursor) | None => {}
        }
    }

    fn draw(&self, room: &Arc<str>, line: Line) {
        let mut all = self.all();
        if !all.contains_key(room) && all.len() == BOARDS {
            let oldest = all.iter().min_by_key(|(_, board)| board.drawn);
            let oldest = oldest.map(|(room, _)| room.clone());
            all.retain(|room, _| Some(room) != oldest.as_ref());
        }
        let now = all.values().map(|board| board.drawn).max().unwrap_or(0) + 1;
        let board = all.entry(room.clone()).or_default();
        board.drawn = now;
        board.cost += line.cost();
        board.lines.push_back(line);
        while board.cost > KEPT {
            let Some(first) = board.lines.pop_front() else {
                break;
            };
            board.cost -= first.cost();
        }
    }

    fn picture(&self, room: &str) -> Vec<Line> {
        let all = self.all();
        all.get(room)
            .map(|board| board.lines.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Arc<str>, Board>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<u16>) -> Line {
        Line {
            colour: 0,
            size: 0,
            points,
        }
    }

    #[test]
    fn a_line_lies_on_the_board_and_has_a_colour_and_a_size_that_there_is() {
        assert!(line(vec![0, 0]).is_on_board());
        assert!(line([WIDTH, HEIGHT].repeat(POINTS)).is_on_board());
        assert!(!line(vec![]).is_on_board());
        assert!(!line(vec![1, 2, 3]).is_on_board());
        assert!(!line(vec![1, HEIGHT + 1]).is_on_board());
        assert!(!line([1, 1].repeat(POINTS + 1)).is_on_board());
        assert!(
            !Line {
                colour: COLOURS,
                ..line(vec![0, 0])
            }
            .is_on_board()
        );
        assert!(
            !Line {
                size: SIZES,
                ..line(vec![0, 0])
            }
            .is_on_board()
        );
    }

    #[test]
    fn a_picture_forgets_what_was_drawn_first() {
        let boards = Boards::default();
        let room: Arc<str> = "r".into();
        for x in 0..KEPT as u16 / 100 {
            boards.draw(&room, line([x, 0].repeat(POINTS)));
        }
        let picture = boards.picture("r");
        assert_eq!(picture.len(), KEPT / (POINTS + 4));
        assert_eq!(picture.last().unwrap().points[0], KEPT as u16 / 100 - 1);
    }

    #[test]
    fn of_too_many_boards_the_one_that_rests_longest_is_forgotten() {
        let boards = Boards::default();
        let room = |n: usize| -> Arc<str> { n.to_string().into() };
        for n in 0..BOARDS {
            boards.draw(&room(n), line(vec![0, 0]));
        }
        boards.draw(&room(0), line(vec![1, 1]));
        boards.draw(&room(BOARDS), line(vec![0, 0]));
        assert_eq!(boards.picture("0").len(), 2);
        assert_eq!(boards.picture("1").len(), 0);
        assert_eq!(boards.all().len(), BOARDS);
    }
}
