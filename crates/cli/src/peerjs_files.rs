//! The two files of the old proxy (peerjs-python, peerfetch): read where they are named, never written.

use std::{fs::File, io::Read as _, path::Path};

use peerage_proto::wire::id::PeerId;
use serde_json::{Map, Value};
use tracing_subscriber::filter::LevelFilter;
use url::Url;

use crate::{
    exit::{Exit, Failure},
    output,
};

/// Octets of the longest file that is read: the old program's own have some hundred.
const FILE_MAX: u64 = 64 * 1024;

/// What `peerjs-config.yaml` says, as far as it is of use here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OldConfig {
    /// The signalling server.
    pub(crate) server: Option<Url>,
    /// How much to log.
    pub(crate) log_level: Option<LevelFilter>,
}

/// Reads `peerjs-config.yaml`; tells of what is of no use.
pub(crate) fn config(path: &Path) -> Result<OldConfig, Failure> {
    let name = path.display();
    let (config, ignored) = read_config(&text(path)?)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{name}: {error}")))?;
    for line in ignored {
        output::warn(format_args!("{name}: {line}"));
    }
    Ok(config)
}

/// Reads `.peerjsrc`: the id, if there is one.
pub(crate) fn peer_id(path: &Path) -> Result<Option<PeerId>, Failure> {
    let name = path.display();
    let found = read_id(&text(path)?)
        .map_err(|error| Failure::new(Exit::Usage, format_args!("{name}: {error}")))?;
    if found.is_none() {
        output::warn(format_args!(
            "{name} names no `peerId`: old clients reach this device by its own id alone"
        ));
    }
    Ok(found)
}

fn text(path: &Path) -> Result<String, Failure> {
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::Usage,
            format_args!("cannot read {}: {why}", path.display()),
        )
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text));
    match read {
        Ok(octets) if octets as u64 > FILE_MAX => Err(refuse(&"it is larger than 64 KiB")),
        Ok(_) => Ok(text),
        Err(error) => Err(refuse(&error)),
    }
}

fn read_id(text: &str) -> Result<Option<PeerId>, String> {
    match table(text)?.remove("peerId") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(Value::String(id)) => PeerId::parse(&id)
            .map(Some)
            .map_err(|error| format!("`peerId` is {id:?}: {error}")),
        Some(other) => Err(wrong("peerId", &other, "a text")),
    }
}

/// What the file says, and what is to be told of the rest.
fn read_config(text: &str) -> Result<(OldConfig, Vec<String>), String> {
    let (mut config, mut ignored) = (OldConfig::default(), Vec::new());
    let (mut host, mut port, mut secure) = (None, None, None);
    for (key, value) in table(text)? {
        match (key.as_str(), &value) {
            ("signaling_server", Value::String(name)) => host = Some(name.clone()),
            ("signaling_server", _) => return Err(wrong(&key, &value, "the name of a host")),
            ("port", _) => {
                let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
                let number = number.filter(|&number| number > 0);
                port = Some(number.ok_or_else(|| wrong(&key, &value, "a number from 1 to 65535"))?);
            }
            ("secure", Value::Bool(on)) => secure = Some(*on),
            ("secure", _) => return Err(wrong(&key, &value, "true or false")),
            ("log_level", _) => config.log_level = Some(level(&value)?),
            // May hold credentials: not shown.
            ("ice_servers", _) => ignored.push(
                "`ice_servers` are not used: this device is reached by its own addresses alone"
                    .to_owned(),
            ),
            _ => ignored.push(format!(
                "unknown key `{key}` ({}): it is not used",
                shown(&value)
            )),
        }
    }
    if let Some(host) = host {
        config.server = Some(server(&host, port.unwrap_or(443), secure.unwrap_or(true))?);
    } else if port.is_some() || secure.is_some() {
        ignored.push("`port` and `secure` are not used: there is no `signaling_server`".to_owned());
    }
    Ok((config, ignored))
}

fn server(host: &str, port: u16, secure: bool) -> Result<Url, String> {
    let wrong = || format!("`signaling_server` is {host:?}: it must be the name of a host");
    if host.is_empty() || host.contains(['/', '@', '?', '#', '\\']) {
        return Err(wrong());
    }
    let scheme = if secure { "https" } else { "http" };
    Url::parse(&format!("{scheme}://{host}:{port}/")).map_err(|_| wrong())
}

