//! ECDSA over P-256 with SHA-256. Signing is deterministic (RFC 6979): it needs no randomness, and the same statement has one signature.

use std::{cmp::Ordering, fmt, hash};

use p256::{
    SecretKey,
    ecdsa::{
        self, Signature, VerifyingKey,
        signature::{Signer, Verifier},
    },
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::wire::{id::DeviceId, statement::KeyBytes};

/// A lasting identity: the key that vouches for a peer's short-lived DTLS certificates. `Debug` shows its id alone; dropping it overwrites it.
#[derive(Clone)]
pub struct SigningKey {
    key: ecdsa::SigningKey,
    public: PublicKey,
}

/// The public half of a [`SigningKey`]: a point known to be on the curve.
#[derive(Clone)]
pub struct PublicKey {
    point: KeyBytes,
    key: VerifyingKey,
}

/// Bytes are no key of the kind expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Zero, or not below the group's order.
    #[error("not a P-256 private key: expected 32 bytes below the group order")]
    Scalar,
    /// Neither PKCS #8 nor for this curve.
    #[error("not a P-256 private key in PKCS #8")]
    Pkcs8,
    /// Compressed, off the curve or of a wrong length.
    #[error("not an uncompressed point of P-256")]
    Point,
}

/// A signature is not the key's over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to this key and these bytes")]
pub struct SignatureError;

impl SigningKey {
    /// The key whose secret scalar is these bytes, big-endian. Random bytes fit, but for one case in 2^32.
    ///
    /// # Errors
    /// The number is zero or not below the group's order: draw again.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        ecdsa::SigningKey::from_slice(bytes)
            .map(Self::from_key)
            .map_err(|_| KeyError::Scalar)
    }

    /// Draws a key from a generator that must be cryptographically secure.
    pub fn generate<R: rand_core::CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            rng.fill_bytes(&mut *bytes);
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// Reads PKCS #8 in PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// The text is something else, or the key is of another curve.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SecretKey::from_pkcs8_pem(pem)
            .map(|key| Self::from_key(key.into()))
            .map_err(|_| KeyError::Pkcs8)
    }

    /// Reads PKCS #8 in DER.
    ///
    /// # Errors
    /// The bytes are something else, or the key is of another curve.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_pkcs8_der(der)
            .map(|key| Self::from_key(key.into()))
            .map_err(|_| KeyError::Pkcs8)
    }

    /// Writes PKCS #8 in PEM: for the owner's state only.
    ///
    /// # Errors
    /// The encoder refuses the key; it has no reason to.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        SecretKey::from(&self.key)
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| KeyError::Pkcs8)
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The id that belongs to this key.
    pub fn device_id(&self) -> DeviceId {
        self.public.device_id()
    }

    /// Signs bytes: raw `r ‖ s`.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let signature: Signature = self.key.sign(bytes);
        signature.to_bytes().into()
    }

    fn from_key(key: ecdsa::SigningKey) -> Self {
        let public = PublicKey::from_key(*key.verifying_key());
        Self { key, public }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(… of {})", self.device_id())
    }
}

impl PublicKey {
    /// Reads an uncompressed point (SEC 1 section 2.3.3).
    ///
    /// # Errors
    /// The bytes are compressed, of a wrong length, or no point of the curve.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let point: KeyBytes = bytes.try_into().map_err(|_| KeyError::Point)?;
        if point[0] != 4 {
            return Err(KeyError::Point);
        }
        let key = VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyError::Point)?;
        Ok(Self { point, key })
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &KeyBytes {
        &self.point
    }

    /// The id that belongs to this key.
    pub fn device_id(&self) -> DeviceId {
        device_id_of(&self.point)
    }

    /// Checks a raw `r ‖ s` signature over bytes; high and low `s` are accepted, as browsers make both.
    ///
    /// # Errors
    /// The signature is another key's, over other bytes, or none.
    pub fn verify(&self, bytes: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError)?;
        self.key
            .verify(bytes, &signature)
            .map_err(|_| SignatureError)
    }

    fn from_key(key: VerifyingKey) -> Self {
        let mut point = [0; 65];
        point.copy_from_slice(key.to_sec1_point(false).as_bytes());
        Self { point, key }
    }
}

/// The id that would belong to key bytes, point of the curve or not.
pub(crate) fn device_id_of(point: &KeyBytes) -> DeviceId {
    DeviceId::from_digest(&Sha256::digest(point).into())
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.point.cmp(&other.point)
    }
}

impl hash::Hash for PublicKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.point.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.device_id())
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn key(seed: u64) -> SigningKey {
        SigningKey::generate(&mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn the_example_of_rfc_6979_is_reproduced() {
        // A.2.5, SHA-256, message "sample".
        let scalar = hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let key =
            SigningKey::from_bytes(scalar[..].try_into().expect("32 bytes")).expect("in range");
        let signature = key.sign(b"sample");
        assert_eq!(
            &signature[..32],
            hex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716")
        );
        assert_eq!(
            &signature[32..],
            hex("f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")
        );
    }

    #[test]
    fn a_key_survives_pem_and_der_and_signs_alike() {
        let key = key(1);
        let pem = key.to_pem().expect("encodes");
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        let read = SigningKey::from_pem(&pem).expect("reads back");
        assert_eq!(read.sign(b"x"), key.sign(b"x"));
        assert_eq!(
            SigningKey::from_pem("nonsense").map(drop),
            Err(KeyError::Pkcs8)
        );
        assert_eq!(
            SigningKey::from_bytes(&[0xff; 32]).map(drop),
            Err(KeyError::Scalar)
        );
        assert_eq!(
            SigningKey::from_bytes(&[0; 32]).map(drop),
            Err(KeyError::Scalar)
        );
    }

    #[test]
    fn a_signature_holds_for_its_key_and_bytes_alone() {
        let (key, other) = (key(1), key(2));
        let signature = key.sign(b"x");
        assert_eq!(key.public_key().verify(b"x", &signature), Ok(()));
        assert_eq!(
            key.public_key().verify(b"y", &signature),
            Err(SignatureError)
        );
        assert_eq!(
            other.public_key().verify(b"x", &signature),
            Err(SignatureError)
        );
        for byte in 0..64 {
            let mut broken = signature;
            broken[byte] ^= 1;
            assert_eq!(
                key.public_key().verify(b"x", &broken),
                Err(SignatureError),
                "byte {byte}"
            );
        }
        assert_eq!(key.public_key().verify(b"x", &[0; 64]), Err(SignatureError));
    }

    #[test]
    fn compressed_foreign_and_short_points_are_refused() {
        let point = *key(1).public_key().as_bytes();
        let mut off_curve = point;
        off_curve[64] ^= 1;
        let mut compressed = point[..33].to_vec();
        compressed[0] = 2 + (point[64] & 1);
        for bytes in [&off_curve[..], &compressed, &point[..64], &[0; 65], &[]] {
            assert_eq!(PublicKey::parse(bytes), Err(KeyError::Point));
        }
        assert_eq!(PublicKey::parse(&point).as_ref(), Ok(key(1).public_key()));
    }

    #[test]
    fn debug_of_a_key_shows_its_id_alone() {
        assert_eq!(
            format!("{:?}", key(1)),
            format!("SigningKey(… of {})", key(1).device_id())
        );
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal"))
            .collect()
    }
}
