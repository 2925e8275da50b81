//! `peerage expose`

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    time::Instant,
};

use crate::run::{Place, Running, code, free_port, run, stderr, stdout, taken_port};

#[test]
fn without_arguments_it_says_what_to_do_first() {
    let output = run(&[]);
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("peerage expose http://localhost:8080"));
}

#[test]
fn a_pipe_shows_device_target_and_one_link() {
    let place = Place::new();
    let target = place.text("site");
    let mut exposed = Running::start(&[
        "expose",
        &target,
        "--state",
        &place.text("state"),
        "--port",
        "0",
    ]);
    let device = exposed
        .line("Device ")
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    assert_eq!(device.len(), 52);
    assert!(exposed.line("Target ").contains(&target));
    let link = exposed.line("Link ");
    assert!(
        link.contains(&format!("http://{device}.localhost:")) && link.contains("/#1."),
        "{link}"
    );
    exposed.line("on this machine");
    exposed.interrupt();
    exposed.end();
    assert!(!exposed.rest().contains("#1."), "one link");
}

#[test]
fn the_same_state_prints_the_same_link_and_another_state_another() {
    let place = Place::new();
    let secret = |state| {
        let exposed = place.expose(&place.text("site"), state, &[]);
        let device = exposed.address()[..59].to_owned();
        (device, exposed.secret().to_owned())
    };
    let first = secret("one");
    assert_eq!(secret("one"), first);
    let other = secret("two");
    assert!(other.0 != first.0 && other.1 != first.1);
}

#[cfg(unix)]
#[test]
fn keys_and_secrets_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    drop(place.site());
    for file in ["device.key", "access.json"] {
        let mode = fs::metadata(place.path("device").join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_second_expose_with_the_same_state_is_told_what_to_do() {
    let place = Place::new();
    let _first = place.site();
    let output = run(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("device"),
        "--port",
        "0",
    ]);
    assert_eq!(code(&output), 3);
    let text = stderr(&output);
    assert!(
        text.contains("another `peerage expose`") && text.contains("--state DIR"),
        "{text}"
    );
}

#[test]
fn two_exposes_with_states_of_their_own_get_along() {
    let place = Place::new();
    let [one, two] = ["one", "two"].map(|state| place.expose(&place.text("site"), state, &[]));
    for device in [&one, &two] {
        assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
    }
}

#[test]
fn a_port_that_was_asked_for_and_is_taken_is_an_error_that_says_so() {
    let place = Place::new();
    let (_taken, port) = taken_port();
    let output = run(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("state"),
        "--port",
        &port.to_string(),
    ]);
    assert_eq!(code(&output), 13);
    let text = stderr(&output);
    assert!(
        text.contains(&port.to_string()) && text.contains("--port"),
        "{text}"
    );
}

#[test]
fn a_port_that_was_not_asked_for_is_the_next_free_one() {
    let place = Place::new();
    // Whether 9000 is free here or not: two devices cannot have the same port.
    let port = |state: &str| {
        let mut process =
            Running::start(&["expose", &place.text("site"), "--state", &place.text(state)]);
        let link = process.line("Link ");
        let port: u16 = link
            .split("localhost:")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        (process, port)
    };
    let ((_one, first), (_two, second)) = (port("one"), port("two"));
    assert!((9000..9010).contains(&first) && (9000..9010).contains(&second) && first != second);
}

