//! What a value may be, how it is read, and where it goes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use peerage_server::hub::Otherwise;
use peerage_server::{Cors, IceServer};
use serde::Deserialize;
use toml::Value;

use super::{Draft, GivenSecret};

/// What a value is, and where it goes.
pub(in super::super) enum Kind {
    Host,
    Port,
    Text(fn(&mut Draft) -> &mut String),
    Name(fn(&mut Draft) -> &mut Option<String>),
    File(fn(&mut Draft) -> &mut Option<PathBuf>),
    Flag(fn(&mut Draft) -> &mut bool),
    /// Says no to a flag.
    Not(fn(&mut Draft) -> &mut bool),
    Count(fn(&mut Draft) -> &mut usize),
    Rate(fn(&mut Draft) -> &mut u32),
    /// Or `none`.
    MaybeCount(fn(&mut Draft) -> &mut Option<usize>),
    Octets(fn(&mut Draft) -> &mut usize),
    OctetRate(fn(&mut Draft) -> &mut u32),
    /// Or `none`.
    MaybeOctetRate(fn(&mut Draft) -> &mut Option<u32>),
    /// The least, then where.
    Millis(u64, fn(&mut Draft) -> &mut Duration),
    Seconds(fn(&mut Draft) -> &mut Duration),
    Place(fn(&mut Draft) -> &mut Option<SocketAddr>),
    Places(fn(&mut Draft) -> &mut Vec<SocketAddr>),
    Addresses(fn(&mut Draft) -> &mut Vec<IpAddr>),
    Networks(fn(&mut Draft) -> &mut Vec<IpNet>),
    PortRange(fn(&mut Draft) -> &mut RangeInclusive<u16>),
    TurnSecret,
    TurnSecretFile,
    /// Or the server's own.
    RoomsPort,
    RoomsWebhook,
    RoomsOtherwise,
    Proxies,
    ProxyHeader,
    Origins,
    IceServers,
}

/// A year: far more than anybody waits, far less than what clocks can count.
const LONGEST: u64 = 365 * 24 * 60 * 60 * 1_000;
/// More of anything than a machine can hold.
const MOST: u64 = 1_000_000_000;
const MOST_OCTETS: u64 = 1 << 40;

impl Kind {
    /// What a value has to be, in words.
    pub(in super::super) fn expected(&self) -> String {
        match self {
            Self::Host => "an IP address or localhost".into(),
            Self::Port => "a port, 0 to 65535".into(),
            Self::Text(_) | Self::Name(_) => "a text".into(),
            Self::File(_) | Self::TurnSecretFile => "the path of a file".into(),
            Self::Flag(_) | Self::Not(_) => "true or false".into(),
            Self::Count(_) | Self::Rate(_) => format!("a whole number, 1 to {MOST}"),
            Self::MaybeCount(_) => format!("a whole number, 1 to {MOST}, or none"),
            Self::Octets(_) => "octets, 1 to 1024GiB: a whole number, or one with KiB, MiB or GiB".into(),
            Self::OctetRate(_) => format!(
                "octets, 1 to {}: a whole number, or one with KiB, MiB or GiB",
                u32::MAX
            ),
            Self::MaybeOctetRate(_) => format!(
                "octets, 1 to {}: a whole number, or one with KiB, MiB or GiB; or none",
                u32::MAX
            ),
            Self::Seconds(_) => {
                format!("seconds, a whole number, 1 to {} (a year)", LONGEST / 1_000)
            }
            Self::Place(_) => "an address with a port such as 127.0.0.1:9100 or [::1]:9100".into(),
            Self::Places(_) => "addresses with a port such as 192.0.2.1:3478 or [::]:3478".into(),
            Self::Addresses(_) => "IP addresses".into(),
            Self::Networks(_) => "addresses such as 10.0.0.5, and networks such as 10.0.0.0/8 with nothing behind the prefix".into(),
            Self::PortRange(_) => "ports from 1 on, the lower one first, such as 61000-62999".into(),
            Self::TurnSecret => "a line of 1 to 1024 printable characters".into(),
            Self::Millis(least, _) => format!("milliseconds, a whole number, {least} to {LONGEST} (a year)"),
            Self::RoomsPort => "a port, 0 to 65535, or none".into(),
            Self::RoomsWebhook => "a URL such as https://app.example/rooms, without user and password".into(),
            Self::RoomsOtherwise => "relay or drop".into(),
            Self::Proxies => "true, false, or addresses and networks such as 10.0.0.0/8".into(),
            Self::ProxyHeader => "a header's name such as X-Forwarded-For, Forwarded or X-Real-IP".into(),
            Self::Origins => "origins such as https://app.example, or *".into(),
            Self::IceServers => "URLs such as stun:HOST:PORT, or objects with `urls`, `username` and `credential`; turn: and turns: need both, or a --turn-secret-file to make them with".into(),
        }
    }

