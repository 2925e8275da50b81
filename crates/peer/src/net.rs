//! Names, addresses and TLS towards servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use peerage_proto::wire::ice_url;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

/// For one address to take the connection; a server has a few. For a name to be looked up as well.
const CONNECT: Duration = Duration::from_secs(4);
/// For the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(8);
/// Addresses that are tried.
const MAX_ADDRESSES: usize = 4;

/// Whom TLS trusts: the system's roots, and what the owner added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    pub(crate) extra: Vec<CertificateDer<'static>>,
}

/// A connection to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection to a server.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The URL has no host, or no port that is known.
    Url,
    Unreachable(io::Error),
    Tls(io::Error),
}

/// Connects to the host of an `http` or `https` URL.
pub(crate) async fn dial(server: &Url, roots: &Roots) -> Result<Box<dyn Stream>, DialError> {
    let host = server.host().ok_or(DialError::Url)?;
    let port = server.port_or_known_default().ok_or(DialError::Url)?;
    let stream = connect(&host, port).await.map_err(DialError::Unreachable)?;
    if server.scheme() == "http" {
        return Ok(Box::new(stream));
    }
    match secure(stream, &host, roots).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(DialError::Tls(error)),
    }
}

/// A request for a URL, to be [exchanged](exchange) with its server.
pub(crate) fn request(url: &Url) -> http::request::Builder {
    Request::builder()
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(
            header::HOST,
            &url[Position::BeforeHost..Position::AfterPort],
        )
}

/// One request and its answer, whose body has at most `limit` octets.
///
/// # Errors
/// Words about what broke off.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Bytes>,
    limit: usize,
) -> Result<Response<Bytes>, String> {
    let lost = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(lost)?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request.map(Full::new)).await;
    let (head, body) = answer.map_err(lost)?.into_parts();
    let body = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// Connects to the first address of a host that answers, with small packets sent at once: frames are small and each is waited for.
pub(crate) async fn connect(host: &Host<&str>, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(host, port).await? {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            // What another address said tells more.
            Ok(Err(error)) if is_no_family(&error) && last.kind() != io::ErrorKind::NotFound => {}
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Makes a connection secure. The host must have the certificate, by name or address.
pub(crate) async fn secure(
    stream: TcpStream,
    host: &Host<&str>,
    roots: &Roots,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(io::Error::other)?,
        Host::Ipv4(ip) => IpAddr::from(*ip).into(),
        Host::Ipv6(ip) => IpAddr::from(*ip).into(),
    };
    let config = client_config(roots).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no answer to the handshake",
        )),
    }
}

/// The addresses of a host; a name's by the system's resolver.
pub(crate) async fn addresses(host: &Host<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    Ok(match host {
        Host::Ipv4(ip) => vec![(*ip, port).into()],
        Host::Ipv6(ip) => vec![(*ip, port).into()],
        // RFC 6761 6.3: never asked of a resolver, which may not know the names below `localhost`.
        Host::Domain(name) if is_localhost(name) => {
            loopback.iter().map(|ip| (*ip, port).into()).collect()
        }
        Host::Domain(name) => {
            match timeout(CONNECT, tokio::net::lookup_host((*name, port))).await {
                Ok(found) => found?.take(MAX_ADDRESSES).collect(),
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the name's lookup took too long",
                    ));
                }
            }
        }
    })
}

/// Whether there is no way from this machine to that family of addresses at all.
pub(crate) fn is_no_family(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, NetworkUnreachable, Unsupported};
    matches!(
        error.kind(),
        AddrNotAvailable | NetworkUnreachable | Unsupported
    )
}

/// The host of a STUN or TURN server's URL.
pub(crate) fn host(host: &ice_url::Host) -> Host<&str> {
    match host {
        ice_url::Host::Name(name) => Host::Domain(name),
        ice_url::Host::Ip(IpAddr::V4(ip)) => Host::Ipv4(*ip),
        ice_url::Host::Ip(IpAddr::V6(ip)) => Host::Ipv6(*ip),
    }
}

/// Whether the host of a URL is this machine, for sure.
pub(crate) fn is_this_machine(server: &Url) -> bool {
    match server.host() {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn client_config(roots: &Roots) -> Result<ClientConfig, rustls::Error> {
    let mut store = RootCertStore::empty();
    // Broken ones among the system's are left out: the others still serve.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in &roots.extra {
        store.add(certificate.clone())?;
    }
    Ok(
        ClientConfig::builder_with_provider(
            Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        )
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_below_localhost_are_this_machine_without_a_resolver() {
        for name in ["localhost", "abc.localhost", "A.LocalHost."] {
            let found = addresses(&Host::Domain(name), 9000)
                .await
                .expect("no lookup");
            assert!(
                found.iter().all(|address| address.ip().is_loopback()),
                "{name}"
            );
        }
        assert!(!is_localhost("notlocalhost") && !is_localhost("localhost.example"));
    }
}
