//! Members for tests: an old client speaks PeerPyRTC's JSON, a native one the frames of `docs/protocol/rooms.md`.

use std::time::Duration;

use bytes::Bytes;
use peerage_peer::direct::{Addresses, ChannelInit, Direct, DirectConfig, Link, LinkEvent};
use peerage_peer::{Channel, Message};
use peerage_proto::wire::room::{Emit, Epoch, FromHub, FromMember, Hello, Json, LABEL, Token};
use peerage_server::hub::{
    Addresses as HubAddresses, Description, Hub, HubBuilder, HubLimits, SignalingError,
};
use serde_json::{Value, json};

use crate::common::soon;

/// A hub on loopback, and an engine for all members of a test.
pub(crate) struct Table {
    pub(crate) hub: Hub,
    pub(crate) engine: Direct,
}

impl Table {
    pub(crate) async fn new() -> Self {
        Self::with(Hub::builder()).await
    }

    pub(crate) async fn limited(limits: HubLimits) -> Self {
        Self::with(Hub::builder().limits(limits)).await
    }

    pub(crate) async fn with(builder: HubBuilder) -> Self {
        let builder = builder.addresses(HubAddresses::Loopback);
        Self {
            hub: builder.open().await.unwrap(),
            engine: engine(),
        }
    }

    /// An old client that has joined: it knows who is there, and that it is told so.
    pub(crate) async fn old(&self, room: &str, name: &str) -> Old {
        let mut old = self.silent(room, name).await;
        old.join().await;
        old
    }

    /// An old client whose channel is open and that has said nothing yet.
    pub(crate) async fn silent(&self, room: &str, name: &str) -> Old {
        let (link, channel) = self.connect(room, name, &old_channel()).await.unwrap();
        Old {
            name: name.to_owned(),
            link,
            channel,
        }
    }

    /// A native member that was welcomed.
    pub(crate) async fn native(&self, room: &str, name: &str, token: u8) -> Native {
        let native = ChannelInit {
            label: LABEL.to_owned(),
            ordered: true,
            max_retransmits: None,
        };
        let (link, channel) = self.connect(room, name, &native).await.unwrap();
        let mut native = Native { link, channel };
        native
            .say(FromMember::Hello(Hello {
                token: Token::new([token; 16]),
                metadata: Json::NULL,
                epoch: Epoch::default(),
                last: 0,
            }))
            .await;
        native
            .until(|frame| matches!(frame, FromHub::Welcome(_)))
            .await;
        native
    }

    pub(crate) async fn connect(
        &self,
        room: &str,
        name: &str,
        channel: &ChannelInit,
    ) -> Result<(Link, Channel), SignalingError> {
        let (mut link, sdp) = self
            .engine
            .offer(std::slice::from_ref(channel))
            .await
            .unwrap();
        let answer = self.hub.signaling().offer(room, name, &offer(sdp)).await?;
        assert_eq!(answer.kind, "answer");
        link.accept(&answer.sdp).await.unwrap();
        let channel = opened(&mut link).await;
        Ok((link, channel))
    }
}

pub(crate) fn engine() -> Direct {
    Direct::open(DirectConfig {
        addresses: Addresses::Loopback,
        ..DirectConfig::default()
    })
    .unwrap()
}

pub(crate) fn offer(sdp: String) -> Description {
    Description {
        kind: "offer".to_owned(),
        sdp,
    }
}

/// As PeerPyRTC's client opens it.
pub(crate) fn old_channel() -> ChannelInit {
    ChannelInit {
        label: "chat".to_owned(),
        ordered: true,
        max_retransmits: Some(3),
    }
}

pub(crate) async fn opened(link: &mut Link) -> Channel {
    let open = async {
        loop {
            match link.event().await {
                Some(LinkEvent::Open(channel)) => break channel,
                Some(_) => {}
                None => panic!("the link ended: {:?}", link.closed()),
            }
        }
    };
    soon("a channel", open).await
}

