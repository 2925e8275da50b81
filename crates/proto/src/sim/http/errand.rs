//! What one exchange is going to do, decided before it begins and known to both ends.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;

use crate::http::Framing;
use crate::sim::Rng;
use crate::wire::http::{Fields, Request};

/// Longest piece handed to a session at once.
const PIECE: usize = 40_000;
const PERIOD: usize = 251;

/// Octets whose place in a body can be told from their value, near enough.
static PATTERN: LazyLock<Bytes> =
    LazyLock::new(|| (0..PIECE + PERIOD).map(|n| (n % PERIOD) as u8).collect());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Head,
    Put,
    WebSocket,
    Tcp,
}

/// How fast somebody reads or writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Octets a tick.
    pub(super) octets: usize,
    /// Before this time of the exchange nothing at all.
    pub(super) idle: Duration,
}

impl Pace {
    const QUICK: Self = Self {
        octets: usize::MAX,
        idle: Duration::ZERO,
    };

    fn new(rng: &mut Rng) -> Self {
        match rng.pick(0..6) {
            0 => Self {
                octets: 200 + rng.size(4_000) as usize,
                idle: Duration::ZERO,
            },
            1 => Self {
                octets: usize::MAX,
                idle: Duration::from_millis(rng.size(14_000)),
            },
            _ => Self::QUICK,
        }
    }
}

/// One direction's body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    pub(super) octets: u64,
    /// `content-length` says so.
    pub(super) declared: bool,
    pub(super) trailers: bool,
    pub(super) writer: Pace,
    pub(super) reader: Pace,
    salt: usize,
}

impl Body {
    fn new(rng: &mut Rng, octets: u64) -> Self {
        let (writer, reader) = (Pace::new(rng), Pace::new(rng));
        // A slow one of a large body would take for ever.
        let octets = if writer.octets.min(reader.octets) == usize::MAX {
            octets
        } else {
            octets.min(100_000)
        };
        Self {
            octets,
            declared: rng.one_in(2),
            trailers: rng.one_in(4),
            writer,
            reader,
            salt: rng.pick(0..251) as usize,
        }
    }

    /// The octets from `at` on, as many as are wanted, are there, and fit a piece.
    pub(super) fn piece(&self, at: u64, max: usize) -> Bytes {
        let length = max.min(PIECE).min((self.octets - at) as usize);
        let from = (at as usize + self.salt) % PERIOD;
        PATTERN.slice(from..from + length)
    }

    /// Whether these are the octets at `at`.
    pub(super) fn has(&self, at: u64, octets: &[u8]) -> bool {
        let mut at = at;
        at + octets.len() as u64 <= self.octets
            && octets.chunks(PIECE).all(|chunk| {
                let expected = self.piece(at, chunk.len());
                at += chunk.len() as u64;
                expected == chunk
            })
    }

    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        if self.declared {
            fields.push("content-length", self.octets.to_string().into_bytes());
        }
        fields
    }

    fn quick(mut self) -> Self {
        (self.writer, self.reader) = (Pace::QUICK, Pace::QUICK);
        self
    }
}

/// Octets of the message of a WebSocket with this number, of which so many are left to be sent in all.
pub(super) fn message_octets(number: u64, left: u64) -> u64 {
    (number * 7_919 % 5_000).min(left)
}

/// How the direction of a WebSocket with this body is closed: without a code, with one, or with words as well.
pub(super) fn close(body: &Body) -> Bytes {
    Bytes::from_static([&b""[..], b"\x03\xe8", b"\x0f\xa0that was all"][body.salt % 3])
}

/// How much of what is left of a message is written at once, and whether that is all: some go out in parts.
pub(super) fn message_part(number: u64, octets: u64) -> (u64, bool) {
    let part = if number % 3 == 2 {
        octets.div_ceil(2)
    } else {
        octets
    };
    (part, part == octets)
}

