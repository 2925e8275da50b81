//! What is said about a file on its way from one peer to another (`docs/protocol/file.md`): values of a `binary` connection.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::value::Value;

/// Label of the data channel.
pub const LABEL: &str = "peerage-file";

/// Of the protocol.
pub const VERSION: u64 = 1;

/// Most octets of a file in one value.
pub const PIECE_MAX: usize = 1024 * 1024;

/// Most octets of a name: with a number and the ending of an unfinished file it is one for every file system.
pub const NAME_MAX: usize = 230;

/// Most octets of a file: what JavaScript counts exactly.
pub const SIZE_MAX: u64 = (1 << 53) - 1;

/// Most beginnings that a receiver asks about.
pub const COMPARE_MAX: usize = 8;

/// Ends the name of a file that is not complete; no file is offered under such a name.
pub const UNFINISHED: &str = ".peerage-part";

/// SHA-256 of a file, or of its beginning. In text and on the wire 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// The name of a file, without a place: safe in any folder, and on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName(String);

/// Why a text is no name for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or more than [`NAME_MAX`] octets.
    #[error("a file's name has 1 to 230 octets")]
    Length,
    /// `/` or `\`.
    #[error("a file's name has no / or \\")]
    Separator,
    /// A control character, or one that is invisible or turns the direction of writing.
    #[error("a file's name has only visible characters")]
    Invisible,
    /// A dot at the beginning, or white space at either end.
    #[error("a file's name begins with no dot, and with no space, and ends with no space")]
    Edge,
    /// Ends as the names of unfinished files do.
    #[error("a file's name does not end with .peerage-part: such files are not complete")]
    Unfinished,
}

/// Why a transfer ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The receiver does not want the file.
    #[error("the receiver does not want it")]
    Declined,
    /// Its name is none that the receiver takes.
    #[error("the receiver takes no file of this name")]
    Name,
    /// More octets came than were announced, or fewer.
    #[error("it has not the size that was announced")]
    Size,
    /// The receiver cannot write it.
    #[error("the receiver cannot write it")]
    Storage,
    /// What arrived has another SHA-256 than what was sent.
    #[error("it arrived with another SHA-256 than it was sent with")]
    Digest,
    /// The sender cannot read it any more, or gives up.
    #[error("the sender gave up on it")]
    Source,
    /// The receiver has no room for one more transfer.
    #[error("the receiver is busy")]
    Busy,
    /// Nothing came for too long.
    #[error("the other side said nothing for too long")]
    Timeout,
    /// A message that makes no sense here.
    #[error("the other side broke the protocol")]
    Protocol,
    /// The receiver does not know this version of the protocol.
    #[error("the receiver's peerage is older: update it")]
    Version,
}

/// One message. `file` counts a connection's files.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Sender: a file is there. `name` is as it came.
    Offer {
        /// Which file.
        file: u64,
        /// How it is to be called.
        name: String,
        /// In octets.
        size: u64,
    },
    /// Sender: a file is there, by rules that this version does not know.
    OfferOfOtherVersion {
        /// Which file.
        file: u64,
    },
    /// Receiver: there are beginnings of these lengths.
    Compare {
        /// Which file.
        file: u64,
        /// In octets; at most [`COMPARE_MAX`].
        lengths: Vec<u64>,
    },
    /// Sender: these are the hashes of the file's beginnings.
    Prefixes {
        /// Which file.
        file: u64,
        /// In the order of the lengths.
        digests: Vec<Digest>,
    },
    /// Receiver: send what follows this many octets.
    Accept {
        /// Which file.
        file: u64,
        /// In octets.
        from: u64,
    },
    /// Sender: the next octets of the file.
    Data(Bytes),
    /// Sender: that was all.
    End {
        /// Which file.
        file: u64,
        /// Of the whole file.
        digest: Digest,
    },
    /// Receiver: the file is written, whole.
    Done {
        /// Which file.
        file: u64,
        /// Of what is written.
        digest: Digest,
        /// How it is called there.
        name: String,
    },
    /// Either: this file's transfer is over.
    Stop {
        /// Which file.
        file: u64,
        /// Why.
        reason: Reason,
    },
}

/// A value that is no message of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message of a file transfer")]
pub struct MessageError;

