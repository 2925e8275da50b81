//! The least that a room can cost on this engine: whatever a member says goes to all others of its room, and nothing is looked at. No limits, no names, no order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use peerage_peer::direct::{Addresses, Direct, DirectConfig, Link, LinkEvent};
use peerage_peer::{Batch, Channel, ChannelSender};
use serde_json::{Value, json};

use crate::Outcome;

#[derive(Default)]
struct Room {
    members: Mutex<Vec<(u64, ChannelSender)>>,
}

#[derive(Clone)]
struct Bare {
    direct: Direct,
    rooms: Arc<Mutex<HashMap<String, Arc<Room>>>>,
}

pub async fn serve() -> Outcome<()> {
    let bare = Bare {
        direct: Direct::open(DirectConfig {
            addresses: Addresses::Loopback,
            queue: 2 << 20,
            ..DirectConfig::default()
        })?,
        rooms: Arc::default(),
    };
    let done = || async { Json(json!({ "status": "ok" })) };
    crate::listen(
        Router::new()
            .route("/offer", post(offer))
            .route("/candidate", post(done))
            .route("/leave", post(done))
            .with_state(bare),
    )
    .await
}

async fn offer(State(bare): State<Bare>, Json(asked): Json<Value>) -> Json<Value> {
    let sdp = asked["offer"]["sdp"].as_str().unwrap_or_default();
    let (link, answer) = match bare.direct.answer(sdp).await {
        Ok(made) => made,
        Err(error) => return Json(json!({ "error": error.to_string() })),
    };
    let name = asked["room"].as_str().unwrap_or_default().to_owned();
    let room = bare
        .rooms
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(name)
        .or_default()
        .clone();
    tokio::spawn(member(link, room));
    Json(json!({ "answer": { "type": "answer", "sdp": answer } }))
}

/// From the first channel to the end of the connection.
async fn member(mut link: Link, room: Arc<Room>) {
    while let Some(event) = link.event().await {
        if let LinkEvent::Open(channel) = event {
            tokio::spawn(relay(channel, room.clone()));
        }
    }
}

async fn relay(channel: Channel, room: Arc<Room>) {
    static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (sender, mut receiver) = channel.split();
    let members = || room.members.lock().unwrap_or_else(PoisonError::into_inner);
    members().push((number, sender));
    let mut batch = Batch::default();
    while let Some(message) = receiver.recv().await {
        for (other, sender) in &*members() {
            if *other != number {
                let _ = batch.try_send(sender, message.clone());
            }
        }
        batch.flush();
    }
    members().retain(|(other, _)| *other != number);
}