    /// Whether there may be several values.
    pub(in super::super) const fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Proxies
                | Self::Origins
                | Self::IceServers
                | Self::Places(_)
                | Self::Addresses(_)
                | Self::Networks(_)
        )
    }

    /// Whether the option alone, without a value, says something.
    pub(in super::super) const fn is_switch(&self) -> bool {
        matches!(self, Self::Proxies | Self::Flag(_) | Self::Not(_))
    }

    /// Whether a value may be shown to whoever reads errors.
    pub(in super::super) const fn is_public(&self) -> bool {
        !matches!(
            self,
            Self::IceServers | Self::TurnSecret | Self::RoomsWebhook
        )
    }

    /// One value of an option or a variable, as a file would hold it. What has the wrong form stays text, for [`Kind::set`] to refuse.
    pub(in super::super) fn read(&self, text: &str) -> Value {
        let number = || text.parse().map(Value::Integer).ok();
        let truth = || match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(Value::Boolean(true)),
            "false" | "0" | "no" => Some(Value::Boolean(false)),
            _ => None,
        };
        let typed = match self {
            Self::Host
            | Self::Text(_)
            | Self::Name(_)
            | Self::File(_)
            | Self::ProxyHeader
            | Self::Origins
            | Self::Place(_)
            | Self::Places(_)
            | Self::Addresses(_)
            | Self::Networks(_)
            | Self::PortRange(_)
            | Self::TurnSecret
            | Self::TurnSecretFile
            | Self::RoomsWebhook
            | Self::RoomsOtherwise => None,
            Self::Flag(_) | Self::Not(_) | Self::Proxies => truth(),
            Self::IceServers if text.starts_with('{') => serde_json::from_str(text).ok(),
            Self::IceServers => None,
            Self::Port
            | Self::RoomsPort
            | Self::Count(_)
            | Self::Rate(_)
            | Self::MaybeCount(_)
            | Self::Octets(_)
            | Self::OctetRate(_)
            | Self::MaybeOctetRate(_)
            | Self::Seconds(_)
            | Self::Millis(..) => number(),
        };
        typed.unwrap_or_else(|| Value::String(text.to_owned()))
    }

    /// The whole value of a variable: of lists the members, between commas or spaces.
    pub(in super::super) fn read_all(&self, text: &str) -> Value {
        if !self.is_list() {
            return self.read(text);
        }
        if matches!(self, Self::IceServers) && text.starts_with(['[', '{']) {
            return serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        }
        let members = text
            .split(|at: char| at == ',' || at.is_whitespace())
            .filter(|member| !member.is_empty());
        one_or_all(members.map(|member| self.read(member)).collect())
    }

    /// Puts a value where it belongs; none if it is not [what it has to be](Kind::expected). Names of files are relative to `base`.
    pub(in super::super) fn set(
        &self,
        draft: &mut Draft,
        value: &Value,
        base: &Path,
    ) -> Option<()> {
        match self {
            Self::Host => draft.config.listen.set_ip(host(value.as_str()?)?),
            Self::Port => draft
                .config
                .listen
                .set_port(value.as_integer()?.try_into().ok()?),
            Self::Text(at) => *at(draft) = value.as_str()?.to_owned(),
            Self::Name(at) => *at(draft) = Some(value.as_str()?.to_owned()),
            Self::File(at) => *at(draft) = Some(file(value, base)?),
            Self::Flag(at) => *at(draft) = value.as_bool()?,
            Self::Not(at) => *at(draft) = !value.as_bool()?,
            Self::Count(at) => *at(draft) = within(value, 1, MOST)?.try_into().ok()?,
            Self::Rate(at) => *at(draft) = within(value, 1, MOST)?.try_into().ok()?,
            Self::MaybeCount(at) => {
                *at(draft) = match value.as_str() {
                    Some("none") => None,
                    _ => Some(within(value, 1, MOST)?.try_into().ok()?),
                }
            }
            Self::Octets(at) => *at(draft) = octets(value)?.try_into().ok()?,
            Self::OctetRate(at) => *at(draft) = octets(value)?.try_into().ok()?,
            Self::MaybeOctetRate(at) => {
                *at(draft) = match value.as_str() {
                    Some("none") => None,
                    _ => Some(octets(value)?.try_into().ok()?),
                }
            }
            Self::Seconds(at) => {
                *at(draft) = Duration::from_secs(within(value, 1, LONGEST / 1_000)?);
            }
            Self::Place(at) => *at(draft) = Some(parsed(value)?),
            Self::Places(at) => *at(draft) = members(value, parsed)?,
            Self::Addresses(at) => *at(draft) = members(value, parsed)?,
            Self::Networks(at) => {
                *at(draft) = members(value, |member| whole_net(member.as_str()?))?
            }
            Self::PortRange(at) => *at(draft) = port_range(value.as_str()?)?,
            Self::TurnSecret => draft.turn_secret = Some(GivenSecret::Text(parsed(value)?)),
            Self::TurnSecretFile => {
                draft.turn_secret = Some(GivenSecret::File(file(value, base)?));
            }
            Self::RoomsPort => {
                draft.hub.port = match value.as_str() {
                    Some("none") => None,
                    _ => Some(value.as_integer()?.try_into().ok()?),
                }
            }
            Self::RoomsWebhook => draft.hub.webhook = Some(parsed(value)?),
            Self::RoomsOtherwise => {
                draft.hub.moderation_otherwise = match value.as_str()? {
                    "relay" => Otherwise::Relay,
                    "drop" => Otherwise::Drop,
                    _ => return None,
                }
            }
            Self::Millis(least, at) => {
                *at(draft) = Duration::from_millis(within(value, *least, LONGEST)?);
            }
            Self::Proxies => draft.config.proxies = proxies(value)?,
            Self::ProxyHeader => draft.config.proxy_header = value.as_str()?.parse().ok()?,
            Self::Origins => draft.config.cors = origins(value)?,
            Self::IceServers => draft.config.ice_servers = members(value, ice_server)?,
        }
        Some(())
    }

    /// The value as `--help` shows it; none where there is nothing to show.
    pub(in super::super) fn show(&self, draft: &mut Draft) -> Option<String> {
        match self {
            Self::Host => Some(draft.config.listen.ip().to_string()),
            Self::Port => Some(draft.config.listen.port().to_string()),
            Self::Text(at) => Some(at(draft).clone()),
            Self::Count(at) => Some(at(draft).to_string()),
            Self::Rate(at) => Some(at(draft).to_string()),
            Self::MaybeCount(at) => Some(at(draft).map_or("none".into(), |at| at.to_string())),
            Self::Octets(at) => Some(in_units(*at(draft) as u64)),
            Self::OctetRate(at) => Some(in_units((*at(draft)).into())),
            Self::MaybeOctetRate(at) => {
                Some(at(draft).map_or("none".into(), |at| in_units(at.into())))
            }
            Self::Millis(_, at) => Some(at(draft).as_millis().to_string()),
            Self::Seconds(at) => Some(at(draft).as_secs().to_string()),
            Self::PortRange(at) => {
                let range = at(draft);
                Some(format!("{}-{}", range.start(), range.end()))
            }
            Self::RoomsPort => Some("that of --port, or any other if it is taken".into()),
            Self::RoomsOtherwise => Some("relay".into()),
            Self::Origins => Some("*".into()),
            Self::ProxyHeader => Some(draft.config.proxy_header.to_string()),
            Self::Flag(at) => Some(at(draft).to_string()),
            Self::Proxies => Some("false".into()),
            Self::Name(_)
            | Self::File(_)
            | Self::Not(_)
            | Self::Place(_)
            | Self::Places(_)
            | Self::Addresses(_)
            | Self::Networks(_)
            | Self::TurnSecret
            | Self::TurnSecretFile
            | Self::RoomsWebhook
            | Self::IceServers => None,
        }
    }
}

