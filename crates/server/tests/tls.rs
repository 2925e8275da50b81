//! https and wss from PEM files.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{ask_over, soon};
use peerage_server::testing::{TestServer, config};
use peerage_server::{BindError, Config, Server, TlsFiles};
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Files {
    _folder: tempfile::TempDir,
    tls: TlsFiles,
}

fn files() -> Files {
    let names = ["devices.example", "*.devices.example"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).expect("names are names");
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    Files {
        _folder: folder,
        tls: TlsFiles { cert, key },
    }
}

fn served(tls: TlsFiles) -> Config {
    Config {
        domain: Some("devices.example".into()),
        tls: Some(tls),
        ..config()
    }
}

#[tokio::test]
async fn a_wildcard_certificate_serves_the_domain_and_its_devices() {
    let files = files();
    let server = TestServer::with(served(files.tls.clone())).await.unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(rustls_pki_types::CertificateDer::from_pem_file(&files.tls.cert).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    for host in [
        "devices.example".to_owned(),
        format!("{ID}.devices.example"),
    ] {
        let stream = tokio::net::TcpStream::connect(server.address())
            .await
            .unwrap();
        let name = ServerName::try_from(host.clone()).unwrap();
        let stream = soon("the handshake", connector.connect(name, stream))
            .await
            .unwrap();
        let page = ask_over(stream, "GET", "/", &[("host", &host)]).await;
        assert_eq!(page.status, 200, "{host}");
    }
}

#[tokio::test]
async fn files_that_cannot_serve_tls_are_named() {
    let files = files();
    let missing = TlsFiles {
        cert: PathBuf::from("/nowhere/cert.pem"),
        ..files.tls.clone()
    };
    let swapped = TlsFiles {
        cert: files.tls.key.clone(),
        key: files.tls.cert.clone(),
    };
    for (tls, told) in [(missing, "/nowhere/cert.pem"), (swapped, "key.pem")] {
        let Err(BindError::Tls(error)) = Server::bind(served(tls)).await else {
            panic!("{told} was taken")
        };
        assert!(error.to_string().contains(told), "{error}");
    }
}