/// The names of Python's logging.
fn level(value: &Value) -> Result<LevelFilter, String> {
    let name = value.as_str().unwrap_or_default();
    Ok(match name.to_ascii_uppercase().as_str() {
        "CRITICAL" | "FATAL" | "ERROR" => LevelFilter::ERROR,
        "WARNING" | "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        _ => {
            return Err(wrong(
                "log_level",
                value,
                "DEBUG, INFO, WARNING, ERROR or CRITICAL",
            ));
        }
    })
}

/// A YAML mapping; an empty file is an empty one.
fn table(text: &str) -> Result<Map<String, Value>, String> {
    let document: Option<Value> =
        serde_saphyr::from_str(text).map_err(|error| format!("this is no YAML: {error}"))?;
    match document {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(table)) => Ok(table),
        Some(other) => Err(format!(
            "it must be `key: value` lines, and is {}",
            shown(&other)
        )),
    }
}

fn wrong(key: &str, value: &Value, wanted: &str) -> String {
    format!("`{key}` is {}: it must be {wanted}", shown(value))
}

/// Enough of a value to find it again.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config_of(text: &str) -> (OldConfig, Vec<String>) {
        read_config(text).expect("a usable file")
    }

    #[test]
    fn the_file_that_the_old_program_writes_is_read() {
        let (config, ignored) = config_of(
            "ice_servers:\n- urls:\n  - stun:stun.l.google.com:19302\n  credential: hush\nlog_level: INFO\nport: 443\nsecure: true\nsignaling_server: ambianic-pnp.herokuapp.com\n",
        );
        assert_eq!(
            config.server.expect("a server").as_str(),
            "https://ambianic-pnp.herokuapp.com/"
        );
        assert_eq!(config.log_level, Some(LevelFilter::INFO));
        assert_eq!(ignored.len(), 1);
        assert!(ignored[0].contains("ice_servers") && !ignored[0].contains("hush"));
    }

    #[test]
    fn what_is_missing_has_the_old_programs_defaults() {
        let server = |text| config_of(text).0.server.map(|url| url.to_string());
        assert_eq!(server(""), None);
        assert_eq!(
            server("signaling_server: localhost").as_deref(),
            Some("https://localhost/")
        );
        assert_eq!(
            server("{signaling_server: localhost, secure: false, port: 9000}").as_deref(),
            Some("http://localhost:9000/")
        );
        let (config, ignored) = config_of("port: 9000");
        assert_eq!(config, OldConfig::default());
        assert!(ignored[0].contains("signaling_server"));
    }

    #[test]
    fn wrong_values_and_unknown_keys_are_named_with_their_value() {
        for (text, key, value) in [
            ("port: abc", "port", "abc"),
            ("port: 0", "port", "0"),
            ("port: 65536", "port", "65536"),
            ("secure: maybe", "secure", "maybe"),
            ("log_level: LOUD", "log_level", "LOUD"),
            ("signaling_server: [1]", "signaling_server", "[1]"),
            (
                "signaling_server: https://example.org",
                "signaling_server",
                "https://example.org",
            ),
            (
                "signaling_server: user@example.org",
                "signaling_server",
                "user@example.org",
            ),
        ] {
            let error = read_config(text).expect_err(text);
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
        let (_, ignored) = config_of("colour: red");
        assert!(
            ignored[0].contains("`colour`") && ignored[0].contains("red"),
            "{ignored:?}"
        );
        for broken in ["{", "- a", "just words", "a: b: c", "&a [*a, *a"] {
            assert!(read_config(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn an_id_file_holds_json_or_yaml_or_nothing() {
        let id = "b1c6c1a4-19a1-4c9f-a0a8-0b4d5c1c3d22";
        let wanted = Some(PeerId::parse(id).expect("an id"));
        assert_eq!(
            read_id(&format!(r#"{{"peerId": "{id}"}}"#)),
            Ok(wanted.clone())
        );
        assert_eq!(read_id(&format!("peerId: {id}\n")), Ok(wanted));
        for empty in ["", "{}", "{\"peerId\": null}", "peerId: ''", "# nothing"] {
            assert_eq!(read_id(empty), Ok(None), "{empty}");
        }
        for wrong in ["peerId: 12", "peerId: [a]", "- a"] {
            assert!(read_id(wrong).is_err(), "{wrong}");
        }
        let long = format!("peerId: {}", "x".repeat(600));
        assert!(read_id(&long).is_err());
    }
}
