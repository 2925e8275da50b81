//! Connections whose descriptions the caller carries: what a hub of many members, and a client of one, stand on.
//!
//! A [`Direct`] is one thread and, for all that it answers, one UDP port. Offer and answer are texts, complete with their candidates, which go by whatever
//! way the caller has: a request and its response are enough. Nothing is verified but that the other end is the one of the description: who that is, is
//! for the way to say that the description came by. Peers that find each other by id, and prove who they are, are [`Peer`](crate::Peer)s.
//!
//! ```
//! use peerage_peer::direct::{Addresses, ChannelInit, Direct, DirectConfig, LinkEvent};
//! use peerage_peer::Message;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = DirectConfig { addresses: Addresses::Loopback, ..DirectConfig::default() };
//! let (hub, member) = (Direct::open(config.clone())?, Direct::open(config)?);
//!
//! let (mut there, offer) = member.offer(&[ChannelInit::reliable("news")]).await?;
//! let (mut here, answer) = hub.answer(&offer).await?;
//! there.accept(&answer).await?;
//!
//! let Some(LinkEvent::Open(mut news)) = there.event().await else { panic!() };
//! let Some(LinkEvent::Open(channel)) = here.event().await else { panic!() };
//! channel.send(Message::Text("hello".into())).await?;
//! assert_eq!(news.recv().await, Some(Message::Text("hello".into())));
//! # Ok(())
//! # }
//! ```

mod error;
mod link;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerage_proto::wire::sdp::DataDescription;

use crate::engine::{Described, Engine, EngineConfig, Event, Queues};

pub use crate::engine::{Addresses, ChannelInit};
pub use error::DirectError;
pub use link::{Link, LinkEvent};

/// Least silence that is told of.
const LEAST_SILENCE: Duration = Duration::from_millis(250);
/// Offered links of one [`Direct`] that live at a time: each has a UDP port.
pub const MAX_OFFERED: usize = 256;
/// Channels that one offer may ask for.
pub const MAX_CHANNELS: usize = 16;

/// What a [`Direct`] is made of.
#[derive(Debug, Clone)]
pub struct DirectConfig {
    /// UDP port for all links that are answered, 0 for any. Default 0. Offered ones have a port each.
    pub port: u16,
    /// Where peers are told that this machine is. Default [`Addresses::All`].
    pub addresses: Addresses,
    /// Without a word of the peer for this long a link is [silent](LinkEvent::Silent); the peer is asked for one after half of it. At least 250 ms.
    /// Default 5 s.
    pub silent_after: Duration,
    /// Without a word of the peer for this long a link ends as [lost](crate::CloseReason::Lost). Default 10 s.
    pub lost_after: Duration,
    /// How long a link may take until its first channel is open; then it ends as [without a route](crate::CloseReason::NoRoute). Default 30 s.
    pub open_within: Duration,
    /// Answered links that may be waiting for that at a time. One more is refused with [`DirectError::Busy`]. Default 512.
    pub half_open: usize,
    /// Channels of one link; further ones are closed as the peer opens them. Default 4.
    pub channels: usize,
    /// Octets that wait in each channel for this machine to send them, beside at most 128 KiB that it has sent and the peer has not acknowledged. A message of
    /// n octets counts n + 64. Default 1 MiB.
    pub queue: usize,
    /// Octets that wait in each channel for the application to read them. Then the peer is not acknowledged any more, and after 30 s the link ends as
    /// [the reader's fault](crate::CloseReason::SlowReader). An unreliable channel's messages are dropped instead. Default 1 MiB.
    pub receive_queue: usize,
    /// While messages wait in a channel beside what is sent and not acknowledged, the peer must take 256 KiB of it in any such time; a link whose peer does not
    /// ends as [slow](crate::CloseReason::SlowPeer), and with it what waits. Default 30 s.
    pub untaken_after: Duration,
}

/// An engine of links: one thread, one UDP port for what is answered. Clones are the same; it ends with its last handle and [`Link`].
#[derive(Debug, Clone)]
pub struct Direct {
    engine: Engine,
    slots: Arc<Mutex<BTreeSet<usize>>>,
}

