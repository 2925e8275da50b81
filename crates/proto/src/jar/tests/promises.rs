//! Promises of the jar.

use std::time::Duration;

use super::table::{START, Table, brief, caller, site};
use crate::{
    identity::Time,
    jar::{Jar, Relation, Site, State, StateError},
};

const HOUR: Duration = Duration::from_secs(3600);

fn briefs(states: &[crate::wire::cookie::CookieState]) -> Vec<String> {
    states.iter().map(brief).collect()
}

#[test]
fn http_only_is_sent_to_the_target_and_shown_to_nobody() {
    let mut table = Table::new();
    let news = table.set("/", &["sid=hush; HttpOnly", "theme=dark"]);
    assert_eq!(table.get("/"), "sid=hush; theme=dark");
    assert_eq!(briefs(&news), ["theme=dark"]);
    assert_eq!(table.visible(), ["theme=dark"]);
    let news = table.set("/", &["sid=hush2; httponly", "sid=; HttpOnly; Max-Age=0"]);
    assert_eq!(briefs(&news), [""; 0]);
}

#[test]
fn a_script_can_neither_make_nor_change_nor_remove_what_is_http_only() {
    let mut table = Table::new();
    table.set("/", &["sid=hush; HttpOnly"]);
    let listing = table.script("/", &["sid=mine", "sid=; Max-Age=0", "new=1; HttpOnly"]);
    assert_eq!(briefs(&listing.cookies), ["new gone", "sid gone"]);
    assert_eq!(table.get("/"), "sid=hush");
    table.set("/", &["theme=dark"]);
    let listing = table.script("/", &["theme=light; HttpOnly"]);
    assert_eq!(briefs(&listing.cookies), ["theme=dark"]);
}

#[test]
fn a_cookie_that_becomes_http_only_is_gone_for_scripts_and_back_when_it_is_not() {
    let mut table = Table::new();
    table.set("/", &["a=1"]);
    assert_eq!(briefs(&table.set("/", &["a=2; HttpOnly"])), ["a gone"]);
    assert_eq!(briefs(&table.set("/", &["a=3"])), ["a=3"]);
}

#[test]
fn nobody_gets_anothers_cookies() {
    let mut table = Table::new();
    table.set_for(1, Relation::Same, "/", &["a=1"]);
    table.set_for(2, Relation::Same, "/", &["a=2"]);
    assert_eq!(table.get_for(1, Relation::Same, "/"), "a=1");
    assert_eq!(table.get_for(2, Relation::Same, "/"), "a=2");
    assert_eq!(table.get_for(3, Relation::Same, "/"), "");
    assert_eq!(table.jar.list(&caller(3), START).cookies, []);
}

#[test]
fn news_are_one_state_for_each_cookie_that_changed_for_scripts() {
    let mut table = Table::new();
    assert_eq!(
        briefs(&table.set("/", &["a=1", "b=1", "a=2"])),
        ["a=2", "b=1"]
    );
    assert_eq!(
        briefs(&table.set("/", &["a=2", "b=1", "c=; Max-Age=0"])),
        [""; 0],
        "what is said once more is no news"
    );
    assert_eq!(briefs(&table.set("/", &["a=; Max-Age=0"])), ["a gone"]);
    assert_eq!(briefs(&table.set("/", &["a=; Max-Age=0"])), [""; 0]);
    let news = table.set("/x/y", &["q=1; Domain=example.com; Max-Age=60"]);
    let state = &news[0];
    assert_eq!(
        (state.path.as_str(), state.domain.as_deref()),
        ("/x", Some("example.com"))
    );
    assert_eq!(state.expires, Some(Time(START.0 + 60_000)));
}

#[test]
fn stamps_rise_with_every_change_and_across_restarts_and_lost_jars() {
    let mut table = Table::new();
    let mut last = 0;
    let mut rises = |stamp: u64| {
        assert!(stamp > last, "{stamp} after {last}");
        last = stamp;
    };
    for number in 0..5 {
        let news = table.set("/", &[&format!("a={number}")]);
        rises(news[0].stamp);
    }
    rises(table.set("/", &["a=; Max-Age=0"])[0].stamp);
    rises(table.script("/", &["a=1"]).stamp);
    table.restart_after(Duration::ZERO);
    rises(table.set("/", &["a=2"])[0].stamp);
    // The clock of the device is set back.
    table.now = Time(START.0 - 1_000_000);
    rises(table.set("/", &["a=3"])[0].stamp);
    table.now = Time(START.0 + 1_000);
    table.jar = Jar::new(site(), State::default(), table.now);
    rises(table.list().stamp);
}

#[test]
fn a_replaced_cookie_keeps_its_place() {
    let mut table = Table::new();
    table.set("/", &["a=1", "b=1"]);
    table.set("/", &["a=2"]);
    assert_eq!(table.get("/"), "a=2; b=1");
    table.script("/", &["a=3"]);
    assert_eq!(table.visible(), ["a=3", "b=1"]);
}

#[test]
fn scripts_change_in_their_order_and_get_the_state_of_all_they_named() {
    let mut table = Table::new();
    let listing = table.script(
        "/shop/list",
        &[
            "a=1",
            "a=2",
            "b=1; Path=/",
            "b=; Path=/; Max-Age=0",
            "c=1; Domain=example.org",
            "\u{1}=1",
        ],
    );
    assert_eq!(briefs(&listing.cookies), ["a=2", "b gone", "c gone"]);
    assert_eq!(listing.cookies[0].path, "/shop");
    assert!(
        listing
            .cookies
            .iter()
            .all(|cookie| cookie.stamp <= listing.stamp)
    );
    assert_eq!(table.get("/shop"), "a=2");
    assert_eq!(briefs(&table.script("/", &["\u{1}"]).cookies), [""; 0]);
}

