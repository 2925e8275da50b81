//! Whatever targets and scripts say: nothing grows without bound, and nobody sees what is not theirs.

use std::time::Duration;

use proptest::prelude::*;

use super::table::{START, Table, brief, caller};
use crate::{
    identity::DeviceId,
    jar::{Asked, Jar, MAX_ALL_OCTETS, MAX_CALLERS, MAX_COOKIES, MAX_OCTETS, Relation, State},
    wire::cookie::CookieState,
};

impl Table {
    /// Holds at any time.
    fn check_bounds(&self) {
        assert!(self.jar.shelves.len() <= MAX_CALLERS);
        let mut all = 0;
        for shelf in self.jar.shelves.values() {
            assert!(shelf.cookies().len() <= MAX_COOKIES);
            let octets: usize = shelf
                .cookies()
                .iter()
                .map(super::super::Cookie::octets)
                .sum();
            assert_eq!(shelf.octets(), octets);
            assert!(octets <= MAX_OCTETS);
            all += octets;
        }
        assert!(all <= MAX_ALL_OCTETS);
    }
}

#[test]
fn the_181st_cookie_takes_the_place_of_the_one_that_was_not_used_for_longest() {
    let mut table = Table::new();
    for number in 0..MAX_COOKIES {
        table.set("/", &[&format!("a{number}=1; Path=/{number}")]);
        table.wait(Duration::from_millis(1));
    }
    assert_eq!(table.get("/0"), "a0=1");
    let news = table.set("/", &["b=1"]);
    assert_eq!(
        news.iter().map(brief).collect::<Vec<_>>(),
        ["a1 gone", "b=1"]
    );
    assert_eq!(table.get("/0"), "a0=1; b=1");
    assert_eq!(table.get("/1"), "b=1");
    table.check_bounds();
}

#[test]
fn what_goes_is_no_news_if_scripts_could_not_read_it() {
    let mut table = Table::new();
    table.set("/", &["hidden=1; HttpOnly"]);
    table.wait(Duration::from_millis(1));
    for number in 1..MAX_COOKIES {
        table.set("/", &[&format!("a{number}=1")]);
    }
    let news = table.set("/", &["b=1"]);
    assert_eq!(news.iter().map(brief).collect::<Vec<_>>(), ["b=1"]);
    assert!(!table.get("/").contains("hidden"));
}

#[test]
fn expired_cookies_go_before_any_that_lives() {
    let mut table = Table::new();
    table.set("/", &["old=1"]);
    table.wait(Duration::from_millis(1));
    for number in 1..MAX_COOKIES {
        table.set("/", &[&format!("a{number}=1; Max-Age=1")]);
    }
    table.wait(Duration::from_secs(1));
    table.set("/", &["new=1"]);
    assert_eq!(table.get("/"), "old=1; new=1");
}

#[test]
fn many_large_cookies_are_kept_below_the_octets_of_a_caller() {
    let mut table = Table::new();
    for number in 0..100 {
        table.set("/", &[&format!("a{number}={}", "v".repeat(4000))]);
        table.check_bounds();
    }
    let kept = table.list().cookies.len();
    assert!((50..70).contains(&kept), "{kept}");
    assert!(table.get("/").contains("a99="), "the newest is there");
}

/// More callers than numbers of one octet.
fn one_of_many(number: u16) -> DeviceId {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    DeviceId::from_digest(&digest)
}

#[test]
fn nobody_who_is_connected_is_logged_out_by_the_number_of_others() {
    let mut table = Table::new();
    let asked = Asked {
        path: "/",
        relation: Relation::Same,
    };
    let line = b"a=1".as_slice();
    table.jar.arrived(&one_of_many(0), table.now);
    for number in 0..600 {
        table
            .jar
            .receive(&one_of_many(number), &asked, [line], table.now);
        table.wait(Duration::from_millis(1));
    }
    table.check_bounds();
    let mut has = |number| {
        table
            .jar
            .header(&one_of_many(number), &asked, table.now)
            .is_some()
    };
    assert!(has(0) && !has(1) && has(599));
}

#[test]
fn the_257th_caller_takes_the_place_of_who_was_not_heard_of_for_longest() {
    let mut table = Table::new();
    let asked = Asked {
        path: "/",
        relation: Relation::Same,
    };
    let line = b"a=1".as_slice();
    for number in 0..256 {
        table.wait(Duration::from_millis(1));
        table
            .jar
            .receive(&one_of_many(number), &asked, [line], table.now);
    }
    table.wait(Duration::from_millis(1));
    table.jar.list(&one_of_many(0), table.now);
    table
        .jar
        .receive(&one_of_many(256), &asked, [line], table.now);
    table.check_bounds();
    let mut has = |number| {
        table
            .jar
            .header(&one_of_many(number), &asked, table.now)
            .is_some()
    };
    assert!(has(0) && !has(1) && has(2) && has(256));
}

