//! `peerage expose --allow-legacy`, and the files of the old proxy.

use std::fs;

use crate::run::{Place, Running, code, run, stderr};

const OLD_ID: &str = "b1c6c1a4-19a1-4c9f-a0a8-0b4d5c1c3d22";

#[test]
fn old_clients_are_let_in_by_the_owners_word_alone_and_loudly() {
    let place = Place::new();
    let mut open = place.expose(&place.text("site"), "open", &["--allow-legacy"]);
    let device = open.address()[7..59].to_owned();
    let warning = open.process.warning("WHOEVER KNOWS OR GUESSES THE ID");
    assert!(
        warning.contains(&device) && warning.contains(&place.text("site")),
        "{warning}"
    );
    let mut closed = place.site();
    closed.process.interrupt();
    closed.process.end();
    assert!(!closed.process.complaint().contains("WHOEVER"));
}

#[test]
fn the_old_id_is_shown_beside_the_devices_own() {
    let place = Place::new();
    fs::write(
        place.path(".peerjsrc"),
        format!(r#"{{"peerId": "{OLD_ID}"}}"#),
    )
    .unwrap();
    let mut process = Running::start(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("device"),
        "--port",
        "0",
        "--allow-legacy",
        "--json",
        "--peerjsrc",
        &place.text(".peerjsrc"),
    ]);
    let ready: serde_json::Value = serde_json::from_str(&process.line("ready")).unwrap();
    assert_eq!(ready["legacy_ids"][0], ready["device"]);
    assert_eq!(ready["legacy_ids"][1], OLD_ID);
    process.warning(OLD_ID);
}

#[test]
fn a_device_is_not_locked_out_of_its_old_id_by_its_own_earlier_connection() {
    let place = Place::new();
    fs::write(place.path(".peerjsrc"), format!("peerId: {OLD_ID}\n")).unwrap();
    let mut server = Running::start(&[
        "serve",
        "--port",
        "0",
        "--json",
        "--state",
        &place.text("server"),
    ]);
    let listening: serde_json::Value = serde_json::from_str(&server.line("listening")).unwrap();
    let url = format!(
        "http://localhost:{}",
        listening["address"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
    );
    let peerjsrc = place.text(".peerjsrc");
    let args = ["--server", &url, "--allow-legacy", "--peerjsrc", &peerjsrc];
    let first = place.expose(&place.text("site"), "device", &args);
    // As after a crash that the server has not noticed: the one before still holds the id.
    fs::create_dir(place.path("again")).unwrap();
    fs::copy(
        place.path("device/peerjs.token"),
        place.path("again/peerjs.token"),
    )
    .unwrap();
    let second = place.expose(&place.text("site"), "again", &args);
    // Another device does not get the id while this one has it.
    let site = place.text("site");
    let state = place.text("other");
    let output = run(&[&["expose", &site, "--state", &state][..], &args[..]].concat());
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains(OLD_ID), "{}", stderr(&output));
    drop((first, second));
}

#[test]
fn the_old_settings_name_the_server_and_the_command_line_goes_before_them() {
    let place = Place::new();
    let file = place.text("peerjs-config.yaml");
    fs::write(
        &file,
        "signaling_server: localhost\nport: 1\nsecure: false\ncolour: red\n",
    )
    .unwrap();
    let expose = |more: &[&str]| {
        let (site, state) = (place.text("site"), place.text("device"));
        let args = [
            &["expose", &site, "--state", &state, "--peerjs-config", &file],
            more,
        ]
        .concat();
        Running::start(&args)
    };
    let mut old = expose(&[]);
    assert_eq!(old.end().code(), Some(7), "no server at port 1");
    let complaint = old.complaint();
    assert!(
        complaint.contains("localhost:1")
            && complaint.contains("colour")
            && complaint.contains("red"),
        "{complaint}"
    );
    let mut own = expose(&["--port", "0"]);
    own.line("Link ");
}

#[test]
fn files_of_the_old_proxy_that_cannot_be_used_are_told_with_key_and_value() {
    let place = Place::new();
    let file = place.text("file");
    let (site, state) = (place.text("site"), place.text("device"));
    let try_with = |text: &str, option: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        let args = [
            &[
                "expose", &site, "--state", &state, "--port", "0", option, &file,
            ],
            more,
        ]
        .concat();
        let output = run(&args);
        (code(&output), stderr(&output).to_owned())
    };
    let (exit, text) = try_with("port: many", "--peerjs-config", &[]);
    assert!(
        exit == 2 && text.contains("`port`") && text.contains("many") && text.contains(&file),
        "{text}"
    );
    let (exit, text) = try_with("peerId: 7", "--peerjsrc", &["--allow-legacy"]);
    assert!(
        exit == 2 && text.contains("`peerId`") && text.contains('7'),
        "{text}"
    );
    let another = format!("peerId: {}", "a".repeat(52));
    let (exit, text) = try_with(&another, "--peerjsrc", &["--allow-legacy"]);
    assert!(exit == 2 && text.contains("another device"), "{text}");
    let (exit, text) = try_with("peerId: x", "--peerjsrc", &[]);
    assert!(exit == 2 && text.contains("--allow-legacy"), "{text}");
    let (exit, text) = try_with(&"#".repeat(65 * 1024), "--peerjs-config", &[]);
    assert!(exit == 2 && text.contains("64 KiB"), "{text}");
    fs::remove_file(&file).unwrap();
    let output = run(&[
        "expose",
        &site,
        "--state",
        &state,
        "--port",
        "0",
        "--allow-legacy",
        "--peerjsrc",
        &file,
    ]);
    assert!(code(&output) == 2 && stderr(&output).contains(&file));
}