#[test]
fn a_session_ends_when_nothing_was_heard_of_its_caller_for_a_day() {
    let mut table = Table::new();
    table.set("/", &["session=1", "lasting=1; Max-Age=1000000"]);
    table.wait(23 * HOUR);
    assert_eq!(table.get("/"), "session=1; lasting=1");
    table.wait(23 * HOUR);
    assert_eq!(table.get("/"), "session=1; lasting=1", "it was heard of");
    table.wait(24 * HOUR);
    assert_eq!(table.get("/"), "lasting=1");
}

#[test]
fn a_session_goes_on_for_as_long_as_a_connection_lives() {
    let mut table = Table::new();
    table.jar.arrived(&caller(1), table.now);
    table.jar.arrived(&caller(1), table.now);
    table.set("/", &["session=1"]);
    table.jar.left(&caller(1), table.now);
    table.wait(100 * HOUR);
    assert_eq!(table.get("/"), "session=1");
    table.wait(100 * HOUR);
    table.jar.left(&caller(1), table.now);
    table.wait(23 * HOUR);
    assert_eq!(table.get("/"), "session=1");
    table.wait(24 * HOUR);
    assert_eq!(table.get("/"), "");
}

#[test]
fn everything_is_there_after_a_restart_but_what_has_ended_meanwhile() {
    let mut table = Table::new();
    let lines = [
        "a=1; Path=/x; Domain=example.com; SameSite=Strict",
        "b=grüß \"\\; HttpOnly",
        "c=3; Max-Age=3600",
        "d",
    ];
    table.set("/x/y", &lines);
    let (sent, listed) = (table.get("/x"), table.list());
    table.restart_after(Duration::from_secs(60));
    assert_eq!(table.get("/x"), sent);
    assert_eq!(table.list().cookies, listed.cookies);
    assert_eq!(
        table.get_for(1, Relation::Followed, "/x"),
        "b=grüß \"\\; c=3; d"
    );
    table.script("/x/y", &["b=mine"]);
    assert!(table.get("/x").contains("grüß"), "still HttpOnly");
    table.restart_after(HOUR);
    assert!(!table.get("/x").contains("c=3"));
    table.restart_after(24 * HOUR);
    assert_eq!(table.get("/x"), "");
}

#[test]
fn octets_that_are_no_text_go_back_as_they_came() {
    let mut table = Table::new();
    let asked = crate::jar::Asked {
        path: "/",
        relation: Relation::Same,
    };
    let line = b"a=\xff\xfe\xe9".as_slice();
    table.jar.receive(&caller(1), &asked, [line], START);
    table.restart_after(Duration::ZERO);
    let field = table.jar.header(&caller(1), &asked, table.now);
    assert_eq!(field.as_deref(), Some(line));
}

#[test]
fn cookies_of_one_target_never_go_to_another() {
    let mut table = Table::new();
    table.set("/", &["a=1"]);
    let state = table.jar.state(START);
    let other = Site::new("http://other.example/", ["shop.example.com"], "");
    table.jar = Jar::new(other, state, START);
    assert_eq!(table.get("/"), "");
}

#[test]
fn a_damaged_file_is_told_without_a_word_of_it() {
    let mut table = Table::new();
    table.set("/", &["hush=hush"]);
    let good = table.jar.state(START).emit();
    assert!(State::parse(&good).is_ok());
    for (bad, wanted) in [
        (String::new(), None),
        (good[..good.len() / 2].to_owned(), None),
        (
            good.replace("\"version\":1", "\"version\":2"),
            Some(StateError::Version(2)),
        ),
        (
            good.replace("\"heard\":", "\"heard\":\"hush\",\"x\":"),
            None,
        ),
        (
            good.replace("\"same_site\":\"lax\"", "\"same_site\":\"hush\""),
            None,
        ),
        (good.replace("hush", "hu\\nsh"), Some(StateError::Cookie)),
        (
            good.replace("hush", "hu\u{100}sh"),
            Some(StateError::Cookie),
        ),
        (
            good.replace("\"path\":\"/\"", "\"path\":\"hush\""),
            Some(StateError::Cookie),
        ),
        (
            good.replace("\"caller\":\"", "\"caller\":\"hush"),
            Some(StateError::Cookie),
        ),
        (
            good.replace("\"stamp\":", "\"stamp\":1844674407370955161"),
            None,
        ),
    ] {
        assert_ne!(bad, good);
        let error = State::parse(&bad).expect_err(&bad);
        assert!(
            wanted.is_none_or(|wanted| wanted == error),
            "{error:?} of {bad}"
        );
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
}

#[test]
fn nothing_shows_a_value() {
    let mut table = Table::new();
    table.set("/", &["hush=hush"]);
    let set = crate::wire::cookie::SetCookie::parse(b"hush=hush");
    let shown = format!("{:?} {:?} {set:?}", table.jar, table.jar.state(START));
    assert!(
        !shown.contains("hush") && shown.contains("Cookie"),
        "{shown}"
    );
}

#[test]
fn only_what_is_new_is_to_be_stored() {
    let mut table = Table::new();
    let mut seen = table.jar.changes();
    let mut is_new =
        |table: &Table| std::mem::replace(&mut seen, table.jar.changes()) != table.jar.changes();
    assert!(!is_new(&table));
    table.set("/", &["a=1"]);
    assert!(is_new(&table));
    table.set("/", &["a=1"]);
    table.get("/");
    table.list();
    assert!(
        !is_new(&table),
        "reading changes nothing, nor does saying it again"
    );
    table.script("/", &["b=1"]);
    assert!(is_new(&table));
    table.wait(HOUR);
    table.get("/");
    assert!(is_new(&table), "the caller was heard of");
}
