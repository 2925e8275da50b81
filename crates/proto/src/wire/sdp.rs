//! Descriptions of data connections: read by a strict grammar, written from scratch.
//!
//! A description is the one place where a server in the middle could put its own certificate. So nothing of a received text reaches the engine
//! but the values here, each checked, and the fingerprint is handed to [`DataDescription::emit`] by who verified it.
//! Grammar: RFC 8866 (lines), 8839 (ICE), 8122 (fingerprint), 8842 (set-up role), 8841 (SCTP).

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::candidate::{Candidate, is_ice_text, number};

/// Longest description, in bytes. Browsers write about 500 for a data connection.
pub const MAX_SDP: usize = 16 * 1024;

/// Most lines of a description.
pub const MAX_LINES: usize = 256;

/// Most candidates read from a description; further ones are dropped.
pub const MAX_CANDIDATES: usize = 64;

/// Largest message a peer takes that does not say so (RFC 8841 section 6.1), in bytes.
const DEFAULT_MAX_MESSAGE_SIZE: u64 = 65_536;

/// SHA-256 of a DTLS certificate's DER. `Display` writes upper-case pairs with colons, as `a=fingerprint` has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint with these bytes.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// Hashes a certificate in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = SdpError;

    /// Reads 32 pairs of hexadecimal digits with colons, in either case.
    fn from_str(text: &str) -> Result<Self, SdpError> {
        let mut bytes = [0; 32];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs
                .next()
                .filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(SdpError::Value("fingerprint"))?;
        }
        if pairs.next().is_some() {
            Err(SdpError::Value("fingerprint"))
        } else {
            Ok(Self(bytes))
        }
    }
}

/// Who sends the first DTLS message (RFC 8842 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The sender of the description is the DTLS client.
    Active,
    /// The sender waits.
    Passive,
    /// The sender takes either role; in offers alone.
    ActPass,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        })
    }
}

/// Everything of a description that a data connection needs. Made by parsing alone, so every text in it is safe to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDescription {
    ice_ufrag: String,
    ice_pwd: String,
    ice_lite: bool,
    trickle: bool,
    setup: Setup,
    mid: String,
    sctp_port: u16,
    max_message_size: u64,
    fingerprint: Fingerprint,
    candidates: Vec<Candidate>,
}

