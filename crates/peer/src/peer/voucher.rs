//! What a caller of a device states under its key, at first and with every restart.

use peerage_proto::identity::caller::{Call, SentOffer};
use peerage_proto::identity::{DeviceId, Fingerprint, LinkProof, Nonce};
use peerage_proto::wire::id::ConnectionId;

use super::{ConnectError, Inner};
use crate::{clock, random};

/// What does not change between the statements of a connection.
pub(super) struct Voucher {
    pub(super) device: DeviceId,
    pub(super) proof: Option<LinkProof>,
    pub(super) label: String,
}

impl Voucher {
    pub(super) fn sign(
        &self,
        inner: &Inner,
        connection: &ConnectionId,
        fingerprint: [u8; 32],
        retry: Option<Nonce>,
    ) -> Result<Box<SentOffer>, ConnectError> {
        let call = Call {
            device: self.device.clone(),
            from: inner.id.clone(),
            connection: connection.clone(),
            label: self.label.clone(),
            fingerprint: Fingerprint::new(fingerprint),
            retry,
        };
        SentOffer::new(
            &inner.key,
            call,
            self.proof.as_ref(),
            clock::wall(),
            &mut random::os(),
        )
        .map(Box::new)
        .map_err(|error| ConnectError::Invalid(error.to_string()))
    }
}
