//! The link that a device prints, and that opens it.
//!
//! ```text
//! http(s)://<device id>.<domain>[:port]/#1.<secret>[/path?query#fragment]
//! ```
//!
//! `docs/protocol/identity.md` section 2. What follows `#` never reaches a server.

use std::{fmt, str::FromStr};

use super::id::{DeviceId, IdError, Secret};

/// Longest link, in bytes.
pub const MAX_LINK: usize = 8192;

/// A parsed link. `Display` prints it whole, secret included; `Debug` shows dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// `https`, against plain `http`, which is for `localhost` alone.
    pub secure: bool,
    /// The device that is meant.
    pub device: DeviceId,
    /// Host after the device's label, in lower case: where the server is found.
    pub domain: String,
    /// Port, when it is not the scheme's own.
    pub port: Option<u16>,
    /// What grants access; a link without one works for who is already known to the device.
    pub secret: Option<Secret>,
    /// Path, query and fragment inside the device's app, verbatim; begins with one `/`.
    pub path: String,
}

/// A text is no link. The text is not repeated: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Longer than [`MAX_LINK`].
    #[error("a link has at most {MAX_LINK} bytes")]
    TooLong,
    /// Space, control character or something outside ASCII.
    #[error(
        "a link has no spaces, control characters or characters outside ASCII: was it copied whole?"
    )]
    Character,
    /// Neither `http://` nor `https://`.
    #[error("a link begins with https:// or http://")]
    Scheme,
    /// Plain `http` to another machine.
    #[error("plain http is for localhost alone: the link must begin with https://")]
    Insecure,
    /// The host is not `<device id>.<domain>`.
    #[error("the host of a link is a device id, a dot and a domain name")]
    Host,
    /// The first label of the host is no device id.
    #[error("the host of a link begins with a device id of 52 characters: was it copied whole?")]
    Device,
    /// The port is no number from 1 to 65535.
    #[error("the port of a link is a number from 1 to 65535")]
    Port,
    /// The fragment begins with another version than `1.`.
    #[error("this link is of a newer kind: update peerage")]
    Version,
    /// The secret is missing, too short, too long, or has a character outside its alphabet.
    #[error("the secret of a link is 26 characters of a-z and 2-7: was it copied whole?")]
    Secret,
    /// A path before the `#` of a link with a secret (a server would see it), or one that begins with `//`, `/\` (which name a host).
    #[error("the path of a link follows its secret, and begins with one slash")]
    Path,
}

impl Link {
    /// Takes a link apart.
    ///
    /// # Errors
    /// The text breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        if text.len() > MAX_LINK {
            return Err(LinkError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(LinkError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(LinkError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(LinkError::Scheme),
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        let (label, domain) = host.split_once('.').ok_or(LinkError::Host)?;
        let device = DeviceId::parse(label).map_err(|_: IdError| LinkError::Device)?;
        if !is_domain(domain) {
            return Err(LinkError::Host);
        }
        if !secure && !is_local(domain) {
            return Err(LinkError::Insecure);
        }
        let (secret, path) = parse_rest(rest)?;
        let own_port = if secure { 443 } else { 80 };
        Ok(Self {
            secure,
            device,
            domain: domain.to_owned(),
            port: port.filter(|&port| port != own_port),
            secret,
            path,
        })
    }

    /// The same link without its secret and path: what may be shown or logged.
    pub fn origin(&self) -> String {
        format!(
            "{}://{}.{}{}",
            self.scheme(),
            self.device,
            self.domain,
            Port(self.port)
        )
    }

    /// Scheme, domain and port of the server: `http(s)://domain[:port]`.
    pub fn server_url(&self) -> String {
        format!("{}://{}{}", self.scheme(), self.domain, Port(self.port))
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())?;
        match (&self.secret, self.path.as_str()) {
            (Some(secret), "/") => write!(f, "/#1.{}", secret.expose()),
            (Some(secret), path) => write!(f, "/#1.{}{path}", secret.expose()),
            (None, path) => f.write_str(path),
        }
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        Self::parse(text)
    }
}

/// Whether browsers take plain `http` on this host for a secure context, which service worker and WebCrypto need.
fn is_local(domain: &str) -> bool {
    domain == "localhost" || domain.ends_with(".localhost")
}

/// A host name of RFC 1123 labels that is no IP address: a device's origin is a name in front of it, which an address cannot have.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let numeric = domain
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    domain.len() <= 200 && domain.split('.').all(is_label) && !numeric
}

fn parse_port(text: &str) -> Result<u16, LinkError> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(LinkError::Port)
}

/// Secret and path from what follows the authority.
fn parse_rest(rest: &str) -> Result<(Option<Secret>, String), LinkError> {
    let (outer, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let version = fragment
        .split_once('.')
        .filter(|(version, _)| !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()));
    let Some((version, proof)) = version else {
        let path = if rest.starts_with('/') {
            rest.to_owned()
        } else {
            format!("/{rest}")
        };
        return Ok((None, checked(path)?));
    };
    if version != "1" {
        return Err(LinkError::Version);
    }
    if !matches!(outer, "" | "/") {
        return Err(LinkError::Path);
    }
    let (secret, path) = proof.split_at(proof.find('/').unwrap_or(proof.len()));
    let secret = Secret::parse(secret).map_err(|_: IdError| LinkError::Secret)?;
    let path = if path.is_empty() { "/" } else { path };
    Ok((Some(secret), checked(path.to_owned())?))
}