/// A text is no description of one data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Longer than [`MAX_SDP`], or of more than [`MAX_LINES`] lines.
    #[error("a description has at most {MAX_SDP} bytes and {MAX_LINES} lines")]
    TooLong,
    /// A line is not `x=value`, or holds a control character.
    #[error("a line of the description is not of the form x=value")]
    Line,
    /// Not exactly one media section, or one that is not a data channel's.
    #[error("a description has one media section, of a data channel")]
    Media,
    /// An attribute is missing.
    #[error("the description has no `{0}`")]
    Missing(&'static str),
    /// An attribute's value breaks its grammar.
    #[error("the description's `{0}` is malformed")]
    Value(&'static str),
    /// An attribute is there twice with different values.
    #[error("the description contradicts itself about `{0}`")]
    Contradiction(&'static str),
    /// A fingerprint by another hash than SHA-256.
    #[error("the description has a fingerprint by another hash than SHA-256")]
    Hash,
}

impl DataDescription {
    /// Reads an offer or answer for one data connection. Attributes that it does not need are skipped, candidates that are malformed as well.
    ///
    /// # Errors
    /// The text is no such description. In particular: two distinct fingerprints, at whatever level, or one that is not SHA-256.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        Self::read(text, Found::default())
    }

    /// Reads a description of a peer that brings no statement, as [`parse`](Self::parse) does, but for one thing: fingerprints by other hashes
    /// beside the SHA-256 are skipped. aiortc writes three.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_stock(text: &str) -> Result<Self, SdpError> {
        Self::read(
            text,
            Found {
                skip_other_hashes: true,
                ..Found::default()
            },
        )
    }

    fn read(text: &str, mut found: Found) -> Result<Self, SdpError> {
        if text.len() > MAX_SDP {
            return Err(SdpError::TooLong);
        }
        for (index, line) in text
            .strip_suffix('\n')
            .unwrap_or(text)
            .split('\n')
            .enumerate()
        {
            if index == MAX_LINES {
                return Err(SdpError::TooLong);
            }
            found.line(index, line.strip_suffix('\r').unwrap_or(line))?;
        }
        found.finish()
    }

    /// Writes a description with the values read, without candidates. `fingerprint` is the verified one; `setup` is the sender's role as
    /// the reader shall see it.
    pub fn emit(&self, fingerprint: Fingerprint, setup: Setup) -> String {
        let Self {
            ice_ufrag,
            ice_pwd,
            mid,
            sctp_port,
            max_message_size,
            ..
        } = self;
        let ice_lite = if self.ice_lite { "a=ice-lite\r\n" } else { "" };
        let trickle = if self.trickle {
            "a=ice-options:trickle\r\n"
        } else {
            ""
        };
        format!(
            "v=0\r\n\
             o=- 1 1 IN IP4 127.0.0.1\r\n\
             s=-\r\n\
             t=0 0\r\n\
             a=group:BUNDLE {mid}\r\n\
             {ice_lite}\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
             c=IN IP4 0.0.0.0\r\n\
             a=ice-ufrag:{ice_ufrag}\r\n\
             a=ice-pwd:{ice_pwd}\r\n\
             {trickle}\
             a=fingerprint:sha-256 {fingerprint}\r\n\
             a=setup:{setup}\r\n\
             a=mid:{mid}\r\n\
             a=sctp-port:{sctp_port}\r\n\
             a=max-message-size:{max_message_size}\r\n"
        )
    }

    /// Writes the description anew, as it was read, without candidates.
    pub fn to_text(&self) -> String {
        self.emit(self.fingerprint, self.setup)
    }

    /// ICE user fragment: 4 to 256 ICE characters.
    pub fn ice_ufrag(&self) -> &str {
        &self.ice_ufrag
    }

    /// ICE password: 22 to 256 ICE characters.
    pub fn ice_pwd(&self) -> &str {
        &self.ice_pwd
    }

    /// Whether the sender only answers connectivity checks.
    pub fn ice_lite(&self) -> bool {
        self.ice_lite
    }

    /// Whether the sender takes and sends candidates afterwards.
    pub fn trickle(&self) -> bool {
        self.trickle
    }

    /// The sender's DTLS role.
    pub fn setup(&self) -> Setup {
        self.setup
    }

    /// The media section's name: candidates are given with it.
    pub fn mid(&self) -> &str {
        &self.mid
    }

    /// SCTP port inside DTLS.
    pub fn sctp_port(&self) -> u16 {
        self.sctp_port
    }

    /// Largest message that the sender takes, in bytes; 0 means any.
    pub fn max_message_size(&self) -> u64 {
        self.max_message_size
    }

    /// The one distinct fingerprint of the text. It came by the server: it is worth nothing before it is compared with a signed one.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Candidates that stood in the text, at most [`MAX_CANDIDATES`].
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    skip_other_hashes: bool,
    in_media: bool,
    ice_ufrag: Option<String>,
    ice_pwd: Option<String>,
    ice_lite: bool,
    trickle: bool,
    setup: Option<Setup>,
    mid: Option<String>,
    sctp_port: Option<u16>,
    max_message_size: Option<u64>,
    fingerprint: Option<Fingerprint>,
    candidates: Vec<Candidate>,
}

impl Found {
    fn line(&mut self, index: usize, line: &str) -> Result<(), SdpError> {
        let (kind, value) = line.split_once('=').ok_or(SdpError::Line)?;
        let well_formed = kind.len() == 1
            && kind.bytes().all(|b| b.is_ascii_lowercase())
            && !value.contains(char::is_control);
        if !well_formed || (index == 0) != (line == "v=0") {
            return Err(SdpError::Line);
        }
        match kind {
            "m" => self.media(value),
            "a" => self.attribute(value),
            _ => Ok(()),
        }
    }

