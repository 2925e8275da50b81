mod table;

use std::{collections::HashMap, ffi::OsString, fs, path::Path};

use clap::Parser;
use peerage_server::hub::Admin;
use peerage_server::{Config, ConfigError, Cors};

use super::sources::{Options, Settled};
use crate::exit::Failure;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// What is asked of a server in one way or several.
#[derive(Default)]
struct Told<'a> {
    options: &'a [&'a str],
    variables: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Told<'_> {
    fn settled(&self) -> Result<Settled, Failure> {
        let line = Line::try_parse_from([&["serve"], self.options].concat())
            .map_err(|error| Failure::new(crate::exit::Exit::Usage, error))?;
        let variables: HashMap<_, _> = self.variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(OsString::from);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peerage.toml");
        if let Some(text) = self.file {
            fs::write(&path, text).unwrap();
        }
        let file = self.file.map(|_| path.as_path());
        Settled::new(&line.options, variable, file).map_err(|mut failure| {
            // Where the file was is of no interest.
            let text = failure
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "");
            failure.error = anyhow::anyhow!(text);
            failure
        })
    }

    fn config(&self) -> Config {
        let settled = self.settled();
        settled
            .and_then(|settled| settled.with_secret())
            .unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn complaint(&self) -> String {
        match self.settled() {
            Ok(_) => panic!(
                "{:?}, {:?}, {:?} are taken",
                self.options, self.variables, self.file
            ),
            Err(failure) => failure.to_string(),
        }
    }
}

fn options<'a>(options: &'a [&'a str]) -> Told<'a> {
    Told {
        options,
        ..Told::default()
    }
}

fn variables<'a>(variables: &'a [(&'a str, &'a str)]) -> Told<'a> {
    Told {
        variables,
        ..Told::default()
    }
}

fn file(text: &str) -> Told<'_> {
    Told {
        file: Some(text),
        ..Told::default()
    }
}

#[test]
fn an_option_goes_before_a_variable_and_a_variable_before_the_file() {
    let port = |options: &[&str], variables: &[(&str, &str)]| {
        let told = Told {
            options,
            variables,
            file: Some("port = 1"),
        };
        told.config().listen.port()
    };
    let all = [("PORT", "2"), ("PEERAGE_PORT", "3")];
    assert_eq!(port(&["-p", "4"], &all), 4);
    assert_eq!(port(&[], &all), 3);
    assert_eq!(port(&[], &all[..1]), 2);
    assert_eq!(port(&[], &[("PEERAGE_PORT", "")]), 1);
    assert_eq!(options(&[]).config().listen.port(), 9_000);
}

#[test]
fn command_lines_of_peerjs_server_mean_what_they_meant() {
    let all = "-H 0.0.0.0 -p 9001 --path /myapp -k mykey -t 4000 --alive_timeout 50000 -c 10 --allow_discovery --proxied \
               --sslkey k.pem --sslcert c.pem --cors https://a.example https://b.example";
    let config = options(&all.split_whitespace().collect::<Vec<_>>()).config();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9001");
    assert_eq!(
        (config.path.as_str(), config.signal.key.as_str()),
        ("/myapp", "mykey")
    );
    assert_eq!(config.signal.expire_after.as_millis(), 4_000);
    assert_eq!(config.signal.alive_for.as_millis(), 50_000);
    assert_eq!((config.signal.peers, config.discovery), (10, true));
    assert!(
        config
            .proxies
            .iter()
            .any(|net| net.contains(&"10.1.2.3".parse::<std::net::IpAddr>().unwrap()))
    );
    assert!(
        !config
            .proxies
            .iter()
            .any(|net| net.contains(&"8.8.8.8".parse::<std::net::IpAddr>().unwrap()))
    );
    let tls = config.tls.unwrap();
    assert_eq!(
        (tls.cert.to_str(), tls.key.to_str()),
        (Some("c.pem"), Some("k.pem"))
    );
    assert!(
        matches!(config.cors, Cors::Origins(origins) if origins == ["https://a.example", "https://b.example"])
    );
}

