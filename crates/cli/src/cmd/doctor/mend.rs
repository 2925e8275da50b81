//! What to do about what was found.

use std::io;

use peerage_peer::{
    ConnectError, OpenError, SignallingError,
    doctor::{Finding, Nat, NoWay, Probe, Status, Step, TlsProblem},
};
use peerage_proto::turn::client::Error as TurnError;
use url::Url;

use crate::call::{self, Callee};

/// What the person asked about.
pub(super) struct Case {
    pub(super) server: Url,
    /// Whether there was a link, with its secret.
    pub(super) with_secret: bool,
}

impl Case {
    /// The sentence that mends a step; `taken` are all steps so far.
    pub(super) fn mend(&self, step: &Step, taken: &[Step]) -> Option<String> {
        if step.finding.status() < Status::Warning {
            return None;
        }
        let port = self.server.port_or_known_default().unwrap_or_default();
        let told = |text: &str| Some(text.to_owned());
        match &step.finding {
            Finding::NotResolved(_) if step.probe == Probe::Name => told(
                "is the name spelt rightly? If other names are found from here, the server's own is not in the DNS",
            ),
            Finding::NotResolved(_) => {
                told("whoever named this server has its name wrong, or it is not in the DNS")
            }
            Finding::Reached(each) => {
                let silent = |outcome: &io::Result<_>| matches!(outcome, Err(error) if error.kind() == io::ErrorKind::TimedOut);
                Some(if step.finding.status() == Status::Warning {
                    "who tries such an address first waits in vain: take it out of the DNS, or have the server listen \
                     there too (`peerage serve --host ::` listens at all)"
                        .to_owned()
                } else if each.iter().any(|(_, outcome)| silent(outcome)) {
                    format!(
                        "a firewall on the way drops TCP to port {port}, or the machine is down: open the port there; \
                         `peerage ports` lists all that a server needs"
                    )
                } else {
                    format!(
                        "is the server running, and does it listen at port {port}? `peerage serve` is open to its own \
                         machine alone unless --host says otherwise"
                    )
                })
            }
            Finding::NotSecured(problem, _) => Some(self.tls(*problem)),
            Finding::Clock(_) => told(
                "set the clock that is wrong, here or at the server (on Linux: `timedatectl set-ntp true`): with more than \
                 5 minutes in between, what is signed here is taken for a replay there",
            ),
            Finding::NoTime => told(
                "compare this machine's clock with the server's by hand: they may be 5 minutes apart",
            ),
            Finding::NoHttp(_) => told(
                "what listens at this port is no web server: is the address right, and is it http or https?",
            ),
            Finding::NotRegistered(error) => self.server(error),
            Finding::NoPeer(OpenError::Signalling(error)) => self.server(error),
            Finding::NoPeer(_) => {
                told("another program has all UDP ports of this machine, or its rules forbid them")
            }
            Finding::NoIceServers(_) => told(
                "run `peerage serve` without --no-turn, and look at what it prints as STUN/TURN; or name servers of others \
                 with --ice-server. Without any, peers in different networks do not find each other",
            ),
            Finding::IceServersUnknown(_) => told(
                "a stock PeerJS server tells of no STUN and TURN servers: name some with --ice-server, or run `peerage \
                 serve` in its place. Without any, peers in different networks do not find each other",
            ),
            Finding::NoIceAnswer(_) => {
                told("try again in a minute: a server answers one address only so often")
            }
            Finding::NotListening { other_family: true } => told(
                "the server answers over one family of addresses only: have it listen at both, or take the other address out \
                 of the DNS",
            ),
            Finding::NotListening { .. } => {
                let port = port_of(&step.subject);
                Some(format!(
                    "is the server running, and is UDP {port} its port? A `peerage serve` prints where its STUN/TURN is"
                ))
            }
            Finding::NotMapped { .. } | Finding::NotSent { .. } => Some(unmapped(step, taken)),
            Finding::Nat(Nat::Symmetric(..)) => told(
                "nothing to do as long as a relay works: from behind such a NAT only peers without one are reached directly",
            ),
            Finding::NoWay(way) => Some(self.no_way(way, step, taken)),
            Finding::NotAllocated(error) => Some(not_allocated(error, step, taken)),
            Finding::PeerRefused { relay, .. } if relay.ip().is_loopback() => told(
                "relays on loopback are no peers unless the server allows it: to try a relay out on one machine, `peerage \
                 serve --turn-allow-peer 127.0.0.0/8 --turn-allow-peer ::1`",
            ),
            Finding::PeerRefused { .. } => told(
                "let the TURN server relay to its own address (`peerage serve --turn-allow-peer`, coturn's \
                 `allowed-peer-ip`): peers that are both relayed by it meet there",
            ),
            Finding::NotRelayed(_) => told(
                "open the server's UDP ports for relays (`peerage ports` lists them); behind a NAT of its own it also needs \
                 --turn-external-address",
            ),
            Finding::NotConnected(error) if step.probe == Probe::Device => self.call(error),
            Finding::NotConnected(ConnectError::NoRoute(_)) if step.probe == Probe::Channel => {
                told(
                    "a firewall on this machine drops UDP even between its own programs: let peerage send and receive UDP",
                )
            }
            Finding::NotConnected(ConnectError::NoRoute(_)) => told(
                "the relay carries octets, but not a connection: does something on the way change what passes through?",
            ),
            Finding::NotConnected(ConnectError::Signalling(error)) => self.server(error),
            Finding::NotConnected(_) => told(
                "the server lets peers in but does not carry what they say to each other: try again, then restart it",
            ),
            Finding::NotEchoed => {
                told("try again; if it stays so, something on the way drops larger packets")
            }
            Finding::Late(_) => told("try again: the server, or this machine, is very slow"),
            _ => None,
        }
    }

