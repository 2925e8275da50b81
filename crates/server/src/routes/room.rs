//! Rooms of those who share an address: `/KEY/ID/TOKEN/room/...`.

use std::net::IpAddr;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use peerage_proto::nearby::Refused;
use peerage_proto::wire::call_path::Call;
use peerage_proto::wire::forwarded::Household;
use peerage_proto::wire::id::PeerId;
use serde::Serialize;

use crate::state::State;

/// What ambianic-pnp answers: of the same members, to `join` an object and to `members` an array.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Room {
        room_id: String,
    },
    #[serde(rename_all = "camelCase")]
    Joined {
        clients_ids: Vec<PeerId>,
    },
    Members(Vec<PeerId>),
    #[serde(rename_all = "camelCase")]
    Left {
        was_in_room: bool,
    },
}

/// Answers a call of `id`, who is registered.
pub(super) fn answer(
    state: &State,
    id: &PeerId,
    call: &Call<'_>,
    address: Option<IpAddr>,
) -> Response {
    let Some(household) = address.map(Household::of) else {
        // To take all for one household would show strangers to each other.
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "Addresses are not known here",
        )
            .into_response();
    };
    let mut rooms = state.nearby().rooms();
    let answer = match call {
        Call::Join(room) => rooms
            .join(id, room, household)
            .map(|clients_ids| Answer::Joined { clients_ids }),
        Call::Members(room) => rooms.members(room, household).map(Answer::Members),
        Call::Leave(room) => Ok(Answer::Left {
            was_in_room: rooms.leave(id, room),
        }),
        Call::RoomId | Call::Send => Ok(Answer::Room {
            room_id: rooms.room_of(household).to_string(),
        }),
    };
    drop(rooms);
    match answer {
        Ok(answer) => match serde_json::to_string(&answer) {
            Ok(text) => super::json(state, text),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        },
        Err(refused @ (Refused::Elsewhere | Refused::Full)) => {
            (StatusCode::FORBIDDEN, refused.to_string()).into_response()
        }
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}
