//! How links fail to be made.

use std::io;

use peerage_proto::wire::sdp::SdpError;

use crate::engine::{EngineError, MAX_LABEL};

/// A link, or the engine of links, could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// The UDP port is not to be had.
    #[error("cannot open a UDP port: {0}")]
    Bind(#[source] io::Error),
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),
    /// The text is no description of one data connection.
    #[error("not a description of data channels: {0}")]
    Description(#[from] SdpError),
    /// The description is well-formed, but no connection can be made with it.
    #[error("the description is not usable: {0}")]
    Unusable(String),
    /// An offer has 1 to 16 channels.
    #[error("an offer has 1 to 16 channels")]
    Channels,
    /// A channel's label is longer than 512 octets.
    #[error("a label is too long: {0} octets, at most {MAX_LABEL}")]
    Label(usize),
    /// Too many links wait for their peers, or were offered. May be tried again later.
    #[error("too many links are being made")]
    Busy,
    /// The link is over, or was accepted already.
    #[error("the link takes no answer any more")]
    Over,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Stopped,
}

impl From<EngineError> for DirectError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Bind(error) => Self::Bind(error),
            EngineError::Certificate(why) => Self::Certificate(why),
            EngineError::Description(why) => Self::Unusable(why),
            EngineError::Restart(_) => Self::Over,
            EngineError::Label(octets) => Self::Label(octets),
            EngineError::Slots | EngineError::Busy => Self::Busy,
            EngineError::Stopped => Self::Stopped,
        }
    }
}
