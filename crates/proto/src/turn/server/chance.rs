//! What cannot be guessed, out of one seed: nonces that nobody has to remember, ports, tokens.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha1::Sha1;
use subtle::ConstantTimeEq;

use crate::wire::statement::Time;

/// How long a nonce is good. RFC 8656 section 5 wants at most an hour.
pub(super) const NONCE_LIFETIME: Duration = Duration::from_secs(60 * 60);

pub(super) struct Chance {
    seed: [u8; 32],
    drawn: u64,
}

impl Chance {
    pub(super) fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        Self { seed, drawn: 0 }
    }

    /// The next number.
    pub(super) fn draw(&mut self) -> u64 {
        self.drawn += 1;
        u64::from_be_bytes(self.digest(b"draw", &self.drawn.to_be_bytes(), &[]))
    }

    /// A nonce for who asks from this address: the time, and a MAC over both. 16 characters.
    pub(super) fn nonce(&self, ip: IpAddr, time: Time) -> String {
        let seconds = ((time.0 / 1000) as u32).to_be_bytes();
        let mut octets = [0; 12];
        octets[..4].copy_from_slice(&seconds);
        octets[4..].copy_from_slice(&self.mac(ip, seconds));
        STANDARD_NO_PAD.encode(octets)
    }

    /// Whether it is ours, was for this address, and is not too old.
    pub(super) fn is_fresh(&self, nonce: &[u8], ip: IpAddr, time: Time) -> bool {
        let mut octets = [0; 12];
        // A decoder wants room for what it cannot know to be too long.
        if nonce.len() != 16 || STANDARD_NO_PAD.decode_slice(nonce, &mut octets) != Ok(12) {
            return false;
        }
        let [a, b, c, d, mac @ ..] = octets;
        let seconds = [a, b, c, d];
        let made = Time(u64::from(u32::from_be_bytes(seconds)) * 1000);
        bool::from(self.mac(ip, seconds).ct_eq(&mac)) && time.since(made) < NONCE_LIFETIME
    }

    fn mac(&self, ip: IpAddr, seconds: [u8; 4]) -> [u8; 8] {
        match ip {
            IpAddr::V4(ip) => self.digest(b"nonce", &ip.octets(), &seconds),
            IpAddr::V6(ip) => self.digest(b"nonce", &ip.octets(), &seconds),
        }
    }

    fn digest(&self, purpose: &[u8], a: &[u8], b: &[u8]) -> [u8; 8] {
        let mut mac =
            Hmac::<Sha1>::new_from_slice(&self.seed).expect("an HMAC takes keys of any length");
        for part in [purpose, a, b] {
            mac.update(part);
        }
        let mut digest = [0; 8];
        digest.copy_from_slice(&mac.finalize().into_bytes()[..8]);
        digest
    }
}