    fn tls(&self, problem: TlsProblem) -> String {
        let host = self.server.host_str().unwrap_or_default();
        match problem {
            TlsProblem::UnknownAuthority => {
                "if its certificate is by an authority of your own, name that with --server-ca FILE; if not, the server \
                 leaves out a part of its chain, or somebody sits in between"
                    .to_owned()
            }
            TlsProblem::WrongName => format!(
                "use the name that the certificate is for, or give the server one for {host} and *.{host}"
            ),
            TlsProblem::OutOfDate => {
                "renew the server's certificate, unless it is the clock of this machine that is wrong"
                    .to_owned()
            }
            TlsProblem::NoTls => {
                "is it the right port? A server without a certificate is http://, not https://".to_owned()
            }
            TlsProblem::Silent => {
                "something on the way lets TCP through but not TLS, or the port is another program's".to_owned()
            }
            _ => "is it the right port, and does the server speak TLS 1.2 or 1.3?".to_owned(),
        }
    }

    fn server(&self, error: &SignallingError) -> Option<String> {
        match error {
            SignallingError::Refused(reason) if reason.to_lowercase().contains("key") => {
                Some("name the server's own PeerJS key with --key KEY".to_owned())
            }
            SignallingError::Refused(_) => {
                Some("try again in a minute; a full server says so in its log".to_owned())
            }
            SignallingError::Protocol(_) => {
                let server = &self.server;
                Some(format!(
                    "is {server} the address of a `peerage serve`, with its path? A proxy in front of it must pass WebSockets"
                ))
            }
            error => call::server_advice(error, self.server.as_str()).1,
        }
    }

    fn call(&self, error: &ConnectError) -> Option<String> {
        match error {
            ConnectError::Signalling(error) => self.server(error),
            error => {
                let callee = Callee::device(self.with_secret);
                callee.advice(error).map(|(_, advice)| advice)
            }
        }
    }

    fn no_way(&self, way: &NoWay, step: &Step, taken: &[Step]) -> String {
        let port = port_of(&step.subject);
        match way {
            NoWay::NotResolved(_) => {
                "whoever named this server has its name wrong, or it is not in the DNS".to_owned()
            }
            NoWay::NotReached(_) => format!(
                "open TCP port {port} at the server, for networks without UDP; one that lets nothing but TLS out drops it all the same"
            ),
            NoWay::NotSecured(problem, _) => self.tls(*problem),
            NoWay::Closed => format!("is the TURN server running, and is UDP {port} its port?"),
            NoWay::NotSent(_) => silence(step, taken),
            NoWay::NoCredentials => {
                "the signalling server tells of it without credentials: give it those that the TURN server wants, or the \
                 secret that they share (`peerage serve --turn-secret-file`)"
                    .to_owned()
            }
            _ => "is it a TURN server? Its log may say why it hung up".to_owned(),
        }
    }
}

fn unmapped(step: &Step, taken: &[Step]) -> String {
    match &step.finding {
        Finding::NotMapped {
            error: TurnError::Silent,
            other_family: true,
        } => "the server, or a firewall on the way, answers over one family of addresses only: open the UDP port for both, or \
              take the other address out of the DNS"
            .to_owned(),
        Finding::NotMapped {
            error: TurnError::Silent,
            ..
        }
        | Finding::NotSent { .. } => silence(step, taken),
        _ => "is it a STUN server?".to_owned(),
    }
}

fn not_allocated(error: &TurnError, step: &Step, taken: &[Step]) -> String {
    match error {
        TurnError::Silent => silence(step, taken),
        TurnError::WrongCredentials => {
            "user name or password is wrong, or out of date: credentials that a server makes (--turn-secret) want the same \
             secret, and clocks that agree, at the TURN server"
                .to_owned()
        }
        TurnError::Refused { code: 486, .. } => {
            "the user has as many relays as one may (--turn-user-quota): try again in ten minutes".to_owned()
        }
        TurnError::Refused { code: 508, .. } => {
            "the server has no port left for a relay: give it more (--turn-relay-ports)".to_owned()
        }
        TurnError::Refused { .. } => "the TURN server's log may say why".to_owned(),
        _ => "is it a TURN server?".to_owned(),
    }
}

/// UDP to a server gets no answer: whether that is this network's fault is told by the others.
fn silence(step: &Step, taken: &[Step]) -> String {
    let port = port_of(&step.subject);
    if super::report::is_udp_open(taken) {
        format!(
            "UDP gets out of here, so it is this server, or a firewall in front of it: is it running, and UDP port {port} \
             open there?"
        )
    } else {
        format!(
            "a firewall drops UDP: of this network, or at the server. Let UDP out here and in at port {port} there; until then \
             peers are reached by TURN over TCP or TLS alone"
        )
    }
}

/// The port in `HOST:PORT, IPv4` and `HOST:PORT over UDP`.
fn port_of(subject: &str) -> &str {
    let place = subject.split([',', ' ']).next().unwrap_or_default();
    place.rsplit(':').next().unwrap_or_default()
}
