//! Where links lead: the server's name, as it stands in them.

use peerage_proto::wire::{
    id::{DeviceId, Secret},
    link_url::Link,
};
use url::Url;

use crate::exit::{Exit, Failure};

/// Where a device's web origin is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) secure: bool,
    pub(crate) domain: String,
    pub(crate) port: Option<u16>,
}

impl Place {
    /// For devices that are reached by this server.
    pub(crate) fn of(server: &Url) -> Result<Self, Failure> {
        let usage = |text: String| Err(Failure::new(Exit::Usage, text));
        let secure = match server.scheme() {
            "https" => true,
            "http" => false,
            other => {
                return usage(format!(
                    "a server's address begins with https:// or http://, not {other}://"
                ));
            }
        };
        let here = "localhost".to_owned();
        let domain = match server.host() {
            Some(url::Host::Domain(domain)) => domain.trim_end_matches('.').to_owned(),
            Some(url::Host::Ipv4(ip)) if ip.is_loopback() => here,
            Some(url::Host::Ipv6(ip)) if ip.is_loopback() => here,
            _ => {
                return usage(format!(
                    "the address of a server is a name, not an IP address: {server} cannot have a name for each \
                     device in front of it"
                ));
            }
        };
        let local = domain == "localhost" || domain.ends_with(".localhost");
        if !secure && !local {
            return usage(format!(
                "browsers run a device's page on https alone, so links need a server with a certificate: try \
                 https://{domain}"
            ));
        }
        Ok(Self {
            secure,
            domain,
            port: server.port(),
        })
    }

    /// A link to a device here.
    pub(crate) fn link(self, device: DeviceId, secret: Option<Secret>) -> Link {
        Link {
            secure: self.secure,
            device,
            domain: self.domain,
            port: self.port,
            secret,
            path: "/".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(server: &str) -> Result<Place, Failure> {
        Place::of(&Url::parse(server).expect("a URL"))
    }

    #[test]
    fn links_are_made_where_browsers_can_open_them() {
        let is = |server, secure, domain: &str, port| {
            let wanted = Place {
                secure,
                domain: domain.to_owned(),
                port,
            };
            assert_eq!(place(server).expect(server), wanted);
        };
        is("https://example.org", true, "example.org", None);
        is(
            "https://example.org:8443/x/",
            true,
            "example.org",
            Some(8443),
        );
        is("http://localhost:9000", false, "localhost", Some(9000));
        is("http://127.0.0.1:9000", false, "localhost", Some(9000));
        is("http://[::1]:9000", false, "localhost", Some(9000));
        for wrong in [
            "http://example.org",
            "https://192.0.2.1",
            "http://192.168.1.2:9000",
            "ftp://example.org",
        ] {
            assert_eq!(place(wrong).expect_err(wrong).exit, Exit::Usage);
        }
    }
}
