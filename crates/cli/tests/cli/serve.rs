//! `peerage serve`

use std::fs;

use crate::run::{Place, Running, code, free_port, run, stderr, stdout, taken_port};

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

#[test]
fn with_a_domain_and_a_certificate_links_are_https_and_callers_check_it() {
    let place = Place::new();
    let names = ["dev.localhost", "*.dev.localhost"]
        .map(str::to_owned)
        .to_vec();
    let own = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(place.path("cert.pem"), own.cert.pem()).unwrap();
    fs::write(place.path("key.pem"), own.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (place.text("cert.pem"), place.text("key.pem"));
    let args = [
        "--domain",
        "dev.localhost",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let mut server = Running::start(&[&["serve", "--port", "0"], &args[..]].concat());
    let line = server.line("devices");
    let url = line.split_whitespace().last().unwrap();
    assert!(url.starts_with("https://dev.localhost:"), "{url}");

    let refused = run(&[
        "expose",
        &place.text("site"),
        "--state",
        &place.text("x"),
        "--server",
        url,
    ]);
    assert_eq!(code(&refused), 7);
    assert!(
        stderr(&refused).contains("--server-ca"),
        "{}",
        stderr(&refused)
    );

    let device = place.expose(
        &place.text("site"),
        "device",
        &["--server", url, "--server-ca", &cert],
    );
    assert!(device.link.contains(".dev.localhost:"), "{}", device.link);
    assert_eq!(code(&place.fetch(&[&device.link])), 7);
    assert_eq!(
        stdout(&place.fetch(&[&device.link, "--server-ca", &cert])),
        "<h1>home</h1>\n"
    );
}

#[test]
fn a_device_survives_its_server_and_comes_back_to_it() {
    let place = Place::new();
    let port = free_port().to_string();
    let start = || {
        let mut server = Running::start(&["serve", "--port", &port]);
        server.line("Listening");
        server
    };
    let server = start();
    let url = format!("http://localhost:{port}");
    let mut device = place.expose(&place.text("site"), "device", &["--server", &url]);
    drop(server);
    device.process.line("! ");
    let _server = start();
    device.process.line("! the server is back");
    assert_eq!(stdout(&place.fetch(&[&device.link])), "<h1>home</h1>\n");
}