#[test]
fn command_lines_that_the_document_recommends_can_be_given() {
    let document = include_str!("../../../../../docs/compat.md");
    let mut given = 0;
    let before_the_tables = document.split("\n## peerjs-server").next();
    let moves = before_the_tables.and_then(|text| text.split_once("\n### From "));
    for text in moves.unwrap().1.split('`') {
        let Some((told, line)) = text.split_once("peerage serve ") else {
            continue;
        };
        let variables: Vec<_> = told
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let line: Vec<_> = line.split(' ').collect();
        let told = Told {
            options: &line,
            variables: &variables,
            file: None,
        };
        assert!(told.settled().is_ok(), "{text}: {}", told.complaint());
        given += 1;
    }
    assert!(given > 5, "{given}");
}

#[test]
fn a_star_is_every_origin_and_stands_alone() {
    assert!(matches!(options(&["--cors", "*"]).config().cors, Cors::Any));
    let both = options(&["--cors", "*", "https://a.example"]);
    assert!(both.settled().is_err());
}

#[test]
fn what_is_not_a_list_is_said_once() {
    for twice in [
        "--port 1 --port 2",
        "--port 1 -p 2",
        "--alive_timeout 1 --alive-timeout 1",
        "--sslkey a --tls-key b",
        "--path /a --path /a",
    ] {
        let line: Vec<_> = twice.split(' ').collect();
        let complaint = options(&line).complaint();
        assert!(complaint.contains("multiple times"), "{twice}: {complaint}");
    }
    let listed = "--cors https://a.example --cors https://b.example";
    let line: Vec<_> = listed.split(' ').collect();
    assert!(matches!(options(&line).config().cors, Cors::Origins(origins) if origins.len() == 2));
}

#[test]
fn switches_may_be_bare_or_say_true_or_false() {
    let is_open = |line: &[&str]| options(line).config().discovery;
    assert!(is_open(&["--allow_discovery"]));
    assert!(is_open(&["--allow-discovery", "true"]));
    assert!(is_open(&["--allow_discovery=true", "--port", "1"]));
    assert!(!is_open(&["--allow_discovery", "false"]));
    let nets = |line: &[&str]| options(line).config().proxies.len();
    assert_eq!(nets(&["--proxied"]), 8);
    assert_eq!(nets(&["--proxied", "true"]), 8);
    assert_eq!(nets(&["--proxied=false"]), 0);
    assert_eq!(nets(&["--proxied", "192.0.2.7,10.0.0.0/8"]), 2);
    assert_eq!(nets(&["--proxied", "192.0.2.7", "2001:db8::/32"]), 2);
    assert_eq!(
        variables(&[("PEERAGE_PROXIED", "10.0.0.0/8, fd00::/8")])
            .config()
            .proxies
            .len(),
        2
    );
    assert!(
        options(&["--proxied", "true,10.0.0.0/8"])
            .settled()
            .is_err()
    );
}

#[test]
fn what_cannot_be_is_refused_by_name_value_and_expectation() {
    for (told, parts) in [
        (
            options(&["--port", "x"]),
            &["'x'", "--port", "0 to 65535"][..],
        ),
        (
            options(&["--message-rate", "0"]),
            &["'0'", "--message-rate", "1 to "],
        ),
        (
            options(&["--alive_timeout", "99999999999"]),
            &["99999999999", "milliseconds"],
        ),
        (
            options(&["--host", "example.org"]),
            &["example.org", "IP address"],
        ),
        (
            options(&["--allow_discovery", "maybe"]),
            &["maybe", "true or false"],
        ),
        (
            options(&["--cors", "app.example"]),
            &["app.example", "https://"],
        ),
        (
            options(&["--turn-listen", "3478"]),
            &["'3478'", "--turn-listen", "192.0.2.1:3478"],
        ),
        (
            options(&["--turn-relay-ports", "10-1"]),
            &["'10-1'", "the lower one first"],
        ),
        (
            file("turn-relay-ports = 5"),
            &["turn-relay-ports is `5`; expected ports"],
        ),
        (
            file("turn-deny-peer = ['10.0.0.0/33']"),
            &["turn-deny-peer is `[\"10.0.0.0/33\"]`; expected addresses such as"],
        ),
        (
            options(&["--turn-allow-peer", "10.0.0.5/8"]),
            &["'10.0.0.5/8'", "nothing behind the prefix"],
        ),
        (
            options(&["--turn-credential-lifetime", "0"]),
            &["'0'", "seconds"],
        ),
        (
            variables(&[("PORT", "x")]),
            &["PORT is `x`; expected a port, 0 to 65535"],
        ),
        (
            variables(&[("PEERAGE_SEND_QUEUE", "4MB")]),
            &["PEERAGE_SEND_QUEUE is `4MB`; expected octets"],
        ),
        (
            file("message-rate = 'fast'"),
            &["peerage.toml: message-rate is `fast`; expected a whole number"],
        ),
        (
            file("message-rate = '12'"),
            &["peerage.toml: message-rate is `12`; expected a whole number"],
        ),
        (
            file("allow_discovery = 1"),
            &["peerage.toml: allow_discovery is `1`; expected true or false"],
        ),
        (
            file("cors = [1]"),
            &["peerage.toml: cors is `[1]`; expected origins"],
        ),
        (
            file("[port]\nx = 1"),
            &["peerage.toml: port is `{\"x\":1}`; expected a port"],
        ),
        (
            file("\nmessage-rat = 1"),
            &["peerage.toml: message-rat is unknown; expected"],
        ),
        (
            file("tls-key = 'a'\nsslkey = 'b'"),
            &["peerage.toml:", " says again what "],
        ),
        (file("port = 1\nport = = 2"), &["peerage.toml, line 2: "]),
        (
            file("tls-cert = 'a'"),
            &["peerage.toml: tls-cert is given without --tls-key"],
        ),
    ] {
        let complaint = told.complaint();
        for part in parts {
            assert!(complaint.contains(part), "{complaint:?} lacks {part:?}");
        }
    }
}

