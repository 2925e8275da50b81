//! A jar with one clock, and callers who ask and set.

use std::time::Duration;

use crate::{
    identity::Time,
    jar::{Asked, Caller, Jar, Relation, Site, State},
    wire::cookie::{Change, Changes, CookieState, Listing},
};

pub(super) const START: Time = Time(1_900_000_000_000);

pub(super) struct Table {
    pub(super) jar: Jar,
    pub(super) now: Time,
}

pub(super) fn site() -> Site {
    Site::new(
        "http://shop.example.com/",
        ["shop.example.com", "device.localhost"],
        "",
    )
}

/// A caller by its number.
pub(super) fn caller(number: u8) -> Caller {
    Caller::from_digest(&[number; 32])
}

impl Table {
    pub(super) fn new() -> Self {
        Self::of(site())
    }

    pub(super) fn of(site: Site) -> Self {
        Self {
            jar: Jar::new(site, State::default(), START),
            now: START,
        }
    }

    pub(super) fn wait(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    /// The first caller gets an answer from `path` with these lines.
    pub(super) fn set(&mut self, path: &str, lines: &[&str]) -> Vec<CookieState> {
        self.set_for(1, Relation::Same, path, lines)
    }

    pub(super) fn set_for(
        &mut self,
        number: u8,
        relation: Relation,
        path: &str,
        lines: &[&str],
    ) -> Vec<CookieState> {
        let lines = lines.iter().map(|line| line.as_bytes());
        let asked = Asked { path, relation };
        self.jar.receive(&caller(number), &asked, lines, self.now)
    }

    /// What goes along with the first caller's request.
    pub(super) fn get(&mut self, path: &str) -> String {
        self.get_for(1, Relation::Same, path)
    }

    pub(super) fn get_for(&mut self, number: u8, relation: Relation, path: &str) -> String {
        let asked = Asked { path, relation };
        let field = self.jar.header(&caller(number), &asked, self.now);
        String::from_utf8(field.unwrap_or_default()).expect("text")
    }

    pub(super) fn list(&mut self) -> Listing {
        self.jar.list(&caller(1), self.now)
    }

    /// `name=value` of what scripts may read.
    pub(super) fn visible(&mut self) -> Vec<String> {
        let mut cookies = self.list().cookies;
        cookies.sort_by_key(|cookie| cookie.created);
        cookies.iter().map(brief).collect()
    }

    /// The first caller's document at `path` says `document.cookie = …`, once for each.
    pub(super) fn script(&mut self, path: &str, cookies: &[&str]) -> Listing {
        let change = |cookie: &&str| Change {
            path: path.to_owned(),
            cookie: (*cookie).to_owned(),
        };
        let changes = Changes {
            changes: cookies.iter().map(change).collect(),
        };
        self.jar.script(&caller(1), &changes, self.now)
    }

    /// The device stops, and starts again some time later.
    pub(super) fn restart_after(&mut self, span: Duration) {
        let kept = self.jar.state(self.now).emit();
        self.wait(span);
        let state = State::parse(&kept).expect("what was written is read");
        self.jar = Jar::new(site(), state, self.now);
    }
}

/// `name=value`, or `name gone`.
pub(super) fn brief(state: &CookieState) -> String {
    match &state.value {
        Some(value) => format!("{}={value}", state.name),
        None => format!("{} gone", state.name),
    }
}
