//! What targets and scripts say about cookies, and what may stand in the file of a jar.

use peerage_proto::identity::{DeviceId, Time};
use peerage_proto::jar::{Asked, Jar, MAX_COOKIES, Relation, Site, State};
use peerage_proto::wire::cookie::{Changes, CookieState, announce};

use crate::script::Script;

/// Answers, scripts and requests of two callers, in any order, with restarts. A third, of whom nothing was heard, has no cookies.
pub fn cookies(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = Time(1_900_000_000_000);
    let site = Site::new("target", ["shop.example.com", "device.localhost"], "/base");
    let mut jar = Jar::new(site.clone(), State::default(), now);
    let callers = [1, 2, 3].map(|number| DeviceId::from_digest(&[number; 32]));
    while !script.is_empty() {
        let step = script.u8();
        let caller = &callers[usize::from(step >> 7)];
        let path = ["/", "/a", "/a/b", "/a/b/", "/base/a"][usize::from(step >> 4 & 7) % 5];
        let relation = [Relation::Same, Relation::Followed, Relation::Foreign];
        let asked = Asked {
            path,
            relation: relation[usize::from(step >> 4 & 7) % 3],
        };
        match step % 8 {
            0..=2 => {
                let line = script.long();
                let news = jar.receive(caller, &asked, [line], now);
                assert!(announce(&news).len() <= 32);
                check(&news);
            }
            3 => {
                if let Ok(changes) = Changes::parse(script.long()) {
                    check(&jar.script(caller, &changes, now).cookies);
                }
            }
            4 => {
                if let Some(field) = jar.header(caller, &asked, now) {
                    let may = |octet: &u8| !octet.is_ascii_control() || *octet == b'\t';
                    assert!(field.iter().all(may), "what is sent is a field");
                }
            }
            5 => {
                let listing = jar.list(caller, now);
                assert!(listing.cookies.len() <= MAX_COOKIES);
                check(&listing.cookies);
            }
            6 => now = Time(now.0 + u64::from(script.u16()) * 100_000),
            _ => {
                let restarted = |jar: &Jar| {
                    let kept = jar.state(now).emit();
                    let state = State::parse(&kept).expect("what was written is read");
                    Jar::new(site.clone(), state, now)
                };
                // What has ended meanwhile goes at the first time.
                jar = restarted(&jar);
                let kept = jar.state(now).emit();
                assert_eq!(restarted(&jar).state(now).emit(), kept);
            }
        }
        assert_eq!(jar.header(&callers[2], &asked, now), None);
    }
}

/// The file of a jar.
pub fn cookies_file(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    let Ok(state) = State::parse(text) else {
        return;
    };
    assert_eq!(
        State::parse(&state.emit()).map(|state| state.emit()),
        Ok(state.emit())
    );
    let now = Time(1_900_000_000_000);
    let site = Site::new("target", ["shop.example.com"], "");
    let mut jar = Jar::new(site, state, now);
    let caller = DeviceId::from_digest(&[1; 32]);
    let asked = Asked {
        path: "/a/b",
        relation: Relation::Same,
    };
    jar.receive(&caller, &asked, [&b"a=1"[..]], now);
    let sent = jar.header(&caller, &asked, now).unwrap_or_default();
    assert!(sent.windows(3).any(|part| part == b"a=1"));
    State::parse(&jar.state(now).emit()).expect("what was written is read");
}

fn check(news: &[CookieState]) {
    for state in news {
        assert!(CookieState::parse(&state.emit()).as_ref() == Some(state));
    }
}