#[test]
fn what_the_server_refuses_is_told_in_the_words_in_which_it_was_said() {
    let error = ConfigError {
        key: "path",
        value: "/a b".into(),
        expected: "x",
    };
    for (told, said) in [
        (options(&["--path", "/a b"]), "--path is `/a b`; expected x"),
        (
            variables(&[("PEERSERVER_PATH", "/a b")]),
            "PEERSERVER_PATH is `/a b`; expected x",
        ),
        (
            file("path = '/a b'"),
            "peerage.toml: path is `/a b`; expected x",
        ),
    ] {
        let explained = told
            .settled()
            .unwrap_or_else(|failure| panic!("{failure}"))
            .explain(&error)
            .to_string();
        assert!(explained.ends_with(said), "{explained}");
    }
}

#[test]
fn ice_servers_may_have_passwords_and_no_error_shows_one() {
    let json = r#"{"urls":"turn:t:1","username":"u","credential":"hidden"}"#;
    let array = format!("[\"stun:s:1\", {json}]");
    let toml =
        "ice-server = ['stun:s:1', { urls = ['turn:t:1'], username = 'u', credential = 'hidden' }]";
    for told in [
        options(&["--ice-server", "stun:s:1", "--ice_server", json]),
        variables(&[("PEERAGE_ICE_SERVER", &array)]),
        file(toml),
    ] {
        let servers = told.config().ice_servers;
        assert_eq!(
            (servers.len(), servers[0].urls[0].as_str()),
            (2, "stun:s:1")
        );
        assert_eq!(servers[1].credential.as_deref(), Some("hidden"));
    }
    let two = variables(&[("PEERAGE_ICE_SERVER", "stun:a:1 stun:b:1")]).config();
    assert_eq!(two.ice_servers.len(), 2);
    let wrong = json.replace("username", "user");
    for told in [
        options(&["--ice-server", &wrong]),
        options(&["--ice-server", "turn:hidden"]),
        options(&["--ice-server", &json.replace("turn", "ftp")]),
        variables(&[("PEERAGE_ICE_SERVER", &wrong)]),
        variables(&[("PEERAGE_ICE_SERVER", &wrong[1..])]),
        file("ice-server = { urls = 'turn:t:1', credential = 'hidden' }"),
        file("ice-server = [{ urls = 'turn:t:1', credential = 'hidden' ]"),
    ] {
        let complaint = told.complaint();
        assert!(
            complaint.contains("ice-server")
                || complaint.contains("ICE_SERVER")
                || complaint.contains("line 1"),
            "{complaint}"
        );
        assert!(!complaint.contains("hidden"), "{complaint}");
    }
}

#[test]
fn turn_is_there_unless_it_is_turned_off_in_one_of_many_ways() {
    let is_on = |told: Told<'_>| told.config().turn.is_some();
    assert!(is_on(options(&[])));
    for line in [
        &["--no-turn"][..],
        &["--no_turn"],
        &["--no-turn", "true"],
        &["--turn=false"],
        &["--turn", "no"],
    ] {
        assert!(!is_on(options(line)), "{line:?}");
    }
    assert!(!is_on(variables(&[("PEERAGE_TURN", "0")])));
    assert!(!is_on(variables(&[("PEERAGE_NO_TURN", "1")])));
    assert!(!is_on(file("turn = false")));
    assert!(!is_on(file("no-turn = true")));
    let told = Told {
        options: &["--turn"],
        variables: &[("PEERAGE_NO_TURN", "true")],
        file: Some("turn = false"),
    };
    assert!(is_on(told));
}

