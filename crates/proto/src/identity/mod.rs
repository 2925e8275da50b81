//! Who a peer is, and who may reach a device, although the server between them is not trusted.
//!
//! `docs/protocol/identity.md` is the protocol. [`caller`] makes offers and verifies answers; [`gate`] is the device's side: links, grants,
//! freshness, refusals; [`registration`] claims a key-shaped id at a server. Nothing here reads a clock or draws randomness: both are arguments.

pub mod caller;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gate;
mod key;
pub mod registration;
mod secret;

pub use key::{KeyError, PublicKey, SignatureError, SigningKey};
pub use secret::{LinkProof, MacKey};

pub use crate::wire::{
    evidence::{Code, Evidence, Reply},
    id::{DeviceId, Kid, Secret},
    sdp::Fingerprint,
    statement::{Nonce, StatementHash, Time},
};
