//! How the owner of a key gets the key's id at a server (`docs/protocol/identity.md` section 8).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::key::{PublicKey, SigningKey};
use crate::wire::{
    id::{PeerId, Token},
    statement::{MAX_STATEMENT, Register, Statement, Time},
};

/// How far the clocks of a device and a server may differ.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A proof does not give its bearer the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not `<statement>.<signature>` in URL-safe base64, or no register statement.
    #[error("the proof is malformed")]
    Malformed,
    /// The key belongs to another id.
    #[error("the proof's key belongs to another id")]
    WrongKey,
    /// Made for another id or token than the socket's.
    #[error("the proof is for another id or token")]
    WrongSocket,
    /// Made for another server.
    #[error("the proof is for another server: it names a host that this server does not go by")]
    WrongHost,
    /// Older or newer than [`CLOCK_TOLERANCE`].
    #[error("the proof's time is more than 5 minutes off: check the device's clock")]
    Stale,
    /// The signature is false.
    #[error("the proof's signature is false")]
    Signature,
}

/// Makes the value of the `proof` parameter: the key's own id, for this token, at the server called `host` (no port).
pub fn prove(key: &SigningKey, host: &str, token: &Token, now: Time) -> String {
    let statement = Statement::Register(Register {
        key: *key.public_key().as_bytes(),
        host: host.to_ascii_lowercase(),
        id: key.device_id().into(),
        token: token.clone(),
        time: now,
    })
    .emit();
    let signature = key.sign(&statement);
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(statement),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

/// Checks a `proof` parameter against the socket's id and token. `is_host` says whether this server goes by a name (given in lower case).
///
/// # Errors
/// The proof does not give its bearer this id here and now.
pub fn verify(
    proof: &str,
    id: &PeerId,
    token: &Token,
    is_host: impl FnOnce(&str) -> bool,
    now: Time,
) -> Result<(), ProofError> {
    let (bytes, signature) = decode(proof).ok_or(ProofError::Malformed)?;
    let Ok(Statement::Register(statement)) = Statement::parse(&bytes) else {
        return Err(ProofError::Malformed);
    };
    let key = PublicKey::parse(&statement.key).map_err(|_| ProofError::Malformed)?;
    if statement.id != *id || statement.token != *token {
        return Err(ProofError::WrongSocket);
    }
    if key.device_id().as_peer_id() != id {
        return Err(ProofError::WrongKey);
    }
    if !is_host(&statement.host.to_ascii_lowercase()) {
        return Err(ProofError::WrongHost);
    }
    if now.since(statement.time).max(statement.time.since(now)) > CLOCK_TOLERANCE {
        return Err(ProofError::Stale);
    }
    key.verify(&bytes, &signature)
        .map_err(|_| ProofError::Signature)
}

fn decode(proof: &str) -> Option<(Vec<u8>, [u8; 64])> {
    // Base64 is 4 characters for 3 bytes: longer ones are not worth decoding.
    if proof.len() > MAX_STATEMENT * 3 / 2 {
        return None;
    }
    let (statement, signature) = proof.split_once('.')?;
    Some((
        URL_SAFE_NO_PAD.decode(statement).ok()?,
        URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn key(seed: u64) -> SigningKey {
        SigningKey::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn token(text: &str) -> Token {
        Token::parse(text).expect("short")
    }

    fn check(proof: &str, key: &SigningKey, now: Time) -> Result<(), ProofError> {
        verify(
            proof,
            key.device_id().as_peer_id(),
            &token("t"),
            |host| host == "localhost",
            now,
        )
    }

    #[test]
    fn the_owner_of_a_key_gets_its_id() {
        let key = key(1);
        assert_eq!(
            check(&prove(&key, "Localhost", &token("t"), NOW), &key, NOW),
            Ok(())
        );
    }

    #[test]
    fn a_proof_for_another_id_token_host_or_time_gets_nothing() {
        let (key, other) = (key(1), key(2));
        assert_eq!(
            check(&prove(&other, "localhost", &token("t"), NOW), &key, NOW),
            Err(ProofError::WrongSocket)
        );
        assert_eq!(
            check(&prove(&key, "localhost", &token("u"), NOW), &key, NOW),
            Err(ProofError::WrongSocket)
        );
        assert_eq!(
            check(&prove(&key, "example.org", &token("t"), NOW), &key, NOW),
            Err(ProofError::WrongHost)
        );
        let proof = prove(&key, "localhost", &token("t"), NOW);
        assert_eq!(check(&proof, &key, Time(NOW.0 + 300_000)), Ok(()));
        assert_eq!(
            check(&proof, &key, Time(NOW.0 + 300_001)),
            Err(ProofError::Stale)
        );
        assert_eq!(
            check(&proof, &key, Time(NOW.0 - 300_001)),
            Err(ProofError::Stale)
        );
    }

    #[test]
    fn another_key_cannot_claim_the_id() {
        let (key, thief) = (key(1), key(2));
        let statement = Statement::Register(Register {
            key: *thief.public_key().as_bytes(),
            host: "localhost".into(),
            id: key.device_id().into(),
            token: token("t"),
            time: NOW,
        })
        .emit();
        let proof = |signer: &SigningKey, bytes: &[u8]| {
            format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(bytes),
                URL_SAFE_NO_PAD.encode(signer.sign(bytes))
            )
        };
        assert_eq!(
            check(&proof(&thief, &statement), &key, NOW),
            Err(ProofError::WrongKey)
        );
        let honest = URL_SAFE_NO_PAD
            .decode(
                prove(&key, "localhost", &token("t"), NOW)
                    .split('.')
                    .next()
                    .expect("two parts"),
            )
            .expect("base64");
        assert_eq!(
            check(&proof(&thief, &honest), &key, NOW),
            Err(ProofError::Signature)
        );
    }

    #[test]
    fn garbage_is_malformed() {
        for proof in ["", ".", "a.b", "AAAA.AAAA", &"A".repeat(9000)] {
            assert_eq!(
                check(proof, &key(1), NOW),
                Err(ProofError::Malformed),
                "{proof}"
            );
        }
    }
}