impl Message {
    /// Reads a value.
    ///
    /// # Errors
    /// It is none of the messages; members that are not known are read past.
    pub fn parse(value: Value) -> Result<Self, MessageError> {
        let value = match value {
            Value::Bytes(data) if (1..=PIECE_MAX).contains(&data.len()) => {
                return Ok(Self::Data(data));
            }
            value => value,
        };
        let text = |name| value.get(name).and_then(Value::as_str).ok_or(MessageError);
        let number = |name| {
            let number = value.get(name).and_then(Value::as_u64);
            number.filter(|&n| n <= SIZE_MAX).ok_or(MessageError)
        };
        let list = |name| {
            let list = value.get(name).and_then(Value::as_array);
            list.filter(|list| list.len() <= COMPARE_MAX)
                .ok_or(MessageError)
        };
        let file = number("file")?;
        Ok(match text("type")? {
            "offer" if number("version")? != VERSION => Self::OfferOfOtherVersion { file },
            "offer" => Self::Offer {
                file,
                name: text("name")?.to_owned(),
                size: number("size")?,
            },
            "compare" => Self::Compare {
                file,
                lengths: list("lengths")?
                    .iter()
                    .map(|length| length.as_u64().ok_or(MessageError))
                    .collect::<Result<_, _>>()?,
            },
            "prefixes" => Self::Prefixes {
                file,
                digests: list("sha256")?
                    .iter()
                    .map(|text| text.as_str().ok_or(MessageError)?.parse())
                    .collect::<Result<_, _>>()?,
            },
            "accept" => Self::Accept {
                file,
                from: number("from")?,
            },
            "end" => Self::End {
                file,
                digest: text("sha256")?.parse()?,
            },
            "done" => Self::Done {
                file,
                digest: text("sha256")?.parse()?,
                name: text("name")?.to_owned(),
            },
            "stop" => Self::Stop {
                file,
                reason: Reason::of(text("reason")?),
            },
            _ => return Err(MessageError),
        })
    }
}

impl From<Message> for Value {
    fn from(message: Message) -> Self {
        let map = |kind: &str, file: u64, rest: Vec<(&str, Value)>| {
            let first = [("type", kind.into()), ("file", number(file))];
            let members = first.into_iter().chain(rest);
            Value::Map(members.map(|(name, it)| (name.to_owned(), it)).collect())
        };
        match message {
            Message::Offer { file, name, size } => map(
                "offer",
                file,
                vec![
                    ("version", number(VERSION)),
                    ("name", name.into()),
                    ("size", number(size)),
                ],
            ),
            Message::OfferOfOtherVersion { file } => {
                map("offer", file, vec![("version", number(VERSION + 1))])
            }
            Message::Compare { file, lengths } => {
                let lengths = lengths.into_iter().map(number).collect();
                map("compare", file, vec![("lengths", Value::Array(lengths))])
            }
            Message::Prefixes { file, digests } => {
                let digests = digests.iter().map(|it| it.to_string().into()).collect();
                map("prefixes", file, vec![("sha256", Value::Array(digests))])
            }
            Message::Accept { file, from } => map("accept", file, vec![("from", number(from))]),
            Message::Data(data) => Value::Bytes(data),
            Message::End { file, digest } => {
                map("end", file, vec![("sha256", digest.to_string().into())])
            }
            Message::Done { file, digest, name } => {
                let sha256 = digest.to_string().into();
                map(
                    "done",
                    file,
                    vec![("sha256", sha256), ("name", name.into())],
                )
            }
            Message::Stop { file, reason } => {
                map("stop", file, vec![("reason", reason.name().into())])
            }
        }
    }
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::Declined,
        Self::Name,
        Self::Size,
        Self::Storage,
        Self::Digest,
        Self::Source,
        Self::Busy,
        Self::Timeout,
        Self::Protocol,
        Self::Version,
    ];

    /// How it is called on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Name => "name",
            Self::Size => "size",
            Self::Storage => "storage",
            Self::Digest => "digest",
            Self::Source => "source",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Version => "version",
        }
    }

    /// A later version's reasons are read as the last resort.
    fn of(name: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|reason| reason.name() == name)
            .unwrap_or(Self::Protocol)
    }
}

impl FileName {
    /// Takes a text for a name.
    ///
    /// # Errors
    /// It could lead elsewhere, hide something, or be too long.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_MAX {
            return Err(NameError::Length);
        }
        if text.contains(['/', '\\']) {
            return Err(NameError::Separator);
        }
        if text.chars().any(is_invisible) {
            return Err(NameError::Invisible);
        }
        if text.starts_with('.') || text.trim() != text {
            return Err(NameError::Edge);
        }
        if text.to_ascii_lowercase().ends_with(UNFINISHED) {
            return Err(NameError::Unfinished);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for the `n`-th file that is called so: `plan.pdf`, `plan (2).pdf`.
    pub fn numbered(&self, n: u32) -> String {
        if n <= 1 {
            return self.0.clone();
        }
        match self.0.rsplit_once('.') {
            Some((stem, ending)) => format!("{stem} ({n}).{ending}"),
            None => format!("{} ({n})", self.0),
        }
    }

    /// The name while it is not complete.
    pub fn unfinished(&self, n: u32) -> String {
        if n <= 1 {
            return format!("{}{UNFINISHED}", self.0);
        }
        format!("{}.{n}{UNFINISHED}", self.0)
    }
}

