//! What a signalling server answers to who asks for STUN and TURN servers:
//!
//! ```json
//! {"iceServers":[{"urls":["turn:example.org:3478?transport=udp"],"username":"1795300000:ann","credential":"…"}],"ttl":86400}
//! ```
//!
//! The members of `iceServers` are browsers' `RTCIceServer`.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::ice_url::{IceUrl, IceUrlError};
use crate::turn::credentials::{Credentials, MAX_USERNAME};

/// Longest answer, in octets.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Servers that are taken from an answer, and URLs of each.
pub const MAX_SERVERS: usize = 16;
/// Longest password, in octets.
const MAX_PASSWORD: usize = 1024;

/// STUN and TURN servers that share credentials. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// Where they are.
    pub urls: Vec<IceUrl>,
    /// What TURN servers want; without, they are of no use.
    pub credentials: Option<Credentials>,
}

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServers {
    /// The servers.
    pub servers: Vec<IceServer>,
    /// How long the credentials are good for.
    pub ttl: Duration,
}

/// An answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of STUN and TURN servers")]
pub struct NotIceServers;

/// A text is no [`IceServer`]. It is not repeated: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnIceServer {
    /// The URL, or one of them.
    #[error(transparent)]
    Url(#[from] IceUrlError),
    /// It begins like JSON.
    #[error(
        "a server with credentials is {{\"urls\":\"turn:HOST\",\"username\":\"…\",\"credential\":\"…\"}}"
    )]
    Json,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "iceServers")]
    ice_servers: Vec<Entry>,
    ttl: u64,
}

#[derive(Deserialize)]
struct Entry {
    urls: OneOrMore,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl IceServers {
    /// Reads an answer. URLs that are not understood are left out: a newer server may know other ones.
    ///
    /// # Errors
    /// It is no JSON of this form, or longer than [`MAX_ANSWER`].
    pub fn parse(json: &[u8]) -> Result<Self, NotIceServers> {
        if json.len() > MAX_ANSWER {
            return Err(NotIceServers);
        }
        let answer: Answer = serde_json::from_slice(json).map_err(|_| NotIceServers)?;
        let servers = answer
            .ice_servers
            .into_iter()
            .take(MAX_SERVERS)
            .filter_map(Entry::server)
            .collect();
        Ok(Self {
            servers,
            ttl: Duration::from_secs(answer.ttl),
        })
    }
}

impl FromStr for IceServer {
    type Err = NotAnIceServer;

    /// A URL, or the JSON of browsers' `RTCIceServer` where there are credentials: `{"urls":"turn:example.org","username":"u","credential":"c"}`. All URLs must
    /// be understood: an owner wrote them.
    fn from_str(text: &str) -> Result<Self, NotAnIceServer> {
        if !text.starts_with('{') {
            return Ok(Self {
                urls: vec![text.parse()?],
                credentials: None,
            });
        }
        let entry: Entry = serde_json::from_str(text).map_err(|_| NotAnIceServer::Json)?;
        let urls = match &entry.urls {
            OneOrMore::One(url) => vec![url.parse()?],
            OneOrMore::More(urls) => urls
                .iter()
                .map(|url| url.parse())
                .collect::<Result<_, _>>()?,
        };
        entry
            .server()
            .filter(|server| server.urls == urls)
            .ok_or(NotAnIceServer::Json)
    }
}

impl Entry {
    fn server(self) -> Option<IceServer> {
        let urls = match self.urls {
            OneOrMore::One(url) => vec![url],
            OneOrMore::More(urls) => urls,
        };
        let urls: Vec<IceUrl> = urls
            .iter()
            .take(MAX_SERVERS)
            .filter_map(|url| url.parse().ok())
            .collect();
        let credentials = match (self.username, self.credential) {
            (Some(username), Some(password))
                if username.len() <= MAX_USERNAME && password.len() <= MAX_PASSWORD =>
            {
                Some(Credentials { username, password })
            }
            _ => None,
        };
        (!urls.is_empty()).then_some(IceServer { urls, credentials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_browsers_would_read_it() {
        let read = IceServers::parse(
            br#"{"iceServers":[{"urls":"stun:a"},{"urls":["turn:a","turns:a","tarn:a"],"username":"u","credential":"secret","x":1}],"ttl":60}"#,
        )
        .expect("an answer");
        assert_eq!(read.ttl, Duration::from_secs(60));
        assert_eq!(read.servers.len(), 2);
        assert_eq!(read.servers[0].urls, ["stun:a".parse().expect("a URL")]);
        assert_eq!(read.servers[0].credentials, None);
        assert_eq!(read.servers[1].urls.len(), 2);
        let credentials = read.servers[1].credentials.as_ref().expect("there");
        assert_eq!(credentials.password, "secret");
        assert!(!format!("{read:?}").contains("secret"));
    }

    #[test]
    fn no_servers_are_an_answer_too() {
        let read = IceServers::parse(br#"{"iceServers":[],"ttl":86400}"#).expect("an answer");
        assert!(read.servers.is_empty());
    }

    #[test]
    fn an_owner_writes_a_url_or_json_and_is_told_what_is_wrong_without_the_password() {
        let plain: IceServer = "stun:a".parse().expect("a server");
        assert_eq!(plain.credentials, None);
        let json = r#"{"urls":["turn:a","turns:a"],"username":"u","credential":"secret"}"#;
        let whole: IceServer = json.parse().expect("a server");
        assert_eq!((whole.urls.len(), whole.credentials.is_some()), (2, true));
        for wrong in [
            "a",
            "{",
            r#"{"urls":[]}"#,
            r#"{"urls":"turn:a:secret"}"#,
            r#"{"urls":["turn:a","x"],"credential":"secret"}"#,
        ] {
            let error = wrong.parse::<IceServer>().expect_err(wrong);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_and_what_is_too_much_left_out() {
        for json in [
            &b""[..],
            b"[]",
            b"{}",
            br#"{"iceServers":[]}"#,
            br#"{"iceServers":{},"ttl":1}"#,
            br#"{"iceServers":[],"ttl":-1}"#,
            br#"{"iceServers":[{"urls":7}],"ttl":1}"#,
        ] {
            assert_eq!(IceServers::parse(json), Err(NotIceServers));
        }
        assert!(IceServers::parse(&vec![b' '; MAX_ANSWER + 1]).is_err());
        let many = vec![r#"{"urls":"stun:a"}"#; 40].join(",");
        let many = format!(r#"{{"iceServers":[{many}],"ttl":1}}"#);
        let read = IceServers::parse(many.as_bytes()).expect("an answer");
        assert_eq!(read.servers.len(), MAX_SERVERS);
    }
}
