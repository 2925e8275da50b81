//! What is told of rooms to who runs them, in PeerPyRTC's form.

use std::sync::Arc;

use serde::Serialize;

use super::message::Json;

/// A room.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RoomInfo {
    /// How many members it has.
    pub peer_count: usize,
    /// Who is host.
    pub host_id: Option<Arc<str>>,
    /// Its members, in the order in which they joined.
    pub peers: Vec<PeerInfo>,
}

/// A member.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its name.
    pub id: Arc<str>,
    /// Whether it is the room's host.
    #[serde(rename = "isHost")]
    pub is_host: bool,
    /// When it joined: milliseconds since 1970, by this machine's clock.
    #[serde(rename = "joinTime")]
    pub join_time: u64,
    /// When it was heard last, in the same way: now, unless it is suspected to be gone.
    #[serde(rename = "lastSeen")]
    pub last_seen: u64,
    /// Whether nothing is heard of it just now: it may be gone.
    #[serde(rename = "isSuspected", skip_serializing_if = "std::ops::Not::not")]
    pub is_suspected: bool,
    /// What an old client says of itself.
    #[serde(rename = "userAgent", skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// What a member says of itself, as its client wrote it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_written")]
    pub metadata: Option<Json>,
}

fn as_written<S: serde::Serializer>(json: &Option<Json>, to: S) -> Result<S::Ok, S::Error> {
    json.as_ref().map(Json::value).serialize(to)
}
