//! Getting a byte stream to the server.

use url::Url;

use super::SignallingError;
use crate::net::{self, DialError, Roots, Stream};

/// Connects to the host of an `http` or `https` URL.
pub(super) async fn dial(server: &Url, roots: &Roots) -> Result<Box<dyn Stream>, SignallingError> {
    let dialled = net::dial(server, roots).await;
    dialled.map_err(|error| match error {
        DialError::Url => SignallingError::Url(server.to_string()),
        DialError::Unreachable(error) => SignallingError::Unreachable(error.to_string()),
        DialError::Tls(error) => SignallingError::Tls(error.to_string()),
    })
}
