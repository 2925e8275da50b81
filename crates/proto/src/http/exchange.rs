//! One exchange: two directions and what they have to do with each other.

use super::inbound::{Fault, Inbound, Phase};
use super::outbound::Outbound;
use super::{End, SendError};
use crate::wire::http::{Fields, Head, Request, ResetCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    /// HTTP whose response has no body.
    HttpHead,
    WebSocket,
    Tcp,
}

impl Kind {
    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Http { method, .. } if &**method == "HEAD" => Self::HttpHead,
            Request::Http { .. } => Self::Http,
            Request::WebSocket { .. } => Self::WebSocket,
            Request::Tcp { .. } => Self::Tcp,
        }
    }
}

#[derive(Debug)]
pub(super) struct Exchange {
    /// This side began it: it is the requester.
    pub(super) ours: bool,
    pub(super) kind: Kind,
    /// The shell knows of it.
    pub(super) announced: bool,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
}

/// Interim heads of an exchange at most.
const INTERIMS_MAX: u32 = 8;

const MALFORMED: Fault = Fault::Reset(ResetCode::Malformed);

/// What a response's status says about what follows.
struct Follows {
    /// No body: END stands on the head.
    nothing: bool,
    /// WebSocket messages.
    messages: bool,
    /// The octets that `content-length` promises.
    body: Option<u64>,
}

impl Exchange {
    pub(super) fn new(ours: bool, kind: Kind, credit: u32) -> Self {
        Self {
            ours,
            kind,
            announced: ours,
            inbound: Inbound::new(),
            outbound: Outbound::new(credit),
        }
    }

    /// An exchange that this side begins.
    pub(super) fn begin(request: Request, end: bool, credit: u32) -> Result<Self, SendError> {
        let mut exchange = Self::new(true, Kind::of(&request), credit);
        let out = &mut exchange.outbound;
        out.messages = exchange.kind == Kind::WebSocket;
        out.body = request_body(&request);
        if end && out.body.is_some_and(|body| body > 0) {
            return Err(SendError::ContentLength);
        }
        out.phase = if end { Phase::Ended } else { Phase::Body };
        out.head(&Head::Request(request), end)?;
        Ok(exchange)
    }

    /// The peer's request arrived.
    pub(super) fn requested(&mut self, request: &Request, end: bool) -> Result<(), Fault> {
        self.kind = Kind::of(request);
        self.inbound.phase = Phase::Body;
        self.inbound.messages = self.kind == Kind::WebSocket;
        self.inbound.body = request_body(request);
        if end {
            self.inbound.end_with_head()?;
        }
        self.announced = true;
        Ok(())
    }

    /// An interim response arrived.
    pub(super) fn informed(&mut self, end: bool) -> Result<(), Fault> {
        self.inbound.interims += 1;
        if end {
            return Err(MALFORMED);
        }
        if self.inbound.interims > INTERIMS_MAX {
            Err(Fault::Reset(ResetCode::TooLarge))
        } else {
            Ok(())
        }
    }

    /// The response arrived.
    pub(super) fn responded(
        &mut self,
        status: u16,
        fields: &Fields,
        end: bool,
    ) -> Result<(), Fault> {
        let follows = self.follows(status, fields).ok_or(MALFORMED)?;
        if follows.nothing && !end {
            return Err(MALFORMED);
        }
        self.inbound.phase = Phase::Body;
        self.inbound.messages = follows.messages;
        self.inbound.body = follows.body;
        if end {
            self.inbound.end_with_head()
        } else {
            Ok(())
        }
    }

    /// Trailers arrived. `true`: there is something to read after there was nothing.
    pub(super) fn trailed(&mut self, fields: Fields, end: bool) -> Result<bool, Fault> {
        if !end
            || self.inbound.phase != Phase::Body
            || self.inbound.messages
            || self.kind == Kind::Tcp
        {
            return Err(MALFORMED);
        }
        self.inbound.end(End::Trailers(fields))
    }

    /// Sends an interim response.
    pub(super) fn inform(&mut self, status: u16, fields: Fields) -> Result<(), SendError> {
        self.may_respond()?;
        self.inbound.interims += 1;
        if self.inbound.interims > INTERIMS_MAX {
            return Err(SendError::Order("eight interim responses were sent"));
        }
        self.outbound.head(&Head::Interim { status, fields }, false)
    }

    /// Sends the response. END is set where there can be no body, whatever `end` says.
    pub(super) fn respond(
        &mut self,
        status: u16,
        fields: Fields,
        end: bool,
    ) -> Result<(), SendError> {
        self.may_respond()?;
        let follows = self
            .follows(status, &fields)
            .ok_or(SendError::Order("101 is for WebSockets"))?;
        let end = end || follows.nothing;
        if end && follows.body.is_some_and(|body| body > 0) {
            return Err(SendError::ContentLength);
        }
        self.outbound
            .head(&Head::Response { status, fields }, end)?;
        self.outbound.messages = follows.messages;
        self.outbound.body = follows.body;
        self.outbound.phase = if end { Phase::Ended } else { Phase::Body };
        Ok(())
    }

    pub(super) fn finish(&mut self, end: End) -> Result<(), SendError> {
        if self.kind == Kind::Tcp && matches!(end, End::Trailers(_)) {
            return Err(SendError::Order("a TCP stream has no trailers"));
        }
        self.outbound.finish(end)
    }

    fn may_respond(&self) -> Result<(), SendError> {
        match (self.ours, self.outbound.phase) {
            (true, _) => Err(SendError::Order("the peer responds to this exchange")),
            (_, Phase::Head) => Ok(()),
            _ => Err(SendError::Order("the response head was sent")),
        }
    }

    /// `None`: this status is not for this kind.
    fn follows(&self, status: u16, fields: &Fields) -> Option<Follows> {
        let messages = status == 101;
        if messages && self.kind != Kind::WebSocket {
            return None;
        }
        let unmeasured = messages || status == 304 || self.kind == Kind::HttpHead;
        Some(Follows {
            nothing: self.kind == Kind::HttpHead || matches!(status, 204 | 304),
            messages,
            body: if unmeasured {
                None
            } else {
                fields.content_length()
            },
        })
    }
}

fn request_body(request: &Request) -> Option<u64> {
    match request {
        Request::Http { fields, .. } => fields.content_length(),
        Request::WebSocket { .. } | Request::Tcp { .. } => None,
    }
}
