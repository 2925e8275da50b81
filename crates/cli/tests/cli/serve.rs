//! `peerage serve`

use std::{fs, time::Duration};

use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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

/// What a client that registers as `ui` is told of its room.
async fn room_id(url: &str) -> String {
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .replace("localhost", "127.0.0.1");
    let socket = format!("ws://{address}/peerjs?key=peerjs&id=ui&token=t");
    let (mut socket, _) = tokio_tungstenite::connect_async(socket).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = "GET /peerjs/ui/t/room/id HTTP/1.0\r\nhost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn the_room_of_an_address_keeps_its_name_when_the_server_is_started_again() {
    let place = Place::new();
    let mut names = Vec::new();
    for state in ["state", "state", "other"] {
        let mut server = Running::start(&["serve", "--port", "0", "--state", &place.text(state)]);
        let line = server.line("devices");
        let asked = room_id(line.split_whitespace().last().unwrap());
        let name = tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .unwrap();
        assert!(
            name.starts_with(r#"{"roomId":""#) && name.len() == 53,
            "{name}"
        );
        names.push(name);
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

#[cfg(unix)]
#[test]
fn the_rooms_secret_is_its_owners_alone_and_a_damaged_one_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let state = place.text("state");
    Running::start(&["serve", "--port", "0", "--state", &state]).line("devices");
    let file = place.path("state").join("rooms.secret");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::write(&file, "x").unwrap();
    let refused = run(&["serve", "--port", "0", "--state", &state]);
    assert_eq!(code(&refused), 3, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("rooms.secret"));
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
