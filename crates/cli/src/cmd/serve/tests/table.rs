//! Every field of the configuration has a setting, and every setting a sample.

use std::collections::HashMap;

use peerage_server::hub::{HubConfig, HubLimits};
use peerage_server::{Config, NamesConfig, NearbyConfig, SignalConfig, TurnConfig};

use super::super::settings::{Draft, SETTINGS};
use super::{file, options, variables};

macro_rules! each_field {
    ($of:expr, $prefix:literal, $type:ident { $($field:ident),* $(,)? } $(but $($apart:ident),+)?) => {{
        // No `..`: a new field stops this from compiling until it has a setting.
        let $type { $($field,)* $($($apart: _),+)? } = $of;
        [$((concat!($prefix, stringify!($field)), format!("{:?}", $field))),*]
    }};
}

/// All of a configuration, as [`ConfigError`] names it.
fn fields(config: &Config) -> HashMap<&'static str, String> {
    let own = each_field!(config, "", Config {
        listen, domain, tls, path, proxies, proxy_header, discovery, cors, ice_servers, metrics, connections, connections_per_address, handshake,
        http_lifetime, message_rate, message_burst, octet_rate, send_queue, buffered, stall, drain,
    } but signal, names, nearby, turn, hub, ice_secret);
    let signal = each_field!(
        &config.signal,
        "signal.",
        SignalConfig {
            key,
            expire_after,
            alive_for,
            hold_at_most,
            held,
            peers,
            waiting_messages,
            waiting_octets,
            sender_waiting_octets,
            all_waiting_octets,
            watched,
            watchers,
            all_watched,
        }
    );
    // The secret is no setting: it is kept in the state folder.
    let nearby = each_field!(&config.nearby, "nearby.", NearbyConfig { members } but secret);
    let default = NamesConfig::default();
    let names = each_field!(
        config.names.as_ref().unwrap_or(&default),
        "names.",
        NamesConfig {
            names,
            names_per_socket,
            ping_after,
            alive_for,
        }
    );
    let default = TurnConfig::default();
    let turn = each_field!(
        config.turn.as_ref().unwrap_or(&default),
        "turn.",
        TurnConfig {
            listen,
            tls_listen,
            relay_addresses,
            external_addresses,
            relay_ports,
            realm,
            host,
            secret,
            lifetime,
            user_quota,
            address_quota,
            total_quota,
            bandwidth,
            allow_peers,
            deny_peers,
        }
    );
    let default = HubConfig::default();
    let hub = config.hub.as_ref().unwrap_or(&default);
    let limits = each_field!(
        &hub.limits,
        "hub.limits.",
        HubLimits {
            rooms,
            members,
            room_members,
            members_per_address,
            half_open,
            half_open_per_address,
            offer_rate,
            offer_burst,
            message,
            message_rate,
            message_burst,
            octet_rate,
            send_queue,
            buffered,
        }
    );
    let hub = each_field!(hub, "hub.", HubConfig {
        port, addresses, admin, webhook, webhook_secret, moderate, moderation_timeout, moderation_otherwise,
    } but limits);
    let with_hub = ("hub", config.hub.is_some().to_string());
    let with_names = ("names", config.names.is_some().to_string());
    let with_turn = ("turn", config.turn.is_some().to_string());
    own.into_iter()
        .chain(signal)
        .chain(names)
        .chain(nearby)
        .chain(turn)
        .chain(hub)
        .chain(limits)
        .chain([with_names, with_turn, with_hub])
        .collect()
}

fn defaults() -> Config {
    Draft::new().finish().unwrap()
}

