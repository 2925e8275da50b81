//! Cookies that a device keeps for its visitors.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
};

use crate::run::{Exposed, Place, code, stderr, stdout};

/// A web app that sets a cookie with every answer, and answers with the `cookie` field that it got.
fn app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && stream.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let cookie = head.lines().find_map(|line| line.strip_prefix("cookie: "));
            let body = cookie.unwrap_or("nothing");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nset-cookie: sid=hush4711; HttpOnly\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.get_mut().write_all(answer.as_bytes());
        }
    });
    url
}

/// What the app got from this caller.
fn sent(place: &Place, caller: &str, device: &Exposed) -> String {
    let output = place.fetch_as(caller, &[&device.link, "-H", "peerage-cookies: jar"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[test]
fn cookies_outlive_the_command_and_are_each_visitors_own() {
    let place = Place::new();
    let app = app();
    let mut device = place.expose(&app, "device", &[]);
    assert_eq!(sent(&place, "ann", &device), "nothing");
    assert_eq!(sent(&place, "ann", &device), "sid=hush4711");
    device.process.interrupt();
    assert!(device.process.end().success());
    let device = place.expose(&app, "device", &[]);
    assert_eq!(sent(&place, "ann", &device), "sid=hush4711");
    assert_eq!(sent(&place, "bob", &device), "nothing");
}

#[test]
fn cookies_are_in_a_file_of_their_owners_and_in_no_log() {
    let place = Place::new();
    let mut device = place.expose(&app(), "device", &["-vvv"]);
    sent(&place, "ann", &device);
    sent(&place, "ann", &device);
    device.process.interrupt();
    device.process.end();
    let path = place.path("device/cookies.json");
    assert!(fs::read_to_string(&path).unwrap().contains("hush4711"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let log = device.process.complaint();
    assert!(!log.is_empty() && !log.contains("hush"), "{log}");
}

#[test]
fn a_damaged_file_of_cookies_is_a_warning_and_an_empty_jar() {
    let place = Place::new();
    let app = app();
    let path = place.path("device/cookies.json");
    for damaged in ["", "{\"version\":1,\"target\":\"hush\"", "{\"version\":2}"] {
        fs::create_dir_all(place.path("device")).unwrap();
        fs::write(&path, damaged).unwrap();
        let mut device = place.expose(&app, "device", &[]);
        let warning = device.process.warning("log in again");
        assert!(
            warning.contains("cookies.json") && !warning.contains("hush"),
            "{warning}"
        );
        assert_eq!(sent(&place, "ann", &device), "nothing");
        assert_eq!(sent(&place, "ann", &device), "sid=hush4711");
    }
}

#[test]
fn cookies_of_one_target_do_not_go_to_the_next() {
    let place = Place::new();
    let mut device = place.expose(&app(), "device", &[]);
    sent(&place, "ann", &device);
    device.process.interrupt();
    device.process.end();
    let device = place.expose(&app(), "device", &[]);
    assert_eq!(sent(&place, "ann", &device), "nothing");
}