/// Whether a character does something else than show itself: control characters, and those that are invisible, break lines or turn the direction of writing.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(octets: [u8; 32]) -> Self {
        Self(octets)
    }
}

impl FromStr for Digest {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        let digit = |octet: u8| match octet {
            b'0'..=b'9' => Ok(octet - b'0'),
            b'a'..=b'f' => Ok(octet - b'a' + 10),
            _ => Err(MessageError),
        };
        let text: &[u8; 64] = text.as_bytes().try_into().map_err(|_| MessageError)?;
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(text.chunks_exact(2)) {
            *octet = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let digest = Digest([0xab; 32]);
        let all = [
            Message::Offer {
                file: 0,
                name: "plan.pdf".into(),
                size: SIZE_MAX,
            },
            Message::OfferOfOtherVersion { file: 1 },
            Message::Compare {
                file: 2,
                lengths: vec![1, 2],
            },
            Message::Prefixes {
                file: 3,
                digests: vec![digest],
            },
            Message::Accept { file: 4, from: 7 },
            Message::Data(Bytes::from_static(b"x")),
            Message::End { file: 5, digest },
            Message::Done {
                file: 6,
                digest,
                name: "plan (2).pdf".into(),
            },
        ];
        let stops = Reason::ALL.map(|reason| Message::Stop { file: 7, reason });
        for message in all.into_iter().chain(stops) {
            assert_eq!(Message::parse(message.clone().into()), Ok(message));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let json =
            |text: &str| Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap());
        for wrong in [
            r#"{}"#,
            r#""offer""#,
            r#"{"type":"offer","file":0,"version":1,"name":"x"}"#,
            r#"{"type":"offer","file":0,"version":1,"name":"x","size":-1}"#,
            r#"{"type":"offer","file":0,"version":1,"name":"x","size":9007199254740992}"#,
            r#"{"type":"offer","version":1,"name":"x","size":1}"#,
            r#"{"type":"offer","file":0,"version":1,"name":7,"size":1}"#,
            r#"{"type":"compare","file":0,"lengths":[1,2,3,4,5,6,7,8,9]}"#,
            r#"{"type":"prefixes","file":0,"sha256":["ab"]}"#,
            r#"{"type":"end","file":0,"sha256":"AB"}"#,
            r#"{"type":"sing","file":0}"#,
        ] {
            assert_eq!(Message::parse(json(wrong)), Err(MessageError), "{wrong}");
        }
        assert_eq!(
            Message::parse(Value::Bytes(Bytes::new())),
            Err(MessageError)
        );
        let large = Value::Bytes(vec![0; PIECE_MAX + 1].into());
        assert_eq!(Message::parse(large), Err(MessageError));
    }

    #[test]
    fn a_name_leads_nowhere_and_hides_nothing() {
        for good in [
            "a",
            "plan.pdf",
            "Übung 1.txt",
            "…",
            "12:30",
            "a..b",
            "-rf",
            "文件.tar.gz",
        ] {
            assert_eq!(
                FileName::parse(good).as_ref().map(FileName::as_str),
                Ok(good)
            );
        }
        let long = "x".repeat(NAME_MAX + 1);
        for (bad, error) in [
            ("", NameError::Length),
            (&*long, NameError::Length),
            ("a/b", NameError::Separator),
            ("..\\b", NameError::Separator),
            ("/etc/passwd", NameError::Separator),
            ("a\0b", NameError::Invisible),
            ("a\x1b[2J", NameError::Invisible),
            ("a\nb", NameError::Invisible),
            ("a\u{9b}b", NameError::Invisible),
            ("gpj\u{202e}exe", NameError::Invisible),
            ("a\u{200b}", NameError::Invisible),
            ("..", NameError::Edge),
            (".bashrc", NameError::Edge),
            (" a", NameError::Edge),
            ("a ", NameError::Edge),
            ("a.Peerage-Part", NameError::Unfinished),
        ] {
            assert_eq!(FileName::parse(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn a_second_file_of_a_name_has_a_number_before_its_ending() {
        let name = |text| FileName::parse(text).expect("a name");
        assert_eq!(name("plan.pdf").numbered(1), "plan.pdf");
        assert_eq!(name("plan.pdf").numbered(2), "plan (2).pdf");
        assert_eq!(name("plan").numbered(12), "plan (12)");
        assert_eq!(name("plan.pdf").unfinished(1), "plan.pdf.peerage-part");
        assert_eq!(name("plan.pdf").unfinished(3), "plan.pdf.3.peerage-part");
        let longest = "x".repeat(NAME_MAX);
        assert!(name(&longest).unfinished(999).len() <= 255);
        assert!(name(&longest).numbered(999).len() <= 255);
    }
}
