//! What the owner exposes: one URL or one folder, named once, on the device.

use std::{io, net::ToSocketAddrs, path::PathBuf, time::Duration};

use http::{Uri, uri::Authority};
use peerage_proto::jar::Site;
use url::Url;

use super::tls::NamedCertificates;

/// How long [`Target::probe`] waits for a target to accept a connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a device exposes. Nothing a client sends can change any part of it.
#[derive(Debug, Clone)]
pub enum Target {
    /// A web app reached over HTTP.
    Http(HttpTarget),
    /// A folder of files, read only.
    Folder(PathBuf),
}

/// Scheme, host, port and base path of a web app.
#[derive(Debug, Clone)]
pub struct HttpTarget {
    pub(super) url: Url,
    pub(super) authority: Authority,
    /// Path under which everything lies, without a trailing slash; mostly empty.
    pub(super) base: String,
    pub(super) named: NamedCertificates,
}

/// A text that names no target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Neither a URL nor an existing folder.
    #[error(
        "{0:?} is neither a web address nor a folder on this device: try http://localhost:8080 or ./folder"
    )]
    Unknown(String),
    /// Looks like `HOST:PORT` or a port.
    #[error("{text:?} lacks a scheme: did you mean {suggestion} ?")]
    NoScheme {
        /// What was given.
        text: String,
        /// The URL that was probably meant.
        suggestion: String,
    },
    /// A URL of another scheme.
    #[error("{0:?} cannot be exposed: only http, https and folders can")]
    Scheme(String),
    /// Not a URL at all.
    #[error("{text:?} is no valid address: {source}")]
    Url {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: url::ParseError,
    },
    /// Has a part that a target cannot have.
    #[error("{text:?} has a {part}: leave it out, a target is scheme, host, port and a path")]
    Part {
        /// What was given.
        text: String,
        /// Which part.
        part: &'static str,
    },
    /// A file instead of a folder.
    #[error("{0:?} is a file: expose the folder that holds it")]
    File(PathBuf),
    /// Certificates were named for a target that has none.
    #[error("certificates were named, but {0:?} is not an https address")]
    NotTls(String),
    /// The folder is there and cannot be read.
    #[error("cannot read the folder {path:?}: {source}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Target {
    /// Reads `http://HOST:PORT[/base]`, `https://HOST:PORT[/base]`, or the path of an existing folder.
    ///
    /// `named` are certificates that the owner vouches for, for https targets whose certificate no public authority
    /// signed; empty for the usual rules.
    ///
    /// # Errors
    /// See [`TargetError`]; its texts say what to write instead.
    pub fn parse(text: &str, named: NamedCertificates) -> Result<Self, TargetError> {
        if text.contains("://") {
            let target = HttpTarget::parse(text, named)?;
            return Ok(Self::Http(target));
        }
        if !named.is_empty() {
            return Err(TargetError::NotTls(text.to_owned()));
        }
        // Absolute, so that whoever reads it later knows which folder is meant.
        let path = std::path::absolute(text).unwrap_or_else(|_| PathBuf::from(text));
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => match std::fs::read_dir(&path) {
                Ok(_) => Ok(Self::Folder(path)),
                Err(source) => Err(TargetError::Unreadable { path, source }),
            },
            Ok(_) => Err(TargetError::File(path)),
            Err(_) => Err(guess(text)),
        }
    }

    /// Whether the target answers at the moment: an HTTP target accepts a connection within 2 s. Blocks.
    ///
    /// # Errors
    /// Why it does not. A target that is down now may come up later: this is for a warning, not a verdict.
    pub fn probe(&self) -> io::Result<()> {
        match self {
            Self::Folder(path) => std::fs::read_dir(path).map(drop),
            Self::Http(target) => target.probe(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(target) => f.write_str(target.url.as_str().trim_end_matches('/')),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

impl HttpTarget {
    fn parse(text: &str, named: NamedCertificates) -> Result<Self, TargetError> {
        let url = Url::parse(text).map_err(|source| TargetError::Url {
            text: text.to_owned(),
            source,
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme(text.to_owned()));
        }
        if url.scheme() == "http" && !named.is_empty() {
            return Err(TargetError::NotTls(text.to_owned()));
        }
        let part = |part| {
            Err(TargetError::Part {
                text: text.to_owned(),
                part,
            })
        };
        if !url.username().is_empty() || url.password().is_some() {
            return part("user name");
        }
        if url.query().is_some() {
            return part("query");
        }
        if url.fragment().is_some() {
            return part("fragment");
        }
        let Ok(authority) = url.authority().parse::<Authority>() else {
            return part("host that HTTP cannot carry");
        };
        let base = url.path().trim_end_matches('/').to_owned();
        if base.parse::<http::uri::PathAndQuery>().is_err() && !base.is_empty() {
            return part("path that HTTP cannot carry");
        }
        Ok(Self {
            url,
            authority,
            base,
            named,
        })
    }

    /// The URI of a path of the device's origin at the target. The path is origin-form and was found not to climb.
    pub(super) fn uri(&self, path_and_query: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.url.scheme())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path_and_query}", self.base))
            .build()
    }

    /// `scheme://host[:port]` as browsers write it in `Origin`.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whose cookies are kept, and what they may name: this host, and the device's own.
    pub(super) fn cookie_site(&self, device: &Url) -> Site {
        let hosts = [&self.url, device].into_iter().filter_map(Url::host_str);
        Site::new(self.url.as_str(), hosts, &self.base)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    fn probe(&self) -> io::Result<()> {
        let host = self
            .url
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or_default();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in (host, port).to_socket_addrs()? {
            match std::net::TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Turns `8080` and `localhost:8080` into the address that was probably meant.
fn guess(text: &str) -> TargetError {
    let as_authority = match text.parse::<u16>() {
        Ok(port) => format!("localhost:{port}"),
        Err(_) => text.to_owned(),
    };
    let port = as_authority.rsplit_once(':').and_then(|(_, rest)| {
        let digits = rest.split('/').next().unwrap_or_default();
        digits.parse::<u16>().ok()
    });
    if port.is_some() {
        let suggestion = format!("http://{as_authority}");
        return TargetError::NoScheme {
            text: text.to_owned(),
            suggestion,
        };
    }
    TargetError::Unknown(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Target, TargetError> {
        Target::parse(text, NamedCertificates::default())
    }

    fn http(text: &str) -> HttpTarget {
        match parse(text) {
            Ok(Target::Http(target)) => target,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_address_is_scheme_host_port_and_base() {
        let target = http("http://Example.COM:8080/app/");
        assert_eq!(target.origin(), "http://example.com:8080");
        assert_eq!(target.base, "/app");
        let uri = target.uri("/x?y=1").expect("a uri");
        assert_eq!(uri.to_string(), "http://example.com:8080/app/x?y=1");
    }

    #[test]
    fn a_path_can_never_become_the_host() {
        let target = http("http://127.0.0.1:80");
        for path in [
            "//evil.example/x",
            "/@evil.example/",
            "/http://evil.example/",
            "/:81/",
        ] {
            let uri = target.uri(path).expect("a uri");
            assert_eq!(
                uri.authority().map(Authority::as_str),
                Some("127.0.0.1"),
                "{path}"
            );
            assert_eq!(uri.path(), path);
        }
        assert_ne!(
            target
                .uri("@evil.example")
                .ok()
                .and_then(|u| u.host().map(str::to_owned))
                .as_deref(),
            Some("evil.example")
        );
    }

    #[test]
    fn what_is_no_target_gets_a_suggestion() {
        let message = |text: &str| parse(text).expect_err(text).to_string();
        assert!(message("8080").contains("http://localhost:8080"));
        assert!(message("localhost:8080").contains("http://localhost:8080"));
        assert!(message("192.168.1.4:80/x").contains("http://192.168.1.4:80/x"));
        assert!(message("ftp://x/").contains("only http, https and folders"));
        assert!(message("http://user:secret@x/").contains("user name"));
        assert!(message("http://x/?q").contains("query"));
        assert!(message("./no/such/folder").contains("neither"));
    }

    #[test]
    fn a_folder_is_a_target_and_a_file_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        std::fs::write(&file, "x").expect("a file");
        assert!(matches!(
            parse(&dir.path().display().to_string()),
            Ok(Target::Folder(_))
        ));
        assert!(matches!(
            parse(&file.display().to_string()),
            Err(TargetError::File(_))
        ));
    }
}