#[test]
fn lists_of_turn_may_be_said_one_by_one_or_together() {
    let one_by_one = options(&[
        "--turn-listen",
        "0.0.0.0:3478",
        "--turn-listen=[::]:3478",
        "--turn-allow-peer=10.0.0.0/8",
        "--turn-allow-peer=fd00::1",
    ]);
    let together = variables(&[
        ("PEERAGE_TURN_LISTEN", "0.0.0.0:3478, [::]:3478"),
        ("PEERAGE_TURN_ALLOW_PEER", "10.0.0.0/8 fd00::1"),
    ]);
    let lines =
        "turn-listen = ['0.0.0.0:3478', '[::]:3478']\nturn_allow_peer = ['10.0.0.0/8', 'fd00::1']";
    for told in [one_by_one, together, file(lines)] {
        let turn = told.config().turn.unwrap();
        assert_eq!(turn.listen.len(), 2);
        assert_eq!(turn.allow_peers[1].to_string(), "fd00::1/128");
    }
}

#[test]
fn no_error_and_no_debug_output_shows_the_turn_secret() {
    for told in [
        options(&["--turn-secret", "hush\u{7}"]),
        options(&["--turn-secret", " hush"]),
        variables(&[("PEERAGE_TURN_SECRET", "hush ")]),
        file("turn-secret = 'hush '"),
        file("turn-secret = ['hush']"),
        file("turn-secret = { hush = 1 }"),
        options(&["--turn-secret", "hush", "--turn-secret", "hush"]),
    ] {
        let complaint = told.complaint().replace("turn-secret", "");
        assert!(!complaint.contains("hush"), "{complaint}");
    }
    let line = Line::try_parse_from(["serve", "--turn-secret", "hush"]).unwrap();
    let config = options(&["--turn-secret", "hush"]).config();
    let shown = format!("{:?} {config:?}", line.options);
    assert!(
        shown.contains("turn-secret") && !shown.contains("hush"),
        "{shown}"
    );
}

#[test]
fn the_turn_secret_may_be_in_a_file_of_its_own_and_what_is_said_last_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, "of the file\n").unwrap();
    let path = path.to_str().unwrap();
    let secret = |told: Told<'_>| {
        let config = told.config();
        // The same for others' servers.
        assert_eq!(
            config.ice_secret.unwrap().secret,
            config.turn.clone().unwrap().secret.unwrap()
        );
        config.turn.unwrap().secret.unwrap().expose().to_owned()
    };
    let lines = format!("turn_secret_file = '{path}'");
    assert_eq!(
        secret(options(&["--turn-secret-file", path])),
        "of the file"
    );
    assert_eq!(
        secret(variables(&[("PEERAGE_TURN_SECRET_FILE", path)])),
        "of the file"
    );
    assert_eq!(secret(file(&lines)), "of the file");
    let told = Told {
        options: &["--turn-secret", "of the option"],
        variables: &[("PEERAGE_TURN_SECRET_FILE", path)],
        file: Some(&lines),
    };
    assert_eq!(secret(told), "of the option");

    fs::write(path, "two\nlines\n").unwrap();
    let settled = options(&["--turn-secret-file", path]).settled();
    let failure = settled
        .and_then(|settled| settled.with_secret())
        .unwrap_err();
    assert!(failure.to_string().contains(path), "{failure}");
    assert!(!failure.to_string().contains("lines"), "{failure}");

    // The server's configuration may name it by a path of its own.
    fs::write(
        folder.path().join("peerage.toml"),
        "turn-secret-file = 'secret'",
    )
    .unwrap();
    fs::write(path, "beside it").unwrap();
    let settled = Settled::new(
        &Options::default(),
        |_| None,
        Some(&folder.path().join("peerage.toml")),
    );
    let config = settled.and_then(|settled| settled.with_secret()).unwrap();
    assert_eq!(config.turn.unwrap().secret.unwrap().expose(), "beside it");
}

