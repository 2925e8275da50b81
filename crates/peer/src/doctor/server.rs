//! The way to the signalling server, one layer at a time.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use headers::{Date, HeaderMapExt as _};
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError, InvalidMessage, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Position, Url};

use super::finding::{ClockDifference, Finding, TlsProblem, plain};
use crate::net::{self, Roots, Stream};

/// For one address to take a connection.
const CONNECT: Duration = Duration::from_secs(4);

/// Looks the server's name up.
pub(super) async fn resolve(host: &Host<&str>, port: u16) -> (Finding, Vec<SocketAddr>) {
    match net::addresses(host, port).await {
        Ok(addresses) if addresses.is_empty() => (
            Finding::NotResolved("the name has no address".into()),
            addresses,
        ),
        Ok(addresses) => {
            let ips = addresses.iter().map(SocketAddr::ip).collect();
            (Finding::Resolved(ips), addresses)
        }
        Err(error) => (Finding::NotResolved(error.to_string()), Vec::new()),
    }
}

/// Connects to all addresses, and goes on with the first that answers, in their order.
pub(super) async fn connect(addresses: &[SocketAddr]) -> (Finding, Option<TcpStream>) {
    let attempts = addresses.iter().map(|address| async move {
        let begun = Instant::now();
        let made = timeout(CONNECT, TcpStream::connect(address)).await;
        let made = made.unwrap_or_else(|_| Err(silence()));
        (*address, made, begun.elapsed())
    });
    let mut taken = None;
    let mut each = Vec::new();
    for (address, made, took) in join_all(attempts).await {
        match made {
            Ok(stream) => {
                taken.get_or_insert(stream);
                each.push((address, Ok(took)));
            }
            Err(error) => each.push((address, Err(error))),
        }
    }
    (Finding::Reached(each), taken)
}

/// Makes the connection secure.
pub(super) async fn secure(
    stream: TcpStream,
    host: &Host<&str>,
    roots: &Roots,
) -> (Finding, Option<Box<dyn Stream>>) {
    match net::secure(stream, host, roots).await {
        Ok(stream) => {
            let version = match stream.get_ref().1.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            (Finding::Secured(version), Some(Box::new(stream)))
        }
        Err(error) => {
            let (problem, words) = tls_problem(&error);
            (Finding::NotSecured(problem, words), None)
        }
    }
}

/// Why a TLS handshake failed.
pub(super) fn tls_problem(error: &io::Error) -> (TlsProblem, String) {
    use rustls::Error as Tls;
    let problem = match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>())
    {
        Some(Tls::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                TlsProblem::UnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsProblem::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsProblem::OutOfDate,
            _ => TlsProblem::Other,
        },
        // What plain HTTP answers is no TLS record.
        Some(Tls::InvalidMessage(InvalidMessage::InvalidContentType)) => TlsProblem::NoTls,
        Some(Tls::AlertReceived(AlertDescription::UnrecognisedName)) => TlsProblem::WrongName,
        _ if error.kind() == io::ErrorKind::TimedOut => TlsProblem::Silent,
        _ => TlsProblem::Other,
    };
    let words = match problem {
        TlsProblem::NoTls => "what answers there does not speak TLS".to_owned(),
        _ => plain(error),
    };
    (problem, words)
}

/// Asks the server's first page, for the time in its head.
pub(super) async fn clock(stream: Box<dyn Stream>, server: &Url) -> Finding {
    let before = SystemTime::now();
    let head = match head(stream, server).await {
        Ok(head) => head,
        Err(error) => return Finding::NoHttp(format!("no answer to HTTP: {error}")),
    };
    let after = SystemTime::now();
    match head.typed_get::<Date>() {
        Some(date) => Finding::Clock(difference(date.into(), before, after)),
        None => Finding::NoTime,
    }
}

async fn head(stream: Box<dyn Stream>, server: &Url) -> Result<http::HeaderMap, hyper::Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with this function.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    let (path, host) = (
        &server[Position::BeforePath..Position::AfterPath],
        &server[Position::BeforeHost..Position::AfterPort],
    );
    // A URL's parts have the form that HTTP wants.
    if let (Ok(uri), Ok(host)) = (path.parse(), host.parse()) {
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(sender.send_request(request).await?.headers().clone())
}

/// The time in a head is one between question and answer, cut to the second. What that leaves open is no difference.
fn difference(theirs: SystemTime, before: SystemTime, after: SystemTime) -> ClockDifference {
    let none = ClockDifference {
        by: Duration::ZERO,
        ahead: false,
    };
    if let Ok(by) = theirs.duration_since(after) {
        return ClockDifference { by, ahead: false };
    }
    match before.duration_since(theirs + Duration::from_secs(1)) {
        Ok(by) => ClockDifference { by, ahead: true },
        Err(_) => none,
    }
}

/// Nothing came in time.
pub(super) fn silence() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_http_does_not_tell_is_no_difference() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let said = |theirs, before, after| difference(at(theirs), at(before), at(after));
        // Asked at 10.2 s, answered at 10.9 s by a clock that is right.
        assert_eq!(said(10_000, 10_200, 10_900).by, Duration::ZERO);
        assert_eq!(said(10_000, 9_800, 10_100).by, Duration::ZERO);
        let ahead = said(10_000, 13_500, 13_600);
        assert_eq!((ahead.by.as_millis(), ahead.ahead), (2_500, true));
        let behind = said(20_000, 13_500, 13_600);
        assert_eq!((behind.by.as_millis(), behind.ahead), (6_400, false));
    }
}