#[test]
fn all_callers_together_stay_below_the_octets_of_a_jar() {
    let mut table = Table::new();
    let lines: Vec<Vec<u8>> = (0..60)
        .map(|number| format!("a{number}={}", "v".repeat(4000)).into_bytes())
        .collect();
    let asked = Asked {
        path: "/",
        relation: Relation::Same,
    };
    for number in 0..40 {
        let lines = lines.iter().map(Vec::as_slice);
        table
            .jar
            .receive(&one_of_many(number), &asked, lines, table.now);
        table.check_bounds();
    }
    let kept = table.jar.shelves.len();
    assert!((25..40).contains(&kept), "{kept}");
    assert!(
        table
            .jar
            .header(&one_of_many(39), &asked, table.now)
            .is_some()
    );
    // What is written then is what the command reads: less than 32 MiB.
    assert!(table.jar.state(table.now).emit().len() < 2 * MAX_ALL_OCTETS);
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, String, u16, String),
    Script(u8, String, u16, String),
    Get(u8, String),
    List(u8),
    Arrive(u8),
    Wait(u32),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0u8..4;
    let name = || "[a-c]{0,2}";
    let path =
        || prop_oneof![Just("/"), Just("/x"), Just("/x/y"), Just("/z/")].prop_map(str::to_owned);
    let size = || prop_oneof![4 => 0u16..20, 1 => 3000u16..4100];
    let attributes = || {
        let one = prop_oneof![
            Just("; HttpOnly"),
            Just("; Max-Age=0"),
            Just("; Max-Age=5"),
            Just("; Path=/"),
            Just("; Path=/x"),
            Just("; Domain=example.com"),
            Just("; Domain=example.org"),
            Just("; SameSite=Strict"),
            Just("; Secure"),
        ];
        proptest::collection::vec(one, 0..4).prop_map(|some| some.concat())
    };
    prop_oneof![
        6 => (who(), name(), size(), attributes()).prop_map(|(w, n, s, a)| Step::Set(w, n, s, a)),
        3 => (who(), name(), size(), attributes()).prop_map(|(w, n, s, a)| Step::Script(w, n, s, a)),
        3 => (who(), path()).prop_map(|(w, p)| Step::Get(w, p)),
        2 => who().prop_map(Step::List),
        1 => who().prop_map(Step::Arrive),
        1 => (0u32..200_000_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// Values say whose they are, and whether they are hidden from scripts.
fn value(who: u8, hidden: bool, size: u16) -> String {
    let sign = if hidden { "hidden" } else { "shown" };
    format!("[{who}-{sign}]{}", "v".repeat(size.into()))
}

fn check_shown(who: u8, states: &[CookieState]) {
    for value in states.iter().filter_map(|state| state.value.as_ref()) {
        assert!(value.starts_with(&format!("[{who}-shown]")), "{value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_bounds_hold_and_nobody_sees_what_is_not_theirs(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut table = Table::new();
        for step in steps {
            match step {
                Step::Set(who, name, size, attributes) => {
                    let hidden = attributes.contains("HttpOnly");
                    let line = format!("{name}={}{attributes}", value(who, hidden, size));
                    let news = table.set_for(who, Relation::Same, "/x/y", &[&line]);
                    check_shown(who, &news);
                }
                Step::Script(who, name, size, attributes) => {
                    let text = format!("{name}={}{attributes}", value(who, false, size));
                    let changes = crate::wire::cookie::Changes {
                        changes: vec![crate::wire::cookie::Change { path: "/x/y".to_owned(), cookie: text }],
                    };
                    let listing = table.jar.script(&caller(who), &changes, table.now);
                    check_shown(who, &listing.cookies);
                }
                Step::Get(who, path) => {
                    let sent = table.get_for(who, Relation::Same, &path);
                    let own = sent.matches(&format!("[{who}-")).count();
                    prop_assert_eq!(sent.matches('[').count(), own, "{}", sent);
                }
                Step::List(who) => check_shown(who, &table.jar.list(&caller(who), table.now).cookies),
                Step::Arrive(who) => table.jar.arrived(&caller(who), table.now),
                Step::Wait(millis) => table.wait(Duration::from_millis(millis.into())),
                Step::Restart => table.restart_after(Duration::ZERO),
            }
            table.check_bounds();
        }
    }

    #[test]
    fn no_line_and_no_file_panics(line: Vec<u8>, file: String, path in "/[ -~]{0,20}") {
        let mut table = Table::new();
        let asked = Asked { path: &path, relation: Relation::Same };
        table.jar.receive(&caller(1), &asked, [line.as_slice()], START);
        if let Some(field) = table.jar.header(&caller(1), &asked, START) {
            prop_assert!(field.iter().all(|octet| !octet.is_ascii_control() || *octet == b'\t'));
        }
        if let Ok(state) = State::parse(&file) {
            Jar::new(super::table::site(), state, START);
        }
    }
}