/// Every other message is text.
pub(super) fn message(number: u64, fin: bool) -> Framing {
    Framing::Message {
        text: number % 2 == 1,
        fin,
    }
}

#[derive(Debug, Clone)]
pub(super) struct Errand {
    pub(super) number: usize,
    pub(super) by_caller: bool,
    /// When it begins.
    pub(super) at: Duration,
    pub(super) kind: Kind,
    pub(super) up: Body,
    pub(super) down: Body,
    /// The responder answers at once, and takes nothing of the body.
    pub(super) early: bool,
    /// The requester gives up after this time.
    pub(super) cancelled: Option<Duration>,
    /// The responder breaks off after this time.
    pub(super) broken: Option<Duration>,
    /// It is timed.
    pub(super) probe: bool,
    long_head: bool,
}

impl Errand {
    pub(super) fn new(number: usize, rng: &mut Rng) -> Self {
        let kind = match rng.pick(0..8) {
            0 => Kind::Head,
            1 | 2 => Kind::Put,
            3 => Kind::WebSocket,
            4 => Kind::Tcp,
            _ => Kind::Get,
        };
        let octets = |rng: &mut Rng| match rng.pick(0..20) {
            0 => rng.pick(0..3_000_000),
            1..6 => rng.pick(0..300_000),
            _ => rng.size(100_000),
        };
        let (up, down) = (octets(rng), octets(rng));
        let up = if matches!(kind, Kind::Get | Kind::Head) {
            0
        } else {
            up
        };
        let down = if kind == Kind::Head { 0 } else { down };
        let errand = Self {
            number,
            by_caller: !rng.one_in(4),
            at: Duration::from_millis(rng.size(4_000)),
            kind,
            up: Body::new(rng, up),
            down: Body::new(rng, down),
            early: kind == Kind::Put && rng.one_in(5),
            cancelled: rng
                .one_in(10)
                .then(|| Duration::from_millis(rng.size(2_000))),
            broken: rng
                .one_in(15)
                .then(|| Duration::from_millis(rng.size(2_000))),
            probe: rng.one_in(4),
            long_head: rng.one_in(10),
        };
        if errand.probe {
            errand.into_probe()
        } else {
            errand
        }
    }

    fn into_probe(mut self) -> Self {
        self.kind = Kind::Get;
        self.early = false;
        self.long_head = false;
        (self.cancelled, self.broken) = (None, None);
        self.up.octets = 0;
        (self.up, self.down) = (self.up.quick(), self.down.quick());
        self.down.octets = self.down.octets.min(4_000);
        self
    }

    pub(super) fn request(&self) -> Request {
        let path = format!("/{}", self.number);
        let mut fields = if self.has_body() {
            self.up.fields()
        } else {
            Fields::new()
        };
        if self.long_head {
            fields.push("x-long", vec![b'x'; 30_000]);
        }
        let http = |method: &str, fields| Request::Http {
            method: method.into(),
            path: path.as_str().into(),
            fields,
        };
        match self.kind {
            Kind::Get => http("GET", fields),
            Kind::Head => http("HEAD", fields),
            Kind::Put => http("PUT", fields),
            Kind::WebSocket => Request::WebSocket {
                path: path.as_str().into(),
                fields,
            },
            Kind::Tcp => Request::Tcp {
                name: path.as_str().into(),
            },
        }
    }

    /// The number of the errand that a request is for.
    pub(super) fn asked(request: &Request) -> Option<usize> {
        let (Request::Http { path, .. }
        | Request::WebSocket { path, .. }
        | Request::Tcp { name: path }) = request;
        path.strip_prefix('/')?.parse().ok()
    }

    pub(super) fn has_body(&self) -> bool {
        !matches!(self.kind, Kind::Get | Kind::Head)
    }

    pub(super) fn status(&self) -> u16 {
        match self.kind {
            Kind::WebSocket => 101,
            _ if self.early => 413,
            _ => 200,
        }
    }
}
