//! The operating system's randomness, for the cores that take it as an argument.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// Draws from the operating system.
///
/// A system that cannot give random octets has no way to go on: keys and nonces made without would betray their owner. So this panics there.
pub(crate) fn os() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// A random name of 26 characters a-z and 2-7: 130 bits, and valid as a PeerJS id everywhere.
pub(crate) fn name() -> String {
    use rand_core::Rng;
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut octets = [0; 26];
    os().fill_bytes(&mut octets);
    octets
        .iter()
        .map(|octet| char::from(ALPHABET[usize::from(octet % 32)]))
        .collect()
}

/// 16 random octets.
pub(crate) fn token() -> [u8; 16] {
    use rand_core::Rng;
    let mut octets = [0; 16];
    os().fill_bytes(&mut octets);
    octets
}

/// A random share of `span`, for jitter.
pub(crate) fn share(span: std::time::Duration) -> std::time::Duration {
    use rand_core::Rng;
    span.mul_f64(f64::from(os().next_u32()) / f64::from(u32::MAX))
}
