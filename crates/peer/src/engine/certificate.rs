//! The engine's DTLS certificate: self-signed, short-lived, vouched for by the identity key and never the identity itself.

use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use str0m::config::DtlsCert;

use super::EngineError;

/// New connections get a new certificate after this long; old ones keep theirs.
const RENEW_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Above any connection's life, below anything that could pass for an identity.
const VALID: Duration = Duration::from_secs(7 * 24 * 3600);
/// Valid since yesterday: the peer's clock may be behind.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(super) struct Certificate {
    current: DtlsCert,
    made: Instant,
}

impl Certificate {
    pub(super) fn new(now: Instant) -> Result<Self, EngineError> {
        Ok(Self {
            current: generate()?,
            made: now,
        })
    }

    /// The certificate for a new connection.
    pub(super) fn current(&mut self, now: Instant) -> DtlsCert {
        if now.saturating_duration_since(self.made) >= RENEW_AFTER {
            match generate() {
                Ok(certificate) => {
                    *self = Self {
                        current: certificate,
                        made: now,
                    }
                }
                Err(error) => tracing::warn!(%error, "keeping the old certificate"),
            }
        }
        self.current.clone()
    }
}

fn generate() -> Result<DtlsCert, EngineError> {
    let failed = |error: rcgen::Error| EngineError::Certificate(error.to_string());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    // What browsers write: tells an observer of the handshake nothing.
    name.push(DnType::CommonName, "WebRTC");
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALID).into();
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(DtlsCert {
        certificate: certificate.der().to_vec(),
        private_key: key.serialize_der(),
    })
}
