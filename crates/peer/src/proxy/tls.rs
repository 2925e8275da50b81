//! Trust in an https target: the public authorities, and what the owner named.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem, pem::PemObject};

/// Certificates that the owner vouches for by name, instead of a public authority.
///
/// A target that shows exactly one of these is accepted whatever name and dates stand in it: home routers and cameras
/// rarely get those right, and the owner named this very certificate. One that is signed by one of these is held to the
/// usual rules (name, dates, key usage).
#[derive(Debug, Clone, Default)]
pub struct NamedCertificates(Arc<Vec<CertificateDer<'static>>>);

/// A file that names no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not readable, or not PEM.
    #[error("cannot read certificates: {0}")]
    Pem(#[from] pem::Error),
    /// PEM, but without a certificate in it.
    #[error(
        "there is no certificate in the file: it needs a part that begins with -----BEGIN CERTIFICATE-----"
    )]
    None,
}

impl NamedCertificates {
    /// Reads all certificates of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read, is no PEM, or holds no certificate.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let all = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(CertificateError::None);
        }
        Ok(Self(Arc::new(all)))
    }

    /// Whether nothing was named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client side of TLS for a target.
    pub(super) fn client_config(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier::new(self.clone(), provider.clone()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // the verifier below is the usual one, with one exception the owner spelled out
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(config)
    }
}

#[derive(Debug)]
struct Verifier {
    named: NamedCertificates,
    /// `None` on a system without any root certificate: then only what was named is accepted.
    usual: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(named: NamedCertificates, provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(named.0.iter().cloned());
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .ok();
        Self {
            named,
            usual,
            provider,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Possession of the key is proven by the handshake signature, checked below for this certificate too.
        if self.named.0.iter().any(|named| named == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let usual = self.usual.as_ref().ok_or(unknown)?;
        usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
