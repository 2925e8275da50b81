//! What can be set.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;

use super::Secret;
use crate::config::{ConfigError, LONGEST};

/// Rooms of a [`Server`](crate::Server): by what addresses their members come, who may ask about them, and whom the server tells of them.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The UDP port of all members. Default none: that of the server's HTTP, or any other if it is taken. One that is named must be free.
    pub port: Option<u16>,
    /// Addresses that members are told to come to. Default none: those at which the server listens. One that this machine does not have is what the
    /// internet calls it, behind a 1:1 NAT.
    pub addresses: Vec<IpAddr>,
    /// Who may ask about rooms and speak to them over HTTP. Default nobody.
    pub admin: Admin,
    /// An HTTP service that is told what happens in rooms. Default none.
    pub webhook: Option<WebhookUrl>,
    /// What its requests are signed with. It must be there if the service is.
    pub webhook_secret: Option<Secret>,
    /// Whether each message is relayed only after that service has answered. Default no.
    pub moderate: bool,
    /// How long a message waits for that answer. Default 2 s.
    pub moderation_timeout: Duration,
    /// What becomes of a message without one. Default: it is relayed.
    pub moderation_otherwise: Otherwise,
    /// How many, how large, how often.
    pub limits: HubLimits,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            port: None,
            addresses: Vec::new(),
            admin: Admin::Nobody,
            webhook: None,
            webhook_secret: None,
            moderate: false,
            moderation_timeout: Duration::from_secs(2),
            moderation_otherwise: Otherwise::Relay,
            limits: HubLimits::default(),
        }
    }
}

/// Who may use the operator's routes: [`admin_routes`](super::admin_routes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// Nobody: they are not found.
    #[default]
    Nobody,
    /// Who shows this token (`authorization: Bearer TOKEN`).
    Token(Secret),
    /// Everybody who reaches the server by `localhost` or an IP address and is no web page of another origin. For play on one's own machine.
    Open,
}

/// An HTTP service that is told what happens in rooms, and may have a word in it. The form of the requests stands in `docs/rooms.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to POST. Redirections are not followed.
    pub url: WebhookUrl,
    /// What each request is signed with.
    pub secret: Secret,
    /// Whether each message is relayed only after the service has answered.
    pub moderate: bool,
}

impl Webhook {
    /// One that is told of what happens, and not asked.
    #[must_use]
    pub const fn new(url: WebhookUrl, secret: Secret) -> Self {
        Self {
            url,
            secret,
            moderate: false,
        }
    }
}

/// Where a webhook is: `http://` or `https://`, with a host and without user and password. `Debug` leaves out the query, in which some have a password.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

/// A text that is no [`WebhookUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook is at a URL such as https://app.example/rooms, without user and password")]
pub struct NotAWebhook;

impl WebhookUrl {
    pub(super) const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for WebhookUrl {
    type Err = NotAWebhook;

    fn from_str(text: &str) -> Result<Self, NotAWebhook> {
        let uri: Uri = text.parse().map_err(|_| NotAWebhook)?;
        let is_whole = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|at| !at.host().is_empty() && !at.as_str().contains('@'));
        is_whole.then_some(Self(uri)).ok_or(NotAWebhook)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str(), self.0.authority());
        let authority = authority.map_or("", |at| at.as_str());
        let (scheme, path) = (scheme.unwrap_or_default(), self.0.path());
        write!(f, "{scheme}://{authority}{path}")
    }
}

/// What becomes of a message whose moderator fails, or does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Otherwise {
    /// It is relayed.
    #[default]
    Relay,
    /// It is forgotten.
    Drop,
}

/// How many, how large, how often. Everything beyond is refused or dropped, and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubLimits {
    /// Rooms at a time. Default 1,000.
    pub rooms: usize,
    /// Connections of members of all rooms together, those on their way included. Default 10,000.
    pub members: usize,
    /// Members of one room. Default 1,000.
    pub room_members: usize,
    /// Members from one address, an IPv6 /64 counting as one. Default none: behind carriers' NAT thousands have one.
    pub members_per_address: Option<usize>,
    /// Connections that are being made at a time; each has 30 s. Default 512.
    pub half_open: usize,
    /// The same from one address. Default 128: a lecture that joins at once.
    pub half_open_per_address: usize,
    /// Offers a second from one address in the long run. Default 10.
    pub offer_rate: u32,
    /// Offers from one address at once, beyond that. Default 200.
    pub offer_burst: u32,
    /// Octets of one message of a member. Default 64 KiB.
    pub message: usize,
    /// Messages a second of one member in the long run. Default 200.
    pub message_rate: u32,
    /// Messages of one member at once, beyond that. Default 500.
    pub message_burst: u32,
    /// Octets a second of one member; more are read later. Default 1 MiB, which is also what may come at once: one member alone does not fill another's queue
    /// faster than that.
    pub octet_rate: u32,
    /// Octets that wait for one member to take them. Default 2 MiB: all that a room keeps for who comes back, and as much again. A slower member is dropped.
    pub send_queue: usize,
    /// Octets that wait for all members together: a message counts once, however many it is for, with 64 octets more. Default 512 MiB. Above it a member for whom
    /// more than 16 KiB wait is dropped as a slow one.
    pub buffered: usize,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            rooms: 1_000,
            members: 10_000,
            room_members: 1_000,
            members_per_address: None,
            half_open: 512,
            half_open_per_address: 128,
            offer_rate: 10,
            offer_burst: 200,
            message: 64 * 1024,
            message_rate: 200,
            message_burst: 500,
            octet_rate: 1024 * 1024,
            send_queue: 2 * 1024 * 1024,
            buffered: 512 * 1024 * 1024,
        }
    }
}

