//! What went wrong at the target, in words for a person.

use std::{error::Error as _, io};

use http::{Response, StatusCode};

use crate::{
    http::ResetCode,
    proxy::{Body, answer::refusal},
};

/// Why there is no answer of the target's.
pub(super) enum Failure {
    Client(hyper_util::client::legacy::Error),
    Timeout,
    /// A protocol that nobody asked for.
    Switched,
    /// Something else than the WebSocket that was asked for.
    Handshake,
    TwoLengths,
}

impl Failure {
    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Timeout => refusal(
                StatusCode::GATEWAY_TIMEOUT,
                ResetCode::Timeout,
                "The device is connected, but the app on it did not answer in time.",
            ),
            Self::Switched => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but the app on it changed to a protocol that nobody asked for.",
            ),
            Self::Handshake => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but what the app on it opened is no WebSocket that was asked for.",
            ),
            Self::TwoLengths => refusal(
                StatusCode::BAD_GATEWAY,
                ResetCode::Broken,
                "The device is connected, but the app on it stated two lengths for one answer.",
            ),
            Self::Client(error) if error.is_connect() => {
                let cause = root(&error);
                tracing::debug!(%error, cause, "target unreachable");
                let text = format!(
                    "The device is connected, but the app on it cannot be reached: {cause}."
                );
                refusal(StatusCode::BAD_GATEWAY, ResetCode::Unreachable, text)
            }
            Self::Client(error) => {
                tracing::debug!(%error, cause = root(&error), "target broke off");
                let text = format!(
                    "The device is connected, but the app on it broke off: {}.",
                    root(&error)
                );
                refusal(StatusCode::BAD_GATEWAY, ResetCode::Broken, text)
            }
        }
    }
}

/// The innermost reason in plain words, without addresses of the device's own network.
fn root(error: &hyper_util::client::legacy::Error) -> String {
    let mut cause = error.source();
    let mut text = "no answer".to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    return "connection refused (is it running?)".to_owned();
                }
                io::ErrorKind::TimedOut => return "no answer (is it running?)".to_owned(),
                _ => {}
            }
            if let Some(reason) = distrust(error) {
                return format!(
                    "its certificate is not trusted ({reason}); the owner can name it with --target-cert"
                );
            }
        }
        cause = error.source();
    }
    text
}

/// Whether a connection ended, in good order or not, before the head of an answer was complete.
pub(super) fn is_closed(error: &hyper_util::client::legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
            return matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            );
        }
        cause = error.source();
    }
    false
}

/// What is wrong with a certificate; IO errors carry it, and one another.
fn distrust(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    match inner.downcast_ref() {
        Some(rustls::Error::InvalidCertificate(reason)) => Some(reason.to_string()),
        _ => distrust(inner.downcast_ref()?),
    }
}
