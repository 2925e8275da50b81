//! `peerage chat --room`: terminals in a room of a `peerage serve`.

use crate::run::{Place, Running, code, free_port, run, stderr};

/// A server with rooms, and where it is.
fn serve(place: &Place, more: &[&str]) -> (Running, String) {
    let state = place.text("server");
    let args = [
        "serve",
        "--port",
        "0",
        "--no-turn",
        "--json",
        "--state",
        &state,
    ];
    let mut server = Running::start(&[&args, more].concat());
    let ready: serde_json::Value = serde_json::from_str(&server.line("listening")).unwrap();
    let url = ready["url"].as_str().unwrap().to_owned();
    (server, url)
}

fn chat(server: &str, name: &str, more: &[&str]) -> Running {
    let args = [
        "chat", "--room", "lobby", "--server", server, "--name", name,
    ];
    Running::listening(&[&args, more].concat())
}

fn event(member: &mut Running, part: &str) -> serde_json::Value {
    serde_json::from_str(&member.line(part)).unwrap()
}

#[test]
fn terminals_in_a_room_hear_each_other_and_who_comes_and_goes() {
    let place = Place::new();
    let (_server, url) = serve(&place, &[]);
    let mut ann = chat(&url, "ann", &["--json"]);
    let ready = event(&mut ann, "\"ready\"");
    assert_eq!(
        (&ready["id"], &ready["host"]),
        (&"ann".into(), &"ann".into())
    );
    let mut bob = chat(&url, "bob", &[]);
    bob.warning("in room lobby as bob, with ann");
    assert_eq!(event(&mut ann, "\"joined\"")["id"], "bob");
    bob.say("hello");
    let heard = event(&mut ann, "\"message\"");
    assert_eq!(
        (&heard["from"], &heard["value"]),
        (&"bob".into(), &"hello".into())
    );
    ann.say("hi \u{1b}[2Jbob");
    assert_eq!(bob.line("ann: "), "ann: hi \\u{1b}[2Jbob\n");
    ann.interrupt();
    assert!(ann.end().success());
    bob.warning("ann has left");
    bob.warning("you are the host");
    bob.say_no_more();
    assert!(bob.end().success());
}

#[test]
fn everything_that_a_pipe_brings_is_said_before_the_end() {
    let place = Place::new();
    let (_server, url) = serve(&place, &[]);
    let mut ann = chat(&url, "ann", &[]);
    ann.warning("in room lobby");
    let mut bob = chat(&url, "bob", &[]);
    for number in 0..200 {
        bob.say(&format!("line {number}"));
    }
    bob.say_no_more();
    assert!(bob.end().success());
    for number in 0..200 {
        assert_eq!(ann.line("line"), format!("bob: line {number}\n"));
    }
    ann.warning("bob has left");
}

#[test]
fn why_there_is_no_room_is_said_with_what_to_do() {
    let place = Place::new();
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let nobody = run(&["chat", "--room", "lobby", "--server", &nowhere]);
    assert_eq!(code(&nobody), 7, "{}", stderr(&nobody));
    assert!(stderr(&nobody).contains("is `peerage serve` running"));
    let (_without, url) = serve(&place, &["--no-rooms"]);
    let none = run(&["chat", "--room", "lobby", "--server", &url]);
    assert_eq!(code(&none), 6, "{}", stderr(&none));
    assert!(stderr(&none).contains("--no-rooms"));
    let both = run(&["chat", "--room", "lobby", "somebody"]);
    assert_eq!(code(&both), 2);
    let bad = run(&["chat", "--room", "", "--server", &url]);
    assert_eq!(code(&bad), 2, "{}", stderr(&bad));

    let place = Place::new();
    let (mut server, url) = serve(&place, &[]);
    let mut ann = chat(&url, "ann", &[]);
    ann.warning("in room lobby");
    let taken = run(&["chat", "--room", "lobby", "--server", &url, "--name", "ann"]);
    assert_eq!(code(&taken), 6, "{}", stderr(&taken));
    assert!(stderr(&taken).contains("--name"));
    server.terminate();
    ann.warning("the connection is lost");
    server.end();
    ann.interrupt();
    assert!(ann.end().success());
}

#[test]
fn who_wants_relays_alone_is_not_led_into_a_room_directly() {
    for more in [&["--relay-only"][..], &["--ice-server", "stun:127.0.0.1:1"]] {
        let output = run(&[&["chat", "--room", "lobby"], more].concat());
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("without relays"));
    }
}
