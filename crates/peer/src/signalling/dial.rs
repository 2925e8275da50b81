//! Getting a byte stream to the server.

use url::Url;

use super::SignallingError;
use crate::net::{self, Roots, Stream};

/// Connects to the host of an `http` or `https` URL.
pub(super) async fn dial(server: &Url, roots: &Roots) -> Result<Box<dyn Stream>, SignallingError> {
    let bad = || SignallingError::Url(server.to_string());
    let host = server.host().ok_or_else(bad)?;
    let port = server.port_or_known_default().ok_or_else(bad)?;
    let stream = net::connect(&host, port)
        .await
        .map_err(|error| SignallingError::Unreachable(error.to_string()))?;
    if server.scheme() == "http" {
        return Ok(Box::new(stream));
    }
    match net::secure(stream, &host, roots).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(SignallingError::Tls(error.to_string())),
    }
}