/// Refuses what a browser would resolve to another host.
fn checked(path: String) -> Result<String, LinkError> {
    if path.starts_with("//") || path.starts_with("/\\") {
        return Err(LinkError::Path);
    }
    Ok(path)
}

struct Port(Option<u16>);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEVICE: &str = "777777777777777777777777777777777777777777777777777q";
    const SECRET: &str = "abcdefghijklmnopqrstuvwxyz";

    fn parse(text: &str) -> Result<Link, LinkError> {
        Link::parse(&text.replace("ID", DEVICE).replace("SECRET", SECRET))
    }

    #[test]
    fn a_link_reads_back_as_it_was_printed() {
        for text in [
            "http://ID.localhost:9000/#1.SECRET",
            "https://ID.example.org/#1.SECRET/docs?q=1#top",
            "https://ID.example.org/",
            "https://ID.example.org/docs#top",
        ] {
            let link = parse(text).expect(text);
            assert_eq!(
                link.to_string(),
                text.replace("ID", DEVICE).replace("SECRET", SECRET)
            );
        }
    }

    #[test]
    fn the_server_is_the_domain_without_the_device() {
        let link = parse("http://ID.localhost:9000/#1.SECRET/a").expect("a link");
        assert_eq!(link.server_url(), "http://localhost:9000");
        assert_eq!(link.origin(), format!("http://{DEVICE}.localhost:9000"));
        assert_eq!(
            (link.domain.as_str(), link.port, link.path.as_str()),
            ("localhost", Some(9000), "/a")
        );
    }

    #[test]
    fn case_of_scheme_and_host_and_a_default_port_do_not_matter() {
        let upper = Link::parse(&format!(
            "HTTPS://{}.EXAMPLE.org:443/#1.{SECRET}",
            DEVICE.to_uppercase()
        ));
        assert_eq!(upper, parse("https://ID.example.org/#1.SECRET"));
    }

    #[test]
    fn plain_http_to_another_machine_is_refused() {
        assert_eq!(
            parse("http://ID.example.org/#1.SECRET"),
            Err(LinkError::Insecure)
        );
        assert_eq!(
            parse("http://ID.localhost.example.org/#1.SECRET"),
            Err(LinkError::Insecure)
        );
        assert!(parse("http://ID.localhost/#1.SECRET").is_ok());
    }

    #[test]
    fn a_damaged_link_says_what_is_wrong() {
        for (text, error) in [
            ("", LinkError::Scheme),
            ("ftp://ID.example.org/", LinkError::Scheme),
            ("https://example.org/#1.SECRET", LinkError::Device),
            ("https://ID/#1.SECRET", LinkError::Host),
            ("https://ID./#1.SECRET", LinkError::Host),
            ("https://ID.127.0.0.1/#1.SECRET", LinkError::Host),
            ("https://ID.exa_mple.org/", LinkError::Host),
            ("https://user@ID.example.org/", LinkError::Device),
            ("https://ID.example.org:0/", LinkError::Port),
            ("https://ID.example.org:65536/", LinkError::Port),
            ("https://ID.example.org:/", LinkError::Port),
            ("https://ID.example.org:+80/", LinkError::Port),
            ("https://ID.example.org/#2.SECRET", LinkError::Version),
            ("https://ID.example.org/#1.", LinkError::Secret),
            ("https://ID.example.org/#1.SECRETa", LinkError::Secret),
            (
                "https://ID.example.org/#1.abcdefghijklmnopqrstuvwxy",
                LinkError::Secret,
            ),
            ("https://ID.example.org/#1.SECRET?q", LinkError::Secret),
            ("https://ID.example.org/a#1.SECRET", LinkError::Path),
            (
                "https://ID.example.org/#1.SECRET//evil.example",
                LinkError::Path,
            ),
            (
                "https://ID.example.org/#1.SECRET/\\evil.example",
                LinkError::Path,
            ),
            ("https://ID.example.org//evil.example", LinkError::Path),
            ("https://ID.example.org/#1.SECRET/a b", LinkError::Character),
            ("https://ID.example.org/\r\n", LinkError::Character),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(
            Link::parse(&"x".repeat(MAX_LINK + 1)),
            Err(LinkError::TooLong)
        );
    }

    #[test]
    fn debug_hides_the_secret() {
        assert!(!format!("{:?}", parse("https://ID.example.org/#1.SECRET")).contains(SECRET));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_is_stable(text in ".{0,120}", tail in "[ -~]{0,60}") {
            for text in [text, format!("https://{DEVICE}.example.org{tail}"), format!("https://{DEVICE}.x/#1.{SECRET}{tail}")] {
                if let Ok(link) = Link::parse(&text) {
                    prop_assert_eq!(Link::parse(&link.to_string()), Ok(link));
                }
            }
        }
    }
}