/// The port that an offered link has to itself.
#[derive(Debug)]
struct Slot {
    number: usize,
    slots: Arc<Mutex<BTreeSet<usize>>>,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            port: 0,
            addresses: Addresses::All,
            silent_after: Duration::from_secs(5),
            lost_after: Duration::from_secs(10),
            open_within: Duration::from_secs(30),
            half_open: 512,
            channels: 4,
            queue: 1 << 20,
            receive_queue: 1 << 20,
            untaken_after: Duration::from_secs(30),
        }
    }
}

impl Direct {
    /// Binds the port and starts the thread.
    ///
    /// # Errors
    /// The port is not to be had, or no certificate could be made.
    pub fn open(config: DirectConfig) -> Result<Self, DirectError> {
        let engine = Engine::new(EngineConfig {
            port: config.port,
            addresses: config.addresses,
            silent_after: config.silent_after.max(LEAST_SILENCE),
            lost_after: config.lost_after,
            connect: config.open_within,
            half_open: config.half_open,
            queues: Queues {
                channels: config.channels,
                send: config.queue,
                receive: config.receive_queue,
                untaken_after: Some(config.untaken_after),
            },
            ..EngineConfig::default()
        })?;
        let slots = Arc::default();
        Ok(Self { engine, slots })
    }

    /// The UDP port of all links that are answered.
    pub fn port(&self) -> u16 {
        self.engine.port()
    }

    /// Answers an offer of data channels. The answer is complete: it has all of this machine's candidates, and says that there are no more.
    ///
    /// The link waits for its peer until [`DirectConfig::open_within`]; candidates of the peer's that stand in the offer are used, and so is the address that its
    /// first check comes from.
    ///
    /// # Errors
    /// The offer is none of data channels, or contradicts itself; too many answers are waiting for their peers; or the engine has stopped.
    pub async fn answer(&self, offer: &str) -> Result<(Link, String), DirectError> {
        let offer = DataDescription::parse_stock(offer)?;
        let mut made = self.engine.answer(&offer.to_text()).await?;
        let answer = complete(&mut made)?;
        let link = Link::new(made.conn, None, Some(offer.fingerprint()));
        link.add_candidates(&offer).await?;
        Ok((link, answer))
    }

    /// Offers a link with these channels, which [`Link::accept`] of its answer begins. The offer is complete, as an [answer](Self::answer) is.
    ///
    /// # Errors
    /// No channel is asked for, or more than [`MAX_CHANNELS`]; a label is too long; [`MAX_OFFERED`] links live already; or the engine has stopped.
    pub async fn offer(&self, channels: &[ChannelInit]) -> Result<(Link, String), DirectError> {
        if channels.is_empty() || channels.len() > MAX_CHANNELS {
            return Err(DirectError::Channels);
        }
        let slot = Slot::take(&self.slots).ok_or(DirectError::Busy)?;
        let made = self.engine.offer_channels(channels.to_vec(), slot.number);
        let mut made = made.await?;
        let offer = complete(&mut made)?;
        Ok((Link::new(made.conn, Some(slot), None), offer))
    }

    /// Ends all links and the thread; resolves when every peer was told, or could not be within 200 ms.
    pub async fn stop(&self) {
        self.engine.stop().await;
    }
}

impl Slot {
    fn take(slots: &Arc<Mutex<BTreeSet<usize>>>) -> Option<Self> {
        let mut taken = slots.lock().unwrap_or_else(PoisonError::into_inner);
        let number = (0..MAX_OFFERED).find(|number| !taken.contains(number))?;
        taken.insert(number);
        let slots = slots.clone();
        Some(Self { number, slots })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.number);
    }
}

/// A description of ours with the candidates that are known, which are all: nobody is asked for more.
fn complete(made: &mut Described) -> Result<String, DirectError> {
    let mut text = DataDescription::parse(&made.sdp)?.to_text();
    while let Some(event) = made.conn.try_event() {
        if let Event::Candidate(line) = event {
            text.extend(["a=", line.strip_prefix("a=").unwrap_or(&line), "\r\n"]);
        }
    }
    text.push_str("a=end-of-candidates\r\n");
    Ok(text)
}
