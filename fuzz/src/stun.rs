//! STUN messages, beside another implementation; frames on a stream.

use peerage_proto::wire::stun::{Builder, Class, Message, attribute};
use peerage_proto::wire::turn;
use stun_types::attribute::{AttributeFromRaw as _, AttributeStaticType as _, XorMappedAddress};
use stun_types::message::{Message as Theirs, MessageClass};

/// A message: read as another implementation reads it, and written again as it came.
pub fn stun(octets: &[u8]) {
    if let Ok(Some(length)) = turn::frame_length(octets) {
        assert!((4..=turn::MAX_FRAME).contains(&length) && length % 4 == 0);
    }
    if let Some((_, data)) = turn::channel_data(octets) {
        assert!(data.len() + turn::CHANNEL_HEADER <= octets.len());
    }
    let Ok(ours) = Message::parse(octets) else {
        return;
    };
    // Accessors take anything.
    let _ = (
        ours.error(),
        ours.text(attribute::REALM),
        ours.number(0x0d),
        ours.is_signed_with(b"key"),
    );
    let count = ours.attributes().count();
    let written = ours
        .attributes()
        .fold(
            Builder::new(ours.class(), ours.method(), ours.transaction_id()),
            |builder, attribute| builder.put(attribute.kind, attribute.value),
        )
        .sign(b"key")
        .fingerprint()
        .finish();
    let again = Message::parse(&written).expect("what was written is read");
    assert!(again.is_signed_with(b"key") && again.has_fingerprint());
    assert_eq!(again.attributes().count(), count);
    assert!(again.attributes().eq(ours.attributes()));
    // It refuses more: attributes in an order that does not make sense.
    let Ok(theirs) = Theirs::from_bytes(octets) else {
        return;
    };
    assert_eq!(
        theirs.class(),
        match ours.class() {
            Class::Request => MessageClass::Request,
            Class::Indication => MessageClass::Indication,
            Class::Success => MessageClass::Success,
            Class::Error => MessageClass::Error,
        }
    );
    let mapped = theirs
        .raw_attribute(XorMappedAddress::TYPE)
        .and_then(|raw| XorMappedAddress::from_raw(raw).ok())
        .map(|address| address.addr(theirs.transaction_id()));
    if let (Some(theirs), Some(ours)) = (mapped, ours.xor_address(attribute::XOR_MAPPED_ADDRESS)) {
        assert_eq!(ours, theirs);
    }
}