#[test]
fn a_target_that_is_down_is_a_warning_and_an_answer_of_its_own() {
    let place = Place::new();
    let target = format!("http://127.0.0.1:{}", free_port());
    let mut exposed = place.expose(&target, "device", &[]);
    let warning = exposed.process.warning("does not answer yet");
    assert!(warning.contains(&target), "{warning}");
    let output = place.fetch(&[&exposed.link]);
    assert_eq!(code(&output), 12);
    assert!(
        stdout(&output).contains("is it running?"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn what_is_no_target_is_a_usage_error_with_a_suggestion() {
    let place = Place::new();
    for (target, said) in [
        ("8080", "http://localhost:8080"),
        ("./nowhere", "neither"),
        ("http://x/?q", "query"),
    ] {
        let output = run(&[
            "expose",
            target,
            "--state",
            &place.text("state"),
            "--port",
            "0",
        ]);
        assert_eq!(
            (code(&output), stderr(&output).contains(said)),
            (2, true),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_server_that_is_down_is_told_apart() {
    let place = Place::new();
    let server = format!("http://127.0.0.1:{}", free_port());
    let output = run(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("state"),
        "--server",
        &server,
    ]);
    assert_eq!(code(&output), 7, "{}", stderr(&output));
}

#[test]
fn a_state_that_cannot_be_used_is_named_with_a_remedy() {
    let place = Place::new();
    fs::write(place.path("file"), "").unwrap();
    fs::create_dir(place.path("damaged-key")).unwrap();
    fs::write(place.path("damaged-key/device.key"), "no key").unwrap();
    fs::create_dir(place.path("damaged-access")).unwrap();
    fs::write(place.path("damaged-access/access.json"), "{}").unwrap();
    fs::create_dir(place.path("later")).unwrap();
    fs::write(
        place.path("later/access.json"),
        r#"{"version":2,"access":{"links":[]}}"#,
    )
    .unwrap();
    for (state, said) in [
        ("file", "--state DIR"),
        ("damaged-key", "device.key"),
        ("damaged-access", "access.json"),
        ("later", "version 2"),
    ] {
        let output = run(&[
            "expose",
            &place.text("site"),
            "--state",
            &place.text(state),
            "--port",
            "0",
        ]);
        assert_eq!(code(&output), 3, "{state}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(said),
            "{state}: {}",
            stderr(&output)
        );
    }
    assert_eq!(
        fs::read(place.path("damaged-key/device.key")).unwrap(),
        b"no key",
        "nothing is overwritten"
    );
}

#[test]
fn ctrl_c_ends_it_cleanly_within_three_seconds() {
    let place = Place::new();
    let mut exposed = place.site();
    let begun = Instant::now();
    exposed.process.interrupt();
    assert!(exposed.process.end().success());
    assert!(begun.elapsed().as_secs() < 3);
}

#[test]
fn ctrl_c_ends_it_within_three_seconds_also_in_the_middle_of_a_download() {
    let place = Place::new();
    let endless = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", endless.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in endless.incoming().flatten() {
            // An answer before its question would be none.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst line\n");
            // held open: nothing more comes, and no end
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut exposed = place.expose(&target, "device", &[]);
    let mut fetch = Running::start(&["fetch", &exposed.link, "--state", &place.text("caller")]);
    fetch.line("first line");
    let begun = Instant::now();
    exposed.process.interrupt();
    assert!(exposed.process.end().success());
    assert!(begun.elapsed().as_secs() < 3);
    assert_eq!(
        fetch.end().code(),
        Some(11),
        "broken off is not the end: {}",
        fetch.complaint()
    );
}

#[test]
fn visitors_come_and_go_in_lines_of_their_own() {
    let place = Place::new();
    let mut exposed = place.site();
    place.fetch(&[&exposed.link]);
    let line = exposed.process.line("+ 1");
    assert!(line.contains("direct"), "{line}");
    let line = exposed.process.line("- 1");
    assert!(
        line.contains("closed by the peer") && line.contains("sent"),
        "{line}"
    );
}

#[test]
fn the_secret_is_in_the_link_and_in_no_log() {
    let place = Place::new();
    let mut exposed = place.expose(&place.text("site"), "device", &["-vvv"]);
    let secret = exposed.secret().to_owned();
    let caller = place.fetch(&[&exposed.link, "-vvv"]);
    assert!(!stderr(&caller).is_empty() && !stderr(&caller).contains(&secret));
    exposed.process.interrupt();
    exposed.process.end();
    let log = exposed.process.complaint();
    assert!(!log.is_empty() && !log.contains(&secret));
    assert!(!exposed.process.rest().contains(&secret));
    // ICE's passwords.
    for log in [stderr(&caller), &log] {
        assert!(log.contains("TRACE") && !log.contains("pass: ") && !log.contains("ice-pwd"));
    }
}

#[test]
fn json_says_the_same_for_machines() {
    let place = Place::new();
    let args = [
        "expose",
        &place.text("site"),
        "--state",
        &place.text("device"),
        "--port",
        "0",
        "--json",
    ];
    let mut exposed = Running::start(&args);
    let ready: serde_json::Value = serde_json::from_str(&exposed.line("ready")).unwrap();
    assert_eq!(ready["event"], "ready");
    let link = ready["link"].as_str().unwrap();
    assert!(link.contains(ready["device"].as_str().unwrap()));
    place.fetch(&[link]);
    let connected: serde_json::Value = serde_json::from_str(&exposed.line("connected")).unwrap();
    assert_eq!(
        (&connected["connection"], &connected["route"]),
        (&1.into(), &"direct".into())
    );
}