    fn media(&mut self, value: &str) -> Result<(), SdpError> {
        let mut words = value.split(' ');
        let (media, port, protocol, format) =
            (words.next(), words.next(), words.next(), words.next());
        // Port 0 is a section that the sender refuses (RFC 8866 section 5.14).
        let port_is_open = port
            .and_then(|port| number::<u16>(port, "port").ok())
            .is_some_and(|port| port != 0);
        let data = media == Some("application")
            && port_is_open
            && matches!(protocol, Some("UDP/DTLS/SCTP" | "TCP/DTLS/SCTP"))
            && format == Some("webrtc-datachannel")
            && words.next().is_none();
        if self.in_media || !data {
            return Err(SdpError::Media);
        }
        self.in_media = true;
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), SdpError> {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "fingerprint" => match fingerprint(value) {
                Err(SdpError::Hash) if self.skip_other_hashes => Ok(()),
                read => once(&mut self.fingerprint, "fingerprint", read?),
            },
            "ice-ufrag" => once(
                &mut self.ice_ufrag,
                "ice-ufrag",
                ice_text(value, 4, "ice-ufrag")?,
            ),
            "ice-pwd" => once(
                &mut self.ice_pwd,
                "ice-pwd",
                ice_text(value, 22, "ice-pwd")?,
            ),
            "setup" => once(&mut self.setup, "setup", setup(value)?),
            "mid" => once(&mut self.mid, "mid", token(value, "mid")?),
            "sctp-port" => {
                let port = number(value, "")
                    .ok()
                    .filter(|&port| port != 0)
                    .ok_or(SdpError::Value("sctp-port"))?;
                once(&mut self.sctp_port, "sctp-port", port)
            }
            "max-message-size" => {
                let size = number(value, "").map_err(|_| SdpError::Value("max-message-size"))?;
                once(&mut self.max_message_size, "max-message-size", size)
            }
            "ice-lite" => {
                self.ice_lite = true;
                Ok(())
            }
            "ice-options" => {
                self.trickle |= value.split(' ').any(|option| option == "trickle");
                Ok(())
            }
            "candidate" => {
                if self.candidates.len() < MAX_CANDIDATES {
                    self.candidates.extend(Candidate::parse(attribute));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<DataDescription, SdpError> {
        if !self.in_media {
            return Err(SdpError::Media);
        }
        Ok(DataDescription {
            ice_ufrag: self.ice_ufrag.ok_or(SdpError::Missing("ice-ufrag"))?,
            ice_pwd: self.ice_pwd.ok_or(SdpError::Missing("ice-pwd"))?,
            ice_lite: self.ice_lite,
            trickle: self.trickle,
            setup: self.setup.ok_or(SdpError::Missing("setup"))?,
            mid: self.mid.ok_or(SdpError::Missing("mid"))?,
            sctp_port: self.sctp_port.ok_or(SdpError::Missing("sctp-port"))?,
            max_message_size: self.max_message_size.unwrap_or(DEFAULT_MAX_MESSAGE_SIZE),
            fingerprint: self.fingerprint.ok_or(SdpError::Missing("fingerprint"))?,
            candidates: self.candidates,
        })
    }
}

/// Keeps a value; the same one again, at session and media level, is no contradiction.
fn once<T: PartialEq>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), SdpError> {
    match slot {
        Some(known) if *known != value => Err(SdpError::Contradiction(name)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn fingerprint(value: &str) -> Result<Fingerprint, SdpError> {
    let (hash, digest) = value
        .split_once(' ')
        .ok_or(SdpError::Value("fingerprint"))?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return Err(SdpError::Hash);
    }
    digest.parse()
}

fn ice_text(value: &str, least: usize, name: &'static str) -> Result<String, SdpError> {
    if (least..=256).contains(&value.len()) && is_ice_text(value) {
        Ok(value.to_owned())
    } else {
        Err(SdpError::Value(name))
    }
}

fn setup(value: &str) -> Result<Setup, SdpError> {
    match value {
        "active" => Ok(Setup::Active),
        "passive" => Ok(Setup::Passive),
        "actpass" => Ok(Setup::ActPass),
        _ => Err(SdpError::Value("setup")),
    }
}

/// A token of RFC 8866, without the characters that nobody puts into a name; Chromium takes at most 16.
fn token(value: &str, name: &'static str) -> Result<String, SdpError> {
    let plain = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'));
    if (1..=16).contains(&value.len()) && plain {
        Ok(value.to_owned())
    } else {
        Err(SdpError::Value(name))
    }
}
