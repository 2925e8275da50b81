//! What a client says to be let in, and how it shows that a key-shaped id is its own.

use std::fmt;
use std::time::Duration;

use rand_core::Rng;

use crate::identity::registration::verify;
use crate::wire::id::{PeerId, Token};
use crate::wire::statement::Time;

/// What the URL of a new socket said, and what the shell knows of it. Texts that were not there are empty.
#[derive(Clone, Copy)]
pub struct Hello<'a> {
    /// Which service; a name, not a secret.
    pub key: &'a str,
    /// The id asked for. 1 to 512 octets.
    pub id: &'a str,
    /// What proves a later socket of the same client. 1 to 512 octets.
    pub token: &'a str,
    /// For a key-shaped id: `<base64url(register statement)>.<base64url(signature)>`.
    pub proof: &'a str,
    /// For how long the id is to stay this client's when its socket breaks off without a close frame, within [`Config::hold_at_most`]. Stock clients do not
    /// ask: zero.
    ///
    /// [`Config::hold_at_most`]: super::Config::hold_at_most
    pub hold: Duration,
    /// Whether others may be told when this id comes and goes.
    pub visible: bool,
    /// The names by which this server may be meant in a proof: its domain, `localhost`, the address the socket arrived at, without port. What the
    /// request says of itself (`Host`) must not be among them: it is no evidence.
    pub hosts: &'a [&'a str],
    /// Wall time, which proofs name.
    pub at: Time,
}

/// Without token and proof, either of which lets the reader take the id over.
impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("id", &self.id)
            .field("hosts", &self.hosts)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Whether the client owns the key whose hash its id is.
pub(super) fn owns(hello: &Hello<'_>, id: &PeerId, token: &Token) -> bool {
    let is_host = |name: &str| {
        hello
            .hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(name))
    };
    verify(hello.proof, id, token, is_host, hello.at).is_ok()
}

/// A new id: UUID version 4 (RFC 9562 section 5.4). The generator must not be predictable.
pub fn fresh_id(rng: &mut impl Rng) -> String {
    let mut octets = [0; 16];
    rng.fill_bytes(&mut octets);
    let bits = u128::from_be_bytes(octets) & !(0xf000 << 64) & !(0xc000 << 48)
        | (0x4000 << 64)
        | (0x8000 << 48);
    let [time_low, time_mid, time_high, clock, node] = [
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff,
    ];
    format!("{time_low:08x}-{time_mid:04x}-{time_high:04x}-{clock:04x}-{node:012x}")
}
