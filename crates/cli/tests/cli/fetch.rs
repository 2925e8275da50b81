//! `peerage fetch`

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
};

use crate::run::{Place, code, exists, free_port, stderr, stdout};

/// A web app that answers each request with its head and body as it saw them.
fn mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && stream.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut body).is_err() {
                continue;
            }
            let body = [head.as_bytes(), &body].concat();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-mirror: yes\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream
                .get_mut()
                .write_all(&[answer.as_bytes(), &body].concat());
        }
    });
    url
}

#[test]
fn a_first_visit_needs_the_whole_link_and_later_ones_the_address_alone() {
    let place = Place::new();
    let device = place.site();
    let stranger = place.fetch(&[device.address()]);
    assert_eq!(code(&stranger), 6, "{}", stderr(&stranger));
    assert!(
        stderr(&stranger).contains("use the whole link"),
        "{}",
        stderr(&stranger)
    );
    assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
    assert_eq!(stdout(&place.fetch(&[device.address()])), "<h1>home</h1>\n");
    assert_eq!(code(&place.fetch_as("another", &[device.address()])), 6);
}

#[test]
fn a_visitor_is_still_known_after_the_device_was_started_again() {
    let place = Place::new();
    let mut device = place.site();
    assert_eq!(code(&place.fetch(&[&device.link])), 0);
    device.process.interrupt();
    device.process.end();
    let device = place.site();
    assert_eq!(stdout(&place.fetch(&[device.address()])), "<h1>home</h1>\n");
}

#[test]
fn the_link_may_carry_the_path() {
    let place = Place::new();
    fs::write(place.path("site/a b.txt"), "odd name").unwrap();
    let device = place.site();
    assert_eq!(
        stdout(&place.fetch(&[&format!("{}/a%20b.txt", device.link)])),
        "odd name"
    );
    assert_eq!(
        stdout(&place.fetch(&[&device.link, "/a b.txt"])),
        "odd name"
    );
    assert_eq!(stdout(&place.fetch(&[&device.link, "a b.txt"])), "odd name");
}

#[test]
fn method_fields_and_data_arrive_at_the_app() {
    let place = Place::new();
    let device = place.expose(&mirror(), "device", &[]);
    fs::write(place.path("data"), "from a file").unwrap();
    let get = place.fetch(&[&device.link, "/x?y=z", "-H", "X-One: 1", "-H", "x-two:2"]);
    let seen = stdout(&get);
    assert!(
        seen.starts_with("GET /x?y=z HTTP/1.1\r\n") && seen.contains("x-one: 1\r\nx-two: 2\r\n"),
        "{seen}"
    );
    let post = place.fetch(&[&device.link, "-d", "a=b"]);
    let seen = stdout(&post);
    assert!(
        seen.starts_with("POST / ") && seen.ends_with("\r\n\r\na=b"),
        "{seen}"
    );
    assert!(
        seen.contains("content-type: application/x-www-form-urlencoded\r\n"),
        "{seen}"
    );
    let file = format!("@{}", place.text("data"));
    let put = place.fetch(&[
        &device.link,
        "-X",
        "PUT",
        "-d",
        &file,
        "-H",
        "content-type: text/plain",
        "-i",
    ]);
    let seen = stdout(&put);
    assert!(
        seen.starts_with("HTTP/1.1 200 OK\r\nx-mirror: yes\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains("PUT / ")
            && seen.contains("content-length: 11\r\n")
            && seen.ends_with("from a file"),
        "{seen}"
    );
}

#[test]
fn the_head_alone_and_a_file_as_output() {
    let place = Place::new();
    let device = place.site();
    let head = place.fetch(&[&device.link, "-I"]);
    assert!(
        stdout(&head).starts_with("HTTP/1.1 200 OK\r\n") && stdout(&head).ends_with("\r\n\r\n")
    );
    let path = place.text("output");
    let output = place.fetch(&[&device.link, "-o", &path]);
    assert_eq!((code(&output), stdout(&output)), (0, ""));
    assert_eq!(fs::read_to_string(&path).unwrap(), "<h1>home</h1>\n");
}

#[test]
fn a_large_file_arrives_whole() {
    let place = Place::new();
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    fs::write(place.path("site/large"), &content).unwrap();
    let device = place.site();
    let path = place.text("output");
    assert_eq!(
        code(&place.fetch(&[&device.link, "/large", "-o", &path])),
        0
    );
    assert!(fs::read(&path).unwrap() == content);
}

#[test]
fn what_is_not_there_ends_with_4_and_is_not_taken_for_the_file() {
    let place = Place::new();
    let device = place.site();
    let path = place.text("output");
    let output = place.fetch(&[&device.link, "/missing", "-o", &path]);
    assert_eq!(code(&output), 4);
    assert!(!exists(path.as_ref()));
    assert!(stderr(&output).contains("404"), "{}", stderr(&output));
}

#[test]
fn a_request_that_climbs_or_comes_from_elsewhere_ends_with_6() {
    let place = Place::new();
    let device = place.expose(&mirror(), "device", &[]);
    for args in [
        &["/../x"][..],
        &["/%2e%2e/x"],
        &["/", "-X", "POST", "-H", "origin: https://evil.example"],
    ] {
        let output = place.fetch(&[&[device.link.as_str()], args].concat());
        assert_eq!(code(&output), 6, "{args:?}: {}", stderr(&output));
        assert!(!stdout(&output).contains("HTTP/1.1"), "the app saw nothing");
    }
}

#[test]
fn a_wrong_secret_is_refused_and_a_shortened_one_found_out_before_anybody_is_asked() {
    let place = Place::new();
    let device = place.site();
    let wrong = format!("{}#1.{}", device.address(), "a".repeat(26));
    assert_eq!(code(&place.fetch(&[&wrong])), 6);
    let short = &device.link[..device.link.len() - 1];
    let output = place.fetch(&[short]);
    assert_eq!(code(&output), 2);
    assert!(
        !stderr(&output).contains(&device.secret()[..20]),
        "the complaint does not repeat it"
    );
}

#[test]
fn a_server_that_is_down_and_a_device_that_is_not_there_are_told_apart() {
    let place = Place::new();
    let device = place.site();
    let (origin, rest) = device.link.split_once("localhost:").unwrap();
    let elsewhere = format!(
        "{origin}localhost:{}/{}",
        free_port(),
        rest.split_once('/').unwrap().1
    );
    let output = place.fetch(&[&elsewhere]);
    assert_eq!(code(&output), 7, "{}", stderr(&output));
    // The server of the one device, asked for another that is not there.
    let other = place.expose(&place.text("site"), "other", &[]);
    let (id, _) = other.link.split_once(".localhost").unwrap();
    let (_, server) = device.link.split_once(".localhost").unwrap();
    let output = place.fetch(&[&format!("{id}.localhost{server}")]);
    assert_eq!(code(&output), 8, "{}", stderr(&output));
}

#[test]
fn what_cannot_be_asked_is_a_usage_error() {
    let place = Place::new();
    let device = place.site();
    for args in [
        &["-H", "no colon"][..],
        &["-H", "host: evil.example"],
        &["-X", "a b"],
        &["-X", "CONNECT"],
        &["-d", "@/no/such/file"],
    ] {
        let output = place.fetch(&[&[device.link.as_str()], args].concat());
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
    }
    assert_eq!(code(&place.fetch(&["http://example.org/"])), 2);
}
