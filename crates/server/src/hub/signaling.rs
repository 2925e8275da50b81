//! How members come: PeerPyRTC's three calls, for any web framework.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use peerage_proto::wire::forwarded::Household;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempts::Speaker;
use super::info::{PeerInfo, RoomInfo};
use super::{Broadcaster, Hub};

/// PeerPyRTC's `SignalingManager`: what the routes `/offer`, `/candidate` and `/leave` do, as plain functions with its names. Cheap to clone.
///
/// In a web framework of your own, say whose request it is by [`SignalingManager::of`]: limits by address need it, and `candidate` and `leave` then count for
/// connections that were offered from there alone.
#[derive(Clone, Debug)]
pub struct SignalingManager {
    hub: Hub,
    caller: Caller,
}

#[derive(Clone, Copy, Debug)]
enum Caller {
    Application,
    Address(IpAddr),
    /// A client of ours whose address nobody knows.
    Unknown,
}

/// A session description, as browsers write it in JSON: `{"type": "offer", "sdp": "v=0…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `offer` or `answer`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The description itself (RFC 8866).
    pub sdp: String,
}

impl SignalingManager {
    pub(super) const fn new(hub: Hub) -> Self {
        Self {
            hub,
            caller: Caller::Application,
        }
    }

    /// The same, for requests from this address.
    #[must_use]
    pub fn of(&self, address: IpAddr) -> Self {
        Self {
            hub: self.hub.clone(),
            caller: Caller::Address(address),
        }
    }

    /// For requests of a client, whose address may not be known.
    pub(super) fn of_client(hub: &Hub, address: Option<IpAddr>) -> Self {
        Self {
            hub: hub.clone(),
            caller: address.map_or(Caller::Unknown, Caller::Address),
        }
    }

    /// Answers the offer of somebody who wants to be a member. The answer has all of the hub's candidates. It is a member when its data channel is open, for
    /// which it has 30 s.
    ///
    /// # Errors
    /// See [`SignalingError`].
    pub async fn offer(
        &self,
        room: &str,
        peer_id: &str,
        offer: &Description,
    ) -> Result<Description, SignalingError> {
        self.hub.offer(room, peer_id, offer, self.address()).await
    }

    /// Takes a candidate of somebody who offered, or is about to: as browsers' `RTCIceCandidateInit`, or null, or an empty text, after the last one. Of
    /// somebody unknown 32 are kept, for 30 s; what is too much, or no candidate, is dropped and counted.
    ///
    /// # Errors
    /// A name cannot be one.
    pub async fn candidate(
        &self,
        room: &str,
        peer_id: &str,
        candidate: &Value,
    ) -> Result<(), SignalingError> {
        self.hub.candidate(room, peer_id, candidate, self.speaker())
    }

    /// Ends a member's connection, if there is one. Members of the native protocol say goodbye there and by nobody else: for them only the application's own
    /// word counts ([`Hub::signaling`](super::Hub::signaling) without [`SignalingManager::of`]).
    ///
    /// # Errors
    /// A name cannot be one.
    pub async fn leave(&self, room: &str, peer_id: &str) -> Result<(), SignalingError> {
        self.hub.leave(room, peer_id, self.speaker())
    }

    /// The goodbye of a member of the native protocol whose page goes: `token` is its own, as 32 hexadecimal digits. Of any other token nothing comes.
    ///
    /// # Errors
    /// A name cannot be one.
    pub async fn goodbye(
        &self,
        room: &str,
        peer_id: &str,
        token: &str,
    ) -> Result<(), SignalingError> {
        self.hub.goodbye(room, peer_id, token)
    }

    /// All rooms by name, in PeerPyRTC's form.
    pub async fn rooms_info(&self) -> BTreeMap<Arc<str>, RoomInfo> {
        self.hub.rooms_info()
    }

    /// The members of a room, in PeerPyRTC's form; none of a room that is not there.
    pub async fn get_room_peers(&self, room: &str) -> Vec<PeerInfo> {
        self.hub.room_peers(room)
    }

    /// What speaks to rooms.
    #[must_use]
    pub fn broadcaster(&self) -> Broadcaster {
        self.hub.broadcaster()
    }

    fn speaker(&self) -> Speaker {
        match self.caller {
            Caller::Application => Speaker::Trusted,
            Caller::Address(address) => Speaker::From(Some(Household::of(address))),
            Caller::Unknown => Speaker::From(None),
        }
    }

    const fn address(&self) -> Option<IpAddr> {
        match self.caller {
            Caller::Address(address) => Some(address),
            Caller::Application | Caller::Unknown => None,
        }
    }
}

/// Why somebody cannot be a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalingError {
    /// A room cannot have that name.
    #[error("room must be a text of 1 to 256 octets without control characters")]
    RoomName,
    /// A member cannot have that name.
    #[error(
        "peer_id must be a text of 1 to 512 octets without control characters, and neither `server` nor `unknown`"
    )]
    PeerId,
    /// Not an offer of a data channel that can be answered.
    #[error("offer must be a session description of a data channel: {0}")]
    Offer(String),
    /// The room has as many members as it may.
    #[error("the room is full")]
    RoomFull,
    /// The hub has as many rooms or members as it may, or so many are on their way.
    #[error("the server is full")]
    Full,
    /// As many come from this address, or as often, as may.
    #[error("too many offers from this address")]
    TooMany(Duration),
    /// The hub is closed, or its engine fails.
    #[error("rooms are closed")]
    Closed,
}

impl SignalingError {
    /// The HTTP status for it.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::RoomName | Self::PeerId | Self::Offer(_) => StatusCode::BAD_REQUEST,
            Self::RoomFull | Self::Full | Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// After how long it may be otherwise; none where it will not.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RoomName | Self::PeerId | Self::Offer(_) => None,
            Self::RoomFull | Self::Full | Self::Closed => Some(Duration::from_secs(5)),
            Self::TooMany(wait) => Some(*wait),
        }
    }
}