/// A list, but for a switch that stands alone.
pub(in super::super) fn one_or_all(mut values: Vec<Value>) -> Value {
    match values.pop() {
        Some(one @ Value::Boolean(_)) if values.is_empty() => one,
        last => Value::Array(values.into_iter().chain(last).collect()),
    }
}

fn host(text: &str) -> Option<IpAddr> {
    if text == "localhost" {
        // The server takes the other family's loopback address as well.
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.parse().ok()
}

fn file(value: &Value, base: &Path) -> Option<PathBuf> {
    let path = value.as_str().filter(|path| !path.is_empty())?;
    Some(base.join(path))
}

fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// An address is a network of one.
/// The same, but nothing stands behind the prefix: who writes `10.0.0.5/8` may mean one address, and would open them all.
fn whole_net(text: &str) -> Option<IpNet> {
    net(text).filter(|net| net.trunc() == *net)
}

fn net(text: &str) -> Option<IpNet> {
    let address = || text.parse().ok().map(|address: IpAddr| address.into());
    text.parse().ok().or_else(address)
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (1..=to).contains(&from).then_some(from..=to)
}

fn within(value: &Value, least: u64, most: u64) -> Option<u64> {
    let number = value.as_integer()?.try_into().ok()?;
    (least..=most).contains(&number).then_some(number)
}

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn octets(value: &Value) -> Option<u64> {
    let Value::String(text) = value else {
        return within(value, 1, MOST_OCTETS);
    };
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?.trim_end(), unit)))?;
    let number: u64 = number.parse().ok()?;
    let octets = number.checked_mul(*unit)?;
    (1..=MOST_OCTETS).contains(&octets).then_some(octets)
}

