//! The paths under which a registered client calls its server over HTTP, as ambianic-pnp has them:
//!
//! ```text
//! POST /KEY/ID/TOKEN/offer                        also answer, candidate, leave: a frame in the body
//! GET  /KEY/ID/TOKEN/room/id
//! POST /KEY/ID/TOKEN/room/ROOM/join               also leave
//! GET  /KEY/ID/TOKEN/room/ROOM/members
//! ```

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::id::{PeerId, Token};

/// What a path says. Its `Debug` does not show the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPath<'a> {
    /// Which service.
    pub key: Cow<'a, str>,
    /// Who calls, as it says.
    pub id: PeerId,
    /// What proves it.
    pub token: Token,
    /// What is wanted.
    pub call: Call<'a>,
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// To send the frame in the body. What it is the frame says; the path's word for it does not count.
    Send,
    /// To know the room of its address.
    RoomId,
    /// To be in a room.
    Join(Cow<'a, str>),
    /// To know who is in a room.
    Members(Cow<'a, str>),
    /// To be no longer in a room.
    Leave(Cow<'a, str>),
}

impl<'a> CallPath<'a> {
    /// Reads a path that begins with `/`, without query. None if it is none of those above, has an empty part, an id or token of more than
    /// [`MAX_ID`](super::id::MAX_ID) octets, or an escape that is not UTF-8.
    #[must_use]
    pub fn parse(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let [key, id, token] = [parts.next()?, parts.next()?, parts.next()?];
        let call = match [parts.next(), parts.next(), parts.next()] {
            [Some("offer" | "answer" | "candidate" | "leave"), None, None] => Call::Send,
            [Some("room"), Some("id"), None] => Call::RoomId,
            [Some("room"), Some(room), Some("join")] => Call::Join(text(room)?),
            [Some("room"), Some(room), Some("members")] => Call::Members(text(room)?),
            [Some("room"), Some(room), Some("leave")] => Call::Leave(text(room)?),
            _ => return None,
        };
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            key: text(key)?,
            id: PeerId::parse(&text(id)?).ok()?,
            token: Token::parse(&text(token)?).ok()?,
            call,
        })
    }
}

impl Call<'_> {
    /// Whether it is asked with POST, and not with GET.
    #[must_use]
    pub const fn is_post(&self) -> bool {
        matches!(self, Self::Send | Self::Join(_) | Self::Leave(_))
    }
}

fn text(part: &str) -> Option<Cow<'_, str>> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::id::MAX_ID;

    #[test]
    fn each_of_the_eight_paths_is_read() {
        let call = |path: &'static str| CallPath::parse(path).map(|path| path.call);
        for word in ["offer", "answer", "candidate", "leave"] {
            let path = format!("/peerjs/alice/t/{word}");
            assert_eq!(
                CallPath::parse(&path).map(|path| path.call),
                Some(Call::Send)
            );
        }
        assert_eq!(call("/peerjs/alice/t/room/id"), Some(Call::RoomId));
        assert_eq!(
            call("/peerjs/alice/t/room/x/join"),
            Some(Call::Join("x".into()))
        );
        assert_eq!(
            call("/peerjs/alice/t/room/id/members"),
            Some(Call::Members("id".into()))
        );
        assert_eq!(
            call("/peerjs/alice/t/room/leave/leave"),
            Some(Call::Leave("leave".into()))
        );
    }

    #[test]
    fn escapes_are_read_within_each_part() {
        let path = CallPath::parse("/k%2Fk/a%2Fb%20c/t%C3%BC/room/%61/join").unwrap();
        assert_eq!(
            (&*path.key, path.id.as_str(), path.token.expose()),
            ("k/k", "a/b c", "tü")
        );
        assert_eq!(path.call, Call::Join("a".into()));
    }

    #[test]
    fn anything_else_is_no_call() {
        let long = format!("/k/{}/t/offer", "x".repeat(MAX_ID + 1));
        for path in [
            "",
            "/",
            "k/i/t/offer",
            "/k/i/t",
            "/k/i/t/",
            "/k/i/t/offer/",
            "/k/i/t/OFFER",
            "/k/i/t/room",
            "/k/i/t/room/x",
            "/k/i/t/room/x/join/",
            "/k/i/t/room//join",
            "//i/t/offer",
            "/k//t/offer",
            "/k/i//offer",
            "/k/%ff/t/offer",
            &long,
        ] {
            assert_eq!(CallPath::parse(path), None, "{path}");
        }
        let longest = format!("/k/{}/t/offer", "x".repeat(MAX_ID));
        assert!(CallPath::parse(&longest).is_some());
    }

    #[test]
    fn debug_output_does_not_show_the_token() {
        let path = CallPath::parse("/k/i/hidden/room/id").unwrap();
        assert!(!format!("{path:?}").contains("hidden"));
    }
}
