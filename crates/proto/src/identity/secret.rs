//! What is derived from a link's secret: its name, and the key that proves it.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::wire::id::{DeviceId, Kid, Secret};

const KID_INFO: &[u8] = b"peerage/1 kid";
const MAC_INFO: &[u8] = b"peerage/1 mac\0";

impl Secret {
    /// The name of the link that has this secret.
    pub fn kid(&self) -> Kid {
        let mut bytes = [0; 8];
        self.derive(KID_INFO, &[], &mut bytes);
        Kid::new(bytes)
    }

    /// The key that proves this secret to one device. The device is part of it: a secret typed at a wrong device does not help that device.
    pub fn mac_key(&self, device: &DeviceId) -> MacKey {
        let mut bytes = [0; 32];
        self.derive(MAC_INFO, device.as_str().as_bytes(), &mut bytes);
        MacKey(bytes)
    }

    /// Name and key together: all that a caller needs of the secret.
    pub fn proof(&self, device: &DeviceId) -> LinkProof {
        LinkProof {
            kid: self.kid(),
            mac_key: self.mac_key(device),
        }
    }

    fn derive(&self, label: &[u8], context: &[u8], out: &mut [u8]) {
        Hkdf::<Sha256>::new(None, self.expose().as_bytes())
            .expand_multi_info(&[label, context], out)
            .expect("HKDF-SHA256 gives up to 8,160 bytes, 32 are asked for");
    }
}

/// Proves a link's secret to one device by HMAC-SHA256. `Debug` shows dots; dropping it overwrites it.
#[derive(Clone)]
pub struct MacKey([u8; 32]);

impl MacKey {
    /// The MAC of a statement's bytes.
    pub fn mac(&self, statement: &[u8]) -> [u8; 32] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(statement);
        mac.finalize().into_bytes().into()
    }

    /// Whether a MAC is right; takes the same time wherever it differs.
    #[must_use]
    pub fn verify(&self, statement: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(statement).ct_eq(mac).into()
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(…)")
    }
}

/// What a caller keeps of a link's secret: enough for a first visit to its device, useless at any other.
#[derive(Debug, Clone)]
pub struct LinkProof {
    /// Names the link.
    pub kid: Kid,
    /// Proves it.
    pub mac_key: MacKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kid_and_mac_key_tell_nothing_of_each_other_and_depend_on_all_they_should() {
        let secret = Secret::parse("abcdefghijklmnopqrstuvwxyz").expect("26 characters");
        let other = Secret::parse("abcdefghijklmnopqrstuvwxy2").expect("26 characters");
        let (here, there) = (
            DeviceId::from_digest(&[1; 32]),
            DeviceId::from_digest(&[2; 32]),
        );
        assert_ne!(secret.kid(), other.kid());
        assert_ne!(secret.mac_key(&here).0, secret.mac_key(&there).0);
        assert_ne!(secret.mac_key(&here).0, other.mac_key(&here).0);
    }

    #[test]
    fn a_mac_holds_for_its_key_and_bytes_alone() {
        let device = DeviceId::from_digest(&[1; 32]);
        let key = Secret::parse("abcdefghijklmnopqrstuvwxyz")
            .expect("26 characters")
            .mac_key(&device);
        let mac = key.mac(b"statement");
        assert!(key.verify(b"statement", &mac));
        assert!(!key.verify(b"statemenT", &mac));
        let mut broken = mac;
        broken[31] ^= 1;
        assert!(!key.verify(b"statement", &broken));
    }

    #[test]
    fn keys_print_as_dots() {
        let proof = Secret::parse("abcdefghijklmnopqrstuvwxyz")
            .expect("26 characters")
            .proof(&DeviceId::from_digest(&[1; 32]));
        assert!(format!("{proof:?}").ends_with("mac_key: MacKey(…) }"));
    }
}