fn in_units(octets: u64) -> String {
    UNITS
        .iter()
        .find(|(_, unit)| octets >= *unit && octets.is_multiple_of(*unit))
        .map_or(octets.to_string(), |(name, unit)| {
            format!("{}{name}", octets / unit)
        })
}

/// All members of a list, or the one value.
fn members<T>(value: &Value, member: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(values) => values.iter().map(member).collect(),
        one => Some(vec![member(one)?]),
    }
}

/// Loopback, link-local and unique-local addresses: where one's own proxy is.
const NEAR: [&str; 8] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

fn proxies(value: &Value) -> Option<Vec<IpNet>> {
    match value {
        Value::Boolean(false) => Some(Vec::new()),
        Value::Boolean(true) => NEAR.iter().map(|text| net(text)).collect(),
        list => members(list, |member| net(member.as_str()?)),
    }
}

fn origins(value: &Value) -> Option<Cors> {
    let origins = members(value, |member| member.as_str().map(str::to_owned))?;
    if origins.iter().any(|origin| origin == "*") {
        return (origins.len() == 1).then_some(Cors::Any);
    }
    let origins: Option<Vec<_>> = origins.iter().map(|origin| normal_origin(origin)).collect();
    Some(Cors::Origins(origins?))
}

/// As browsers write it (RFC 6454 section 6.1).
fn normal_origin(text: &str) -> Option<String> {
    let origin = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = origin.split_once("://")?;
    let is_whole =
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']);
    is_whole.then_some(origin)
}

/// As browsers' `RTCIceServer`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IceServerShape {
    urls: Value,
    username: Option<String>,
    credential: Option<String>,
}

fn ice_server(value: &Value) -> Option<IceServer> {
    let shape = match value {
        Value::Table(_) => value.clone().try_into().ok()?,
        url => IceServerShape {
            urls: url.clone(),
            username: None,
            credential: None,
        },
    };
    let urls = members(&shape.urls, |url| url.as_str().map(str::to_owned))?;
    // Both, or neither where there is a secret to make them with: that is seen when all is read.
    let is_even = shape.username.is_some() == shape.credential.is_some();
    let is_good = |url: &String| match url.split_once(':') {
        Some(("stun" | "stuns", rest)) => !rest.is_empty(),
        Some(("turn" | "turns", rest)) => !rest.is_empty() && is_even,
        _ => false,
    };
    (!urls.is_empty() && urls.iter().all(is_good)).then_some(IceServer {
        urls,
        username: shape.username,
        credential: shape.credential,
    })
}
