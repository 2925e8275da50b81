//! What an application is told of a call before it decides.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use peerage_proto::identity::PublicKey;
use peerage_proto::wire::id::PeerId;
use serde_json::value::RawValue;

/// Somebody wants to connect. Nothing of this machine was told to anybody yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Offer {
    /// Who, by the server's word.
    pub peer: PeerId,
    /// The caller's key, where it has proven to hold it.
    pub key: Option<PublicKey>,
    /// The channel's label.
    pub label: String,
    /// How values are to travel, by the name in the offer.
    pub serialization: String,
    /// Whether messages are to arrive in order.
    pub ordered: bool,
    /// What the caller's application says about the connection, as JSON.
    pub metadata: Option<Box<RawValue>>,
}

/// No. The caller is told `denied`, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, thiserror::Error)]
#[error("refused by the application")]
pub struct Refusal;

type Decision = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// The application's own gate, asked after the peer's.
#[derive(Clone)]
pub(super) struct Approve(Arc<dyn Fn(Offer) -> Decision + Send + Sync>);

impl Approve {
    pub(super) fn new<F, D>(decide: F) -> Self
    where
        F: Fn(Offer) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        Self(Arc::new(move |offer| Box::pin(decide(offer))))
    }

    pub(super) async fn ask(&self, offer: Offer) -> Result<(), Refusal> {
        (self.0)(offer).await
    }
}

impl fmt::Debug for Approve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Approve")
    }
}
