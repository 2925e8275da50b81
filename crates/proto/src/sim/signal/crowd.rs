//! What the clients do, each for itself.

use std::time::Duration;

use super::Bug;
use super::book::Said;
use super::client::{Kin, noise};
use super::world::{Down, Event, Phase, SLOWEST, Socket, Up, World};
use crate::signal::{ConnId, Departure};
use crate::wire::id::PeerId;

impl World {
    pub(super) fn act(&mut self, number: usize) {
        let (kin, conn, open, wants) = {
            let client = &self.clients[number];
            (client.kin, client.conn, client.open, client.wants)
        };
        if self.phase == Phase::End || self.phase == Phase::Calm && !wants {
            return;
        }
        let pace = if self.phase == Phase::Calm {
            6_000
        } else {
            3_000
        };
        self.later(pace, Event::Act(number));
        match conn {
            None if wants => {
                let gives_up = self.bug == Some(Bug::NoSecondTry) && self.life > 0;
                if self.now >= self.down_until && !gives_up {
                    self.connect(number);
                }
            }
            None => self.clients[number].wants = self.rng.one_in(3),
            Some(conn) if open => self.do_something(number, kin, conn),
            Some(_) => {}
        }
    }

    fn do_something(&mut self, number: usize, kin: Kin, conn: ConnId) {
        if kin == Kin::Mute {
            return;
        }
        if self.phase == Phase::Calm {
            return self.say_to(number, conn);
        }
        match (self.rng.pick(0..28), kin) {
            (0..12, Kin::Flooder) => {
                for _ in 0..self.rng.size(30) {
                    self.say_to(number, conn);
                }
            }
            (0..12, Kin::Noisy) => {
                let dst = self.anyone();
                let text = noise(dst.as_str(), &mut self.rng);
                self.send_up(conn, Up::Said(Said::Nothing, text));
            }
            (0..17, _) => {
                for _ in 0..self.rng.pick(1..4) {
                    self.say_to(number, conn);
                }
            }
            (17..21, Kin::Stock) => self.say_to(number, conn),
            (17..21, _) => {
                let of = self.someone();
                for _ in 0..self.rng.pick(1..4) {
                    if self.rng.one_in(3) {
                        self.say(
                            conn,
                            "UNSUBSCRIBE",
                            Some(&of),
                            Said::Unsubscribe(of.clone()),
                        );
                    } else {
                        self.say(conn, "SUBSCRIBE", Some(&of), Said::Subscribe(of.clone()));
                    }
                }
            }
            // A page is loaded again, or closed for a while.
            (21 | 22, _) => {
                self.leave(number);
                self.send_up(conn, Up::Gone(Departure::Clean));
                if kin == Kin::Stock {
                    self.clients[number].reload();
                } else if self.rng.one_in(2) {
                    self.connect(number);
                } else {
                    self.clients[number].wants = self.rng.one_in(2);
                }
            }
            (23 | 24, _) => {
                if kin == Kin::Device && self.rng.one_in(2) {
                    self.clients[number].reload();
                }
                self.cut(conn);
            }
            // Another network, and the old socket is forgotten, or still says something.
            (25, _) => {
                if self.rng.one_in(2) {
                    self.cut(conn);
                } else {
                    for _ in 0..3 {
                        self.say_to(number, conn);
                    }
                }
                if let Some(socket) = self.sockets.get_mut(&conn) {
                    socket.abandoned = true;
                }
                self.leave(number);
                self.connect(number);
            }
            (26, _) => {
                self.say(conn, "LEAVE", None, Said::LeaveAll);
                self.say_to(number, conn);
                self.leave(number);
                let gone = Up::Gone(Departure::Clean);
                let at = self.now + Duration::from_millis(SLOWEST + self.rng.size(8_000));
                self.at(at, Event::Up(conn, gone));
            }
            _ => self.send_up(conn, Up::Ping),
        }
    }

    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        (client.conn, client.open) = (None, false);
    }

    fn connect(&mut self, number: usize) {
        let conn = ConnId(self.sockets.len() as u64);
        let client = &mut self.clients[number];
        let ask = client.ask(&self.ids, &mut self.rng);
        (client.conn, client.open) = (Some(conn), false);
        self.sockets.insert(
            conn,
            Socket {
                client: number,
                shard: self.book.shard_of(&ask.id),
                life: self.life,
                up: self.now,
                down: self.now,
                slow: [0, 50, 300, SLOWEST][self.rng.pick(0..4) as usize],
                cut: false,
                abandoned: false,
                known: false,
            },
        );
        self.send_up(conn, Up::Hello(Box::new(ask)));
        self.beat(number, conn);
    }

    /// Every half of the time, as whoever wants to stay.
    pub(super) fn beat(&mut self, number: usize, conn: ConnId) {
        if self.clients[number].conn != Some(conn) || self.clients[number].kin == Kin::Mute {
            return;
        }
        if self.rng.one_in(2) {
            self.say(conn, "HEARTBEAT", None, Said::Nothing);
        } else {
            self.send_up(conn, Up::Ping);
        }
        let next = self.now + self.config.alive_for / 2;
        self.at(next, Event::Beat(number, conn));
    }

    pub(super) fn comes_down(&mut self, conn: ConnId, down: &Down) {
        let Some(socket) = self.sockets.get(&conn) else {
            return;
        };
        let client = &mut self.clients[socket.client];
        if client.conn != Some(conn) {
            return;
        }
        match down {
            Down::Opened => client.open = !socket.cut,
            Down::Closed => (client.conn, client.open) = (None, false),
        }
    }

    /// The network gives up a socket. Each side notices when it does, and the server perhaps never.
    pub(super) fn cut(&mut self, conn: ConnId) {
        if let Some(socket) = self.sockets.get_mut(&conn) {
            socket.cut = true;
        }
        self.later(5_000, Event::Down(conn, Down::Closed));
        if !self.rng.one_in(4) {
            self.later(5_000, Event::Up(conn, Up::Gone(Departure::Lost)));
        }
    }

    fn say_to(&mut self, number: usize, conn: ConnId) {
        self.said += 1;
        let dst = self.anyone();
        let (said, text) = self.clients[number].message(dst, self.said, &mut self.rng);
        self.send_up(conn, Up::Said(said, text));
    }

    fn say(&mut self, conn: ConnId, kind: &str, dst: Option<&PeerId>, said: Said) {
        let dst = dst.map_or(String::new(), |dst| {
            format!(r#","dst":{}"#, serde_json::Value::from(dst.as_str()))
        });
        let text = format!(r#"{{"type":"{kind}"{dst}}}"#).into_bytes();
        self.send_up(conn, Up::Said(said, text));
    }

    /// One of whom many want to hear, or anyone.
    fn someone(&mut self) -> PeerId {
        let known = self.rng.pick(0..4) as usize;
        match self.ids.get(known).map(|id| PeerId::parse(id)) {
            Some(Ok(id)) if self.rng.one_in(2) => id,
            _ => self.anyone(),
        }
    }

    /// One of the clients, or somebody who never comes.
    fn anyone(&mut self) -> PeerId {
        let ghosts = 4;
        let choice = self.rng.pick(0..self.ids.len() as u64 + ghosts) as usize;
        let id = self.ids.get(choice).cloned();
        PeerId::parse(&id.unwrap_or_else(|| format!("ghost{choice}"))).unwrap()
    }
}
