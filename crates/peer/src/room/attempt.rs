//! One attempt to get to the hub: offer, answer, and the channel.

use peerage_proto::wire::room::{FAST_LABEL, LABEL};

use super::RoomError;
use super::task::Ways;
use crate::direct::{ChannelInit, DirectError, Link, LinkEvent};
use crate::{Channel, CloseReason};

/// A connection to the hub on which nothing was said yet.
pub(super) struct Connected {
    pub(super) link: Link,
    pub(super) main: Channel,
    /// Where both ends have one. It may also open later.
    pub(super) fast: Option<Channel>,
}

/// Connects. Ends with whoever waits for it, who bounds it in time.
pub(super) async fn connect(ways: &Ways) -> Result<Connected, RoomError> {
    let mut channels = vec![ChannelInit::reliable(LABEL)];
    if ways.unreliable {
        channels.push(ChannelInit::fast(FAST_LABEL));
    }
    let (mut link, offer) = ways.direct.offer(&channels).await.map_err(of_engine)?;
    let answer = ways.server.offer(&offer).await?;
    link.accept(&answer).await.map_err(of_engine)?;
    let mut fast = None;
    loop {
        match link.event().await {
            Some(LinkEvent::Open(channel)) if channel.label() == LABEL => {
                return Ok(Connected {
                    link,
                    main: channel,
                    fast,
                });
            }
            Some(LinkEvent::Open(channel)) => fast = Some(channel),
            Some(LinkEvent::Candidate(line)) => ways.server.candidate(&line).await,
            Some(LinkEvent::Silent | LinkEvent::Back) => {}
            None => {
                return Err(match link.closed() {
                    Some(CloseReason::NoRoute) | None => RoomError::NoRoute,
                    Some(reason) => RoomError::Lost(reason),
                });
            }
        }
    }
}

fn of_engine(error: DirectError) -> RoomError {
    match error {
        DirectError::Busy => RoomError::Engine("too many connections at once".into()),
        DirectError::Description(_) | DirectError::Unusable(_) => {
            RoomError::Unreachable(format!("its answer is not usable: {error}"))
        }
        error => RoomError::Engine(error.to_string()),
    }
}
