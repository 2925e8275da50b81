//! Targets with certificates of their own: accepted when named, and only then.

use std::{fs, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use peerage_peer::{
    Message,
    http::Received,
    proxy::{NamedCertificates, Proxy, Settings, Target, TargetError},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::{
    target::{ORIGIN, field, get, text},
    websockets::{asked, opened, refused, soon, through},
};

/// A certificate, and the key to it.
struct Own {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// A certificate for these names, signed by `issuer` or by itself.
fn certificate(names: &[&str], issuer: Option<&CertifiedIssuer<'_, KeyPair>>) -> Own {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let pem = certificate.pem();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Own {
        pem,
        der: certificate.der().clone(),
        key,
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(own: Own) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der], own.key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A TLS server that answers every request with `fine`.
async fn tls_app(own: Own) -> SocketAddr {
    let acceptor = acceptor(own);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not trust us says goodbye in the handshake.
            let Ok(mut socket) = acceptor.accept(socket).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";
            socket.write_all(answer).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    address
}

fn named(pem: &str) -> NamedCertificates {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("named.pem");
    fs::write(&path, pem).unwrap();
    NamedCertificates::read(&path).unwrap()
}

async fn status(target: &str, named: NamedCertificates) -> (StatusCode, Option<String>, String) {
    let target = Target::parse(target, named).unwrap();
    let proxy = Proxy::new(target, &Url::parse(ORIGIN).unwrap(), &Settings::default()).unwrap();
    let response = proxy.answer(get("/")).await;
    let error = field(&response, "peerage-error").map(str::to_owned);
    (response.status(), error, text(response).await)
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let own = certificate(&["localhost", "127.0.0.1"], None);
    let other = certificate(&["localhost", "127.0.0.1"], None);
    let address = tls_app(own).await;
    for named in [NamedCertificates::default(), named(&other.pem)] {
        let (status, error, text) = status(&format!("https://{address}"), named).await;
        assert_eq!(
            (status, error.as_deref()),
            (StatusCode::BAD_GATEWAY, Some("unreachable")),
            "{text}"
        );
        assert!(text.contains("--target-cert"), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_that_the_owner_named_is_accepted_whatever_name_stands_in_it() {
    let own = certificate(&["camera.invalid"], None);
    let named = named(&own.pem);
    let address = tls_app(own).await;
    assert_eq!(status(&format!("https://{address}"), named).await.2, "fine");
}

#[tokio::test]
async fn a_certificate_by_an_authority_that_the_owner_named_has_to_bear_the_targets_name() {
    let authority = authority();
    let right = tls_app(certificate(&["127.0.0.1"], Some(&authority))).await;
    let wrong = tls_app(certificate(&["camera.invalid"], Some(&authority))).await;
    let named = || named(&authority.pem());
    assert_eq!(status(&format!("https://{right}"), named()).await.2, "fine");
    assert_eq!(
        status(&format!("https://{wrong}"), named()).await.0,
        StatusCode::BAD_GATEWAY
    );
}

#[tokio::test]
async fn a_websocket_is_opened_over_tls_under_the_same_rules() {
    let (own, other) = (
        certificate(&["camera.invalid"], None),
        certificate(&["x"], None),
    );
    let (right, wrong) = (named(&own.pem), named(&other.pem));
    let acceptor = acceptor(own);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(socket) = acceptor.accept(socket).await else {
                continue;
            };
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    });
    let client = |named| {
        let target = Target::parse(&url, named).unwrap();
        let origin = Url::parse(ORIGIN).unwrap();
        through(Proxy::new(target, &origin, &Settings::default()).unwrap())
    };
    let client_of_right = client(right);
    let mut socket = opened(&client_of_right).await;
    let hello = Message::Text("over TLS".into());
    soon(socket.send(hello.clone())).await.unwrap();
    assert_eq!(soon(socket.recv()).await.unwrap(), Received::Message(hello));
    // The server takes one connection at a time.
    soon(socket.close(None)).await.unwrap();
    let (status, fields, text) = refused(&client(wrong), asked("/", &[])).await;
    assert_eq!(
        (status, &fields["peerage-error"]),
        (502, &"unreachable".parse().unwrap())
    );
    assert!(text.contains("--target-cert"), "{text}");
}

#[test]
fn certificates_are_for_https_targets_and_files_that_hold_some() {
    let own = certificate(&["localhost"], None);
    for target in ["http://localhost", "."] {
        assert!(
            matches!(
                Target::parse(target, named(&own.pem)),
                Err(TargetError::NotTls(_))
            ),
            "{target}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.pem");
    assert!(NamedCertificates::read(&path).is_err(), "no file");
    fs::write(&path, "nothing here").unwrap();
    assert!(NamedCertificates::read(&path).is_err(), "no certificate");
}
