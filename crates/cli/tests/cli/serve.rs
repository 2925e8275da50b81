//! `peerage serve`

use crate::run::{Place, Running, code, run, stderr, stdout, taken_port};

/// A server on any free port, and its address.
fn serve() -> (Running, String) {
    let mut server = Running::start(&["serve", "--port", "0"]);
    let line = server.line("devices");
    let url = line.split_whitespace().last().unwrap().to_owned();
    (server, url)
}

#[test]
fn a_device_is_reached_through_a_server_of_its_own_process() {
    let place = Place::new();
    let (_server, url) = serve();
    let device = place.expose(&place.text("site"), "device", &["--server", &url]);
    assert!(device.link.contains(url.strip_prefix("http://").unwrap()));
    assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
}

#[test]
fn it_listens_on_this_machine_alone_unless_told_otherwise() {
    let mut server = Running::start(&["serve", "--port", "0"]);
    assert!(server.line("Listening").contains("127.0.0.1"));
}

#[test]
fn a_port_that_is_taken_is_an_error_that_says_so() {
    let (_taken, port) = taken_port();
    let output = run(&["serve", "--port", &port.to_string()]);
    assert_eq!(code(&output), 13);
    assert!(stderr(&output).contains(&port.to_string()));
}

#[test]
fn settings_that_cannot_be_are_usage_errors() {
    for args in [
        &["--tls-cert", "x"][..],
        &["--domain", "https://x"],
        &["--tls-cert", "/no/such", "--tls-key", "/no/such"],
    ] {
        let output = run(&[&["serve", "--port", "0"], args].concat());
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn ctrl_c_ends_it_cleanly() {
    let (mut server, _) = serve();
    server.interrupt();
    assert!(server.end().success());
}