pub(crate) struct Old {
    pub(crate) name: String,
    pub(crate) link: Link,
    pub(crate) channel: Channel,
}

impl Old {
    /// Says `PEER_JOIN`, and waits for the answer.
    pub(crate) async fn join(&mut self) {
        let join = self.system("PEER_JOIN", json!({ "userAgent": "test", "timestamp": 1 }));
        self.say(&join).await;
        self.until("ROOM_STATE").await;
    }

    fn system(&self, action: &str, payload: Value) -> Value {
        json!({ "type": "SYSTEM", "action": action, "payload": payload, "peer_id": self.name, "target": null, "timestamp": 1 })
    }

    pub(crate) async fn chat(&self, message: impl Into<Value>) {
        let message: Value = message.into();
        self.say(&json!({ "peer_id": self.name, "message": message }))
            .await;
    }

    pub(crate) async fn emit(&self, event: &str, data: impl Into<Value>) {
        let data: Value = data.into();
        self.say(&self.system("EVENT", json!({ "event": event, "data": data })))
            .await;
    }

    pub(crate) async fn leave(&self) {
        self.say(&self.system("PEER_LEAVE", json!({}))).await;
    }

    pub(crate) async fn say(&self, value: &Value) {
        self.text(&value.to_string()).await;
    }

    pub(crate) async fn text(&self, text: &str) {
        let sent = self.channel.send(Message::Text(text.to_owned().into()));
        soon("sending", sent).await.unwrap();
    }

    pub(crate) async fn bytes(&self, octets: &'static [u8]) {
        let sent = self
            .channel
            .send(Message::Binary(Bytes::from_static(octets)));
        soon("sending", sent).await.unwrap();
    }

    /// The next message; none after the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        soon("a message", self.channel.recv()).await
    }

    /// The next message that is no news of members.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let value = self.any().await;
            let action = value["action"].as_str().unwrap_or_default();
            if !["PEER_JOIN", "PEER_LEAVE", "ROOM_STATE", "HOST_CHANGE"].contains(&action) {
                return value;
            }
        }
    }

    /// The next message, as JSON.
    pub(crate) async fn any(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text)
                .unwrap_or_else(|_| Value::String(format!("no JSON: {text}"))),
            Some(Message::Binary(octets)) => json!({ "octets": octets.to_vec() }),
            None => panic!("{} is cut off: {:?}", self.name, self.link.closed()),
        }
    }

    /// Skips to news of this kind.
    pub(crate) async fn until(&mut self, action: &str) -> Value {
        loop {
            let value = self.any().await;
            if value["action"] == action {
                return value;
            }
        }
    }

    /// Whether the hub ends the connection.
    pub(crate) async fn is_cut_off(&mut self) {
        let end = async { while self.channel.recv().await.is_some() {} };
        soon("the end of a channel", end).await;
    }
}

pub(crate) struct Native {
    pub(crate) link: Link,
    pub(crate) channel: Channel,
}

impl Native {
    pub(crate) async fn say(&self, frame: FromMember) {
        let sent = self.channel.send(Message::Binary(frame.emit()));
        soon("sending", sent).await.unwrap();
    }

    pub(crate) async fn emit(&self, emit: Emit) {
        self.say(FromMember::Emit(emit)).await;
    }

    pub(crate) async fn until(&mut self, is_it: impl Fn(&FromHub) -> bool) -> FromHub {
        loop {
            match soon("a frame", self.channel.recv()).await {
                Some(Message::Binary(octets)) => {
                    let frame = FromHub::parse(octets).unwrap();
                    if let Some(frame) = frame.filter(&is_it) {
                        return frame;
                    }
                }
                other => panic!("no frame but {other:?}, {:?}", self.link.closed()),
            }
        }
    }
}

/// Waits until something is so that nothing tells of.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(what, waiting).await;
}
