//! A hub before it is open.

use std::time::Duration;

use ipnet::IpNet;
use peerage_proto::wire::forwarded::Header;

use super::handlers::{Draft, Happening, Moderator, Wants};
use super::message::{HostChange, Incoming, Left, Presence, Verdict};
use super::{Addresses, Hub, HubError, HubLimits, Otherwise, Webhook};
use crate::config::Cors;

/// Makes a [`Hub`]: where its members come, what is done about what happens.
#[derive(Debug)]
pub struct HubBuilder {
    pub(super) port: u16,
    pub(super) addresses: Addresses,
    pub(super) limits: HubLimits,
    pub(super) doors: Doors,
    pub(super) handlers: Vec<Draft>,
    pub(super) moderators: Vec<Moderator>,
    pub(super) moderation: Moderation,
    pub(super) webhook: Option<Webhook>,
}

/// Who asks over HTTP.
#[derive(Clone, Debug, Default)]
pub(super) struct Doors {
    pub(super) cors: Cors,
    pub(super) proxies: Vec<IpNet>,
    pub(super) proxy_header: Header,
}

/// What becomes of a message whose moderator does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moderation {
    pub(super) timeout: Duration,
    pub(super) otherwise: Otherwise,
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self {
            port: 0,
            addresses: Addresses::AllAndLoopback,
            limits: HubLimits::default(),
            doors: Doors::default(),
            handlers: Vec::new(),
            moderators: Vec::new(),
            moderation: Moderation {
                timeout: Duration::from_secs(2),
                otherwise: Otherwise::Relay,
            },
            webhook: None,
        }
    }
}

impl HubBuilder {
    /// The UDP port of all members. Default 0: any free one.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Where members are told to come. Default [`Addresses::AllAndLoopback`]: all addresses of this machine.
    #[must_use]
    pub fn addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// How many, how large, how often.
    #[must_use]
    pub const fn limits(mut self, limits: HubLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Which web pages may use [`routes`](super::routes). Default all: what they tell a page is its own connection.
    #[must_use]
    pub fn cors(mut self, cors: Cors) -> Self {
        self.doors.cors = cors;
        self
    }

    /// Proxies in front of [`routes`](super::routes): from them alone the header in which they name the client is believed. Default none.
    #[must_use]
    pub fn proxies(mut self, proxies: Vec<IpNet>, header: Header) -> Self {
        (self.doors.proxies, self.doors.proxy_header) = (proxies, header);
        self
    }

    /// As [`Hub::on`].
    #[must_use]
    pub fn on<F, R>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.handlers.push(on(event, handler));
        self
    }

    /// As [`Hub::tap`].
    #[must_use]
    pub fn tap<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.handlers.push(tap(handler));
        self
    }

    /// As [`Hub::on_joined`].
    #[must_use]
    pub fn on_joined<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Presence) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.handlers.push(on_joined(handler));
        self
    }

    /// As [`Hub::on_left`].
    #[must_use]
    pub fn on_left<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(Presence, Left) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.handlers.push(on_left(handler));
        self
    }

    /// As [`Hub::on_host`].
    #[must_use]
    pub fn on_host<F, R>(mut self, handler: F) -> Self
    where
        F: Fn(HostChange) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.handlers.push(on_host(handler));
        self
    }

    /// Has each message of a member relayed only if this says so. Messages of one member are asked about as they come, and relayed, to members and to handlers, in their order; others do not wait for them.
    /// Several moderators are asked in turn, each about what the one before made of the message; the webhook comes last. Handlers hear what is relayed.
    ///
    /// Where it panics or takes longer than [`moderation`](Self::moderation) says, the message takes the way that is said there.
    #[must_use]
    pub fn moderate<F, R>(mut self, moderator: F) -> Self
    where
        F: Fn(Incoming) -> R + Send + Sync + 'static,
        R: Future<Output = Verdict> + Send + 'static,
    {
        let moderator = std::sync::Arc::new(moderator);
        self.moderators.push(Moderator::new(move |incoming| {
            let moderator = moderator.clone();
            async move { Some(moderator(incoming).await) }
        }));
        self
    }

    /// How long a message waits for all its moderators, and what becomes of it then. Default 2 s, and it is relayed.
    #[must_use]
    pub const fn moderation(mut self, timeout: Duration, otherwise: Otherwise) -> Self {
        self.moderation = Moderation { timeout, otherwise };
        self
    }

    /// Tells an HTTP service what happens, and asks it if it is to [moderate](Webhook::moderate).
    #[must_use]
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// Opens it, on the tokio runtime in which this is called: its tasks run there, and its members' connections on one thread of its own.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn open(self) -> Result<Hub, HubError> {
        Hub::open(self).await
    }
}

pub(super) fn on<F, R>(event: &str, handler: F) -> Draft
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    messages(Wants::Event(event.into()), handler)
}

pub(super) fn tap<F, R>(handler: F) -> Draft
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    messages(Wants::Messages, handler)
}

fn messages<F, R>(wants: Wants, handler: F) -> Draft
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Draft::new(wants, move |happening| match happening {
        Happening::Message(incoming) => Some(handler(incoming)),
        _ => None,
    })
}

pub(super) fn on_joined<F, R>(handler: F) -> Draft
where
    F: Fn(Presence) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Draft::new(Wants::Joined, move |happening| match happening {
        Happening::Joined(who) => Some(handler(who)),
        _ => None,
    })
}

pub(super) fn on_left<F, R>(handler: F) -> Draft
where
    F: Fn(Presence, Left) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Draft::new(Wants::Left, move |happening| match happening {
        Happening::Left(who, why) => Some(handler(who, why)),
        _ => None,
    })
}

pub(super) fn on_host<F, R>(handler: F) -> Draft
where
    F: Fn(HostChange) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Draft::new(Wants::Host, move |happening| match happening {
        Happening::Host(change) => Some(handler(change)),
        _ => None,
    })
}