#[test]
fn rooms_are_there_unless_they_are_turned_off() {
    let is_on = |told: Told<'_>| told.config().hub.is_some();
    assert!(is_on(options(&[])));
    for line in [&["--no-rooms"][..], &["--rooms=false"]] {
        assert!(!is_on(options(line)), "{line:?}");
    }
    assert!(!is_on(variables(&[("PEERAGE_NO_ROOMS", "1")])));
    assert!(!is_on(file("rooms = false")));
    let port = |value: &str| options(&["--rooms-port", value]).config().hub.unwrap().port;
    assert_eq!((port("0"), port("none")), (Some(0), None));
}

#[test]
fn secrets_of_rooms_are_in_files_of_their_own_and_no_error_shows_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let path = path.to_str().unwrap();
    fs::write(path, "0123456789abcdef\n").unwrap();
    let hub = |option: &str| options(&[option, path]).config().hub.unwrap();
    let token = hub("--rooms-admin-token-file").admin;
    assert_eq!(token, Admin::Token("0123456789abcdef".parse().unwrap()));
    let secret = hub("--rooms-webhook-secret-file").webhook_secret;
    assert_eq!(secret.unwrap().expose(), "0123456789abcdef");

    for short in ["hush", "hush hush hush hush hush", ""] {
        fs::write(path, short).unwrap();
        for option in ["--rooms-admin-token-file", "--rooms-webhook-secret-file"] {
            let settled = options(&[option, path]).settled();
            let failure = settled
                .and_then(|settled| settled.with_secret())
                .unwrap_err();
            assert!(failure.to_string().contains(path), "{failure}");
            assert!(!failure.to_string().contains("hush"), "{failure}");
        }
    }
    let both = ["--rooms-admin-open", "--rooms-admin-token-file", path];
    assert!(options(&both).complaint().contains("exclude each other"));
    for url in ["http://u:hush@x.example/", "x.example/hush", "ftp://hush/"] {
        let complaint = options(&["--rooms-webhook", url]).complaint();
        assert!(
            !complaint.contains("hush") && complaint.contains("https://"),
            "{complaint}"
        );
    }
}

#[test]
fn turn_servers_of_others_need_credentials_or_the_secret_they_share() {
    let server = "turn:coturn.example:3478";
    let lifetime = ["--turn-credential-lifetime", "600"];
    for told in [
        options(&["--ice-server", server]),
        options(&["--ice-server", server, "--no-turn"]),
        variables(&[("PEERAGE_ICE_SERVER", server)]),
        file("ice-server = 'turn:coturn.example:3478'"),
    ] {
        let complaint = told.complaint();
        assert!(complaint.contains("--turn-secret-file"), "{complaint}");
    }
    for off in [&[][..], &["--no-turn"]] {
        let line = [
            &["--ice-server", server, "--turn-secret", "x"],
            &lifetime[..],
            off,
        ]
        .concat();
        let config = options(&line).config();
        let shared = config.ice_secret.unwrap();
        assert_eq!(
            (shared.secret.expose(), shared.lifetime.as_secs()),
            ("x", 600)
        );
        assert!(config.ice_servers[0].needs_credentials());
    }
    let half = r#"{"urls":"turn:t:1","username":"u"}"#;
    let complaint = options(&["--ice-server", half, "--turn-secret", "x"]).complaint();
    assert!(complaint.contains("`credential`"), "{complaint}");
}

#[test]
fn files_that_the_file_names_lie_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peerage.toml");
    fs::write(&path, "sslcert = 'cert.pem'\nsslkey = '/abs/key.pem'").unwrap();
    let settled = Settled::new(&Options::default(), |_| None, Some(&path));
    let tls = settled
        .unwrap_or_else(|failure| panic!("{failure}"))
        .config
        .tls
        .unwrap();
    assert_eq!(tls.cert, folder.path().join("cert.pem"));
    assert_eq!(tls.key, Path::new("/abs/key.pem"));
}

#[test]
fn sizes_have_units_and_none_takes_a_limit_away() {
    let queue = |text: &str| options(&["--send-queue", text]).config().send_queue;
    assert_eq!(
        [queue("4096"), queue("4KiB"), queue("4 MiB")],
        [4_096, 4_096, 4 << 20]
    );
    let told = Told {
        options: &["--connections-per-address", "none"],
        file: Some("connections-per-address = 5"),
        ..Told::default()
    };
    assert_eq!(told.config().connections_per_address, None);
}
