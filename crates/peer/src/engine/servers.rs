//! The STUN and TURN servers that an engine may use, in the order in which they are tried.

use peerage_proto::turn::credentials::Credentials;
use peerage_proto::wire::ice_servers::IceServer;
use peerage_proto::wire::ice_url::{Host, IceUrl, Service, Transport};

/// STUN servers that one port asks at a time, and TURN servers that it asks by each way of reaching them.
const MAX_EACH: usize = 2;

/// What an owner's or a signalling server's list comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Servers {
    /// Who is asked for our own address: STUN servers, and TURN servers where there are none.
    pub(super) mappers: Vec<(Host, u16)>,
    /// Who is asked for relays: over UDP first, then TCP, then TLS.
    pub(super) relays: Vec<Relay>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relay {
    pub(super) url: IceUrl,
    pub(super) credentials: Credentials,
}

impl Servers {
    /// TURN servers without credentials are left out, and what is not spoken here: DTLS, and STUN over anything but UDP.
    pub(super) fn new(list: &[IceServer]) -> Self {
        let urls = || {
            list.iter().flat_map(|server| {
                let credentials = server.credentials.as_ref();
                server.urls.iter().map(move |url| (url, credentials))
            })
        };
        let place = |url: &IceUrl| (url.host.clone(), url.port);
        let mut mappers = Vec::new();
        for service in [Service::Stun, Service::Turn] {
            for (url, _) in urls() {
                let is_new = url.service == service
                    && url.transport == Transport::Udp
                    && !mappers.contains(&place(url));
                if is_new && mappers.len() < MAX_EACH {
                    mappers.push(place(url));
                }
            }
            if !mappers.is_empty() {
                break;
            }
        }
        let mut relays = Vec::new();
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let fitting = urls()
                .filter(|(url, _)| url.service == Service::Turn && url.transport == transport)
                .filter_map(|(url, credentials)| {
                    Some(Relay {
                        url: url.clone(),
                        credentials: credentials?.clone(),
                    })
                });
            relays.extend(fitting.take(MAX_EACH));
        }
        Self { mappers, relays }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mappers.is_empty() && self.relays.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(urls: &[&str], with_credentials: bool) -> IceServer {
        IceServer {
            urls: urls.iter().map(|url| url.parse().expect(url)).collect(),
            credentials: with_credentials.then(|| Credentials {
                username: "u".into(),
                password: "p".into(),
            }),
        }
    }

    #[test]
    fn udp_goes_before_tcp_and_tcp_before_tls_whatever_the_list_says() {
        let servers = Servers::new(&[
            server(
                &[
                    "turns:a",
                    "turn:a?transport=tcp",
                    "turn:a",
                    "turns:a?transport=udp",
                ],
                true,
            ),
            server(&["turn:free", "stun:b", "stuns:b", "stun:b"], false),
        ]);
        let order: Vec<_> = servers
            .relays
            .iter()
            .map(|relay| relay.url.transport)
            .collect();
        assert_eq!(order, [Transport::Udp, Transport::Tcp, Transport::Tls]);
        assert_eq!(servers.mappers, [(Host::Name("b".into()), 3478)]);
    }

    #[test]
    fn a_turn_server_tells_our_address_where_no_stun_server_does() {
        let servers = Servers::new(&[server(&["turns:a", "turn:a"], true)]);
        assert_eq!(servers.mappers, [(Host::Name("a".into()), 3478)]);
        let long: Vec<_> = (0..9).map(|n| format!("stun:s{n}.example")).collect();
        let long: Vec<_> = long.iter().map(String::as_str).collect();
        assert_eq!(
            Servers::new(&[server(&long, false)]).mappers.len(),
            MAX_EACH
        );
    }
}
