//! What the URL of a signalling socket says after its `?`: `key=peerjs&id=alice&token=x4f…`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// The parameters of a socket; texts that were not there are empty, others are ignored. Of a repeated one the last counts, as with peerjs-server.
#[derive(Default)]
pub struct SocketQuery<'a> {
    /// Which service.
    pub key: Cow<'a, str>,
    /// The id asked for.
    pub id: Cow<'a, str>,
    /// What proves a later socket of the same client.
    pub token: Cow<'a, str>,
    /// For a key-shaped id. Not in peerjs-server, like all that follows.
    pub proof: Cow<'a, str>,
    /// `hold=30`: for how many seconds the id is to stay this client's when the socket breaks off. Zero unless it is a number.
    pub hold: Duration,
    /// `presence=1`: others may be told when this id comes and goes.
    pub visible: bool,
}

impl<'a> SocketQuery<'a> {
    /// Reads `application/x-www-form-urlencoded` pairs. There is no wrong text: what is no UTF-8 is replaced, as browsers and Node do.
    #[must_use]
    pub fn parse(query: &'a str) -> Self {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "key" => read.key = value,
                "id" => read.id = value,
                "token" => read.token = value,
                "proof" => read.proof = value,
                "hold" => read.hold = Duration::from_secs(value.parse().unwrap_or(0)),
                "presence" => read.visible = value == "1",
                _ => {}
            }
        }
        read
    }
}

/// Without token and proof.
impl fmt::Debug for SocketQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketQuery")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_clients_query_is_read() {
        let read = SocketQuery::parse("key=peerjs&id=a%20b+c%2F&token=t%C3%A9&version=1.5.5");
        assert_eq!(
            (&*read.key, &*read.id, &*read.token),
            ("peerjs", "a b c/", "té")
        );
        assert_eq!(
            (&*read.proof, read.hold, read.visible),
            ("", Duration::ZERO, false)
        );
    }

    #[test]
    fn of_a_repeated_parameter_the_last_counts() {
        assert_eq!(SocketQuery::parse("id=a&id=b&%69d=c").id, "c");
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_as_if_it_were_not_there() {
        for query in [
            "",
            "&&",
            "id",
            "=",
            "hold=-1&presence=yes",
            "hold=1e9",
            "hold=99999999999999999999",
        ] {
            let read = SocketQuery::parse(query);
            assert_eq!(
                (&*read.id, read.hold, read.visible),
                ("", Duration::ZERO, false),
                "{query}"
            );
        }
        assert_eq!(
            SocketQuery::parse("id=%ff%fe&token=%").id,
            "\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn our_clients_ask_to_be_held_and_to_be_seen() {
        let read = SocketQuery::parse("id=a&hold=30&presence=1");
        assert_eq!((read.hold, read.visible), (Duration::from_secs(30), true));
    }

    #[test]
    fn debug_output_shows_no_token_and_no_proof() {
        let read = format!("{:?}", SocketQuery::parse("id=a&token=hidden&proof=hidden"));
        assert!(!read.contains("hidden"));
    }
}