/// The largest [`HubLimits::message`], and the most that the server says: what data channels carry, less what a frame and a name take.
pub(super) const LARGEST_MESSAGE: usize = 240 * 1024;

impl HubConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let is_somewhere = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
        if let Some(ip) = self.addresses.iter().find(|ip| !is_somewhere(ip)) {
            return Err(ConfigError {
                key: "hub.addresses",
                value: ip.to_string(),
                expected: "an address that members can come to: one of this machine, or what the internet calls it",
            });
        }
        if self.webhook.is_some() && self.webhook_secret.is_none() {
            return Err(ConfigError {
                key: "hub.webhook_secret",
                value: "none".to_owned(),
                expected: "a secret that the webhook's requests are signed with",
            });
        }
        if self.moderate && self.webhook.is_none() {
            return Err(ConfigError {
                key: "hub.moderate",
                value: "true".to_owned(),
                expected: "a webhook beside it, which is asked",
            });
        }
        check_moderation(self.moderation_timeout)?;
        self.limits.check()
    }

    pub(super) fn webhook(&self) -> Option<Webhook> {
        Some(Webhook {
            url: self.webhook.clone()?,
            secret: self.webhook_secret.clone()?,
            moderate: self.moderate,
        })
    }
}

/// How long a verdict may be waited for.
pub(super) fn check_moderation(timeout: Duration) -> Result<(), ConfigError> {
    if timeout.is_zero() || timeout > LONGEST {
        return Err(ConfigError {
            key: "hub.moderation_timeout",
            value: format!("{timeout:?}"),
            expected: "more than nothing, and at most a year",
        });
    }
    Ok(())
}

impl HubLimits {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let numbers = [
            ("hub.limits.rooms", self.rooms),
            ("hub.limits.members", self.members),
            ("hub.limits.room_members", self.room_members),
            (
                "hub.limits.members_per_address",
                self.members_per_address.unwrap_or(1),
            ),
            ("hub.limits.half_open", self.half_open),
            (
                "hub.limits.half_open_per_address",
                self.half_open_per_address,
            ),
            ("hub.limits.offer_rate", self.offer_rate as usize),
            ("hub.limits.offer_burst", self.offer_burst as usize),
            ("hub.limits.message", self.message),
            ("hub.limits.message_rate", self.message_rate as usize),
            ("hub.limits.message_burst", self.message_burst as usize),
            ("hub.limits.octet_rate", self.octet_rate as usize),
            ("hub.limits.send_queue", self.send_queue),
            ("hub.limits.buffered", self.buffered),
        ];
        if let Some((key, value)) = numbers.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError {
                key,
                value: value.to_string(),
                expected: "at least 1",
            });
        }
        if self.message > LARGEST_MESSAGE {
            return Err(ConfigError {
                key: "hub.limits.message",
                value: self.message.to_string(),
                expected: "at most 240 KiB, which data channels carry at once",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_let_nobody_ask_about_rooms() {
        let config = HubConfig::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.admin, Admin::Nobody);
    }

    #[test]
    fn a_webhook_is_an_http_url_without_password_and_debug_output_does_not_show_its_query() {
        for url in [
            "",
            "/rooms",
            "x.example",
            "ftp://x.example/",
            "http:///rooms",
            "http://u:hidden@x.example/",
        ] {
            assert_eq!(url.parse::<WebhookUrl>(), Err(NotAWebhook), "{url}");
        }
        let url: WebhookUrl = "https://x.example:8443/rooms?p=hidden".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://x.example:8443/rooms");
    }

    #[test]
    fn a_webhook_has_a_secret_and_who_wants_moderation_has_a_webhook() {
        let url = "http://x.example/".parse().ok();
        let mut config = HubConfig {
            webhook: url,
            moderate: true,
            ..HubConfig::default()
        };
        assert_eq!(config.check().unwrap_err().key, "hub.webhook_secret");
        config.webhook_secret = "0123456789abcdef".parse().ok();
        assert_eq!(config.check(), Ok(()));
        config.webhook = None;
        assert_eq!(config.check().unwrap_err().key, "hub.moderate");
    }

    #[test]
    fn members_are_told_addresses_that_are_somewhere() {
        for ip in ["0.0.0.0", "::", "224.0.0.1"] {
            let config = HubConfig {
                addresses: vec![ip.parse().unwrap()],
                ..HubConfig::default()
            };
            assert_eq!(config.check().unwrap_err().key, "hub.addresses", "{ip}");
        }
    }

    #[test]
    fn no_limit_is_nothing_and_no_message_is_larger_than_channels_carry() {
        let limits = HubLimits {
            offer_burst: 0,
            ..HubLimits::default()
        };
        assert_eq!(limits.check().unwrap_err().key, "hub.limits.offer_burst");
        let limits = HubLimits {
            message: 256 * 1024,
            ..HubLimits::default()
        };
        assert_eq!(limits.check().unwrap_err().key, "hub.limits.message");
    }
}