/// For each setting a value that is not the default: as an option or variable has it, and as a file has it.
const SAMPLES: &[(&str, &str, &str)] = &[
    ("host", "::1", "'::1'"),
    ("port", "9001", "9001"),
    ("path", "/myapp", "'/myapp'"),
    ("key", "mykey", "'mykey'"),
    ("expire-timeout", "1234", "1234"),
    ("alive-timeout", "1234", "1234"),
    ("concurrent-limit", "12", "12"),
    ("allow-discovery", "true", "true"),
    ("proxied", "10.0.0.0/8", "['10.0.0.0/8']"),
    ("proxy-header", "Forwarded", "'Forwarded'"),
    ("cors", "https://app.example", "['https://app.example']"),
    ("domain", "devices.example", "'devices.example'"),
    ("tls-cert", "/cert.pem", "'/cert.pem'"),
    ("tls-key", "/key.pem", "'/key.pem'"),
    ("ice-server", "stun:a:1", "['stun:a:1']"),
    ("usernames", "false", "false"),
    ("turn", "false", "false"),
    ("no-turn", "true", "true"),
    ("turn-listen", "[::1]:1", "['[::1]:1']"),
    ("turn-tls-listen", "192.0.2.1:1", "'192.0.2.1:1'"),
    ("turn-relay-address", "192.0.2.1", "'192.0.2.1'"),
    ("turn-external-address", "192.0.2.1", "['192.0.2.1']"),
    ("turn-relay-ports", "1-2", "'1-2'"),
    ("turn-realm", "x", "'x'"),
    ("turn-host", "x", "'x'"),
    ("turn-secret", "hush", "'hush'"),
    ("turn-secret-file", "", ""),
    ("turn-credential-lifetime", "60", "60"),
    ("turn-user-quota", "12", "12"),
    ("turn-address-quota", "12", "12"),
    ("turn-total-quota", "12", "12"),
    ("turn-bandwidth", "1MiB", "'1MiB'"),
    ("turn-allow-peer", "10.0.0.0/8", "['10.0.0.0/8']"),
    ("turn-deny-peer", "192.0.2.1", "'192.0.2.1'"),
    ("rooms", "false", "false"),
    ("no-rooms", "true", "true"),
    ("rooms-port", "9001", "9001"),
    ("rooms-address", "192.0.2.1", "'192.0.2.1'"),
    ("rooms-admin-token-file", "", ""),
    ("rooms-admin-open", "true", "true"),
    ("rooms-webhook", "http://x.example/", "'http://x.example/'"),
    ("rooms-webhook-secret-file", "", ""),
    ("rooms-moderate", "true", "true"),
    ("rooms-moderation-timeout", "1234", "1234"),
    ("rooms-moderation-fallback", "drop", "'drop'"),
    ("metrics", "127.0.0.1:9100", "'127.0.0.1:9100'"),
    ("connections", "12", "12"),
    ("connections-per-address", "12", "12"),
    ("room-members", "12", "12"),
    ("handshake-timeout", "1234", "1234"),
    ("http-lifetime", "1234", "1234"),
    ("message-rate", "12", "12"),
    ("message-burst", "12", "12"),
    ("octet-rate", "1234", "1234"),
    ("send-queue", "8MiB", "'8MiB'"),
    ("buffered", "8MiB", "'8MiB'"),
    ("stall-timeout", "1234", "1234"),
    ("hold-timeout", "1234", "1234"),
    ("waiting-messages", "12", "12"),
    ("waiting-octets", "8MiB", "'8MiB'"),
    ("sender-waiting-octets", "3MiB", "'3MiB'"),
    ("all-waiting-octets", "8MiB", "'8MiB'"),
    ("held", "12", "12"),
    ("all-watched", "12", "12"),
    ("watched", "12", "12"),
    ("watchers", "12", "12"),
    ("usernames-limit", "12", "12"),
    ("usernames-per-socket", "12", "12"),
    ("usernames-ping", "1234", "1234"),
    ("usernames-alive-timeout", "1234", "1234"),
    ("rooms-limit", "12", "12"),
    ("rooms-members", "12", "12"),
    ("rooms-members-per-room", "12", "12"),
    ("rooms-members-per-address", "12", "12"),
    ("rooms-half-open", "12", "12"),
    ("rooms-half-open-per-address", "12", "12"),
    ("rooms-offer-rate", "12", "12"),
    ("rooms-offer-burst", "12", "12"),
    ("rooms-message-size", "8KiB", "'8KiB'"),
    ("rooms-message-rate", "12", "12"),
    ("rooms-message-burst", "12", "12"),
    ("rooms-octet-rate", "8MiB", "'8MiB'"),
    ("rooms-send-queue", "8MiB", "'8MiB'"),
    ("rooms-buffered", "8MiB", "'8MiB'"),
    ("drain-timeout", "1234", "1234"),
];

#[test]
fn every_setting_is_an_option_a_variable_and_a_key_of_the_file_and_every_field_has_a_setting() {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
    let samples: Vec<_> = SAMPLES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, samples, "each setting has a sample");
    let before = fields(&defaults());
    let mut reached = Vec::new();
    for (setting, (name, text, toml)) in SETTINGS.iter().zip(SAMPLES) {
        reached.push(setting.field);
        // What is in a file has a test of its own.
        if text.is_empty() {
            continue;
        }
        let mut option = vec![format!("--{name}={text}")];
        let mut variable = vec![(variable_of(name), *text)];
        let mut lines = format!("{name} = {toml}\n");
        // One half of TLS is an error.
        for other in ["tls-cert", "tls-key"] {
            if setting.field == "tls" && *name != other {
                option.push(format!("--{other}=x"));
                variable.push((variable_of(other), "x"));
                lines += &format!("{other} = 'x'\n");
            }
        }
        // The name, not the value.
        let spelled = |said: &str| {
            let (name, value) = said.split_once('=').unwrap();
            let name = name.trim_start_matches('-').replace('-', "_");
            format!("{name}={value}")
        };
        let underscored: Vec<_> = option
            .iter()
            .map(|option| format!("--{}", spelled(option)))
            .collect();
        let underscored_lines: Vec<_> = lines.lines().map(spelled).collect();
        let variable: Vec<_> = variable
            .iter()
            .map(|(name, text)| (name.as_str(), *text))
            .collect();
        let ways = [
            options(&refs(&option)).config(),
            options(&refs(&underscored)).config(),
            variables(&variable).config(),
            file(&lines).config(),
            file(&underscored_lines.join("\n")).config(),
        ]
        .map(|config| fields(&config));
        for after in &ways {
            let changed: Vec<_> = after
                .iter()
                .filter(|(field, value)| before[*field] != **value)
                .collect();
            let expected = (&setting.field, &ways[0][setting.field]);
            // Files that a file names lie beside it: these have a test of their own.
            if setting.field == "tls" {
                assert_eq!((changed.len(), changed[0].0), (1, expected.0), "{name}");
            } else {
                assert_eq!(changed, [expected], "{name}");
            }
        }
    }
    for field in before.keys() {
        assert!(reached.contains(field), "{field} has no setting");
    }
}

fn variable_of(name: &str) -> String {
    format!("PEERAGE_{}", name.to_uppercase().replace('-', "_"))
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
