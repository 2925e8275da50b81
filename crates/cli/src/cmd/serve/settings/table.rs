//! The rows.

use super::{Kind, Setting};

const PEERJS: Setting = Setting {
    name: "",
    short: None,
    alias: None,
    variables: &[],
    field: "",
    value: "",
    help: "",
    heading: "As peerjs-server has them (every - may be written _)",
    kind: Kind::Host,
};
const OURS: Setting = Setting {
    heading: "Names and certificates",
    ..PEERJS
};
const TURN: Setting = Setting {
    heading: "STUN and TURN",
    ..PEERJS
};
const ROOMS: Setting = Setting {
    heading: "Rooms",
    ..PEERJS
};
const LIMIT: Setting = Setting {
    heading: "Limits (MS: milliseconds; OCTETS: a number, or with KiB, MiB, GiB)",
    ..PEERJS
};

pub(in super::super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "host",
        short: Some('H'),
        field: "listen",
        value: "ADDRESS",
        help: "Address to listen on; 0.0.0.0 or :: for all",
        kind: Kind::Host,
        ..PEERJS
    },
    Setting {
        name: "port",
        short: Some('p'),
        variables: &["PORT"],
        field: "listen",
        value: "PORT",
        help: "Port to listen on; 0 takes any free one",
        kind: Kind::Port,
        ..PEERJS
    },
    Setting {
        name: "path",
        variables: &["PEERSERVER_PATH"],
        field: "path",
        value: "PATH",
        help: "Prefix of every route but those of devices' pages",
        kind: Kind::Text(|draft| &mut draft.config.path),
        ..PEERJS
    },
    Setting {
        name: "key",
        short: Some('k'),
        field: "signal.key",
        value: "KEY",
        help: "What clients must name as key. It is no secret",
        kind: Kind::Text(|draft| &mut draft.config.signal.key),
        ..PEERJS
    },
    Setting {
        name: "expire-timeout",
        short: Some('t'),
        field: "signal.expire_after",
        value: "MS",
        help: "How long a message waits for a peer that is not there",
        kind: Kind::Millis(0, |draft| &mut draft.config.signal.expire_after),
        ..PEERJS
    },
    Setting {
        name: "alive-timeout",
        field: "signal.alive_for",
        value: "MS",
        help: "Silence after which a client is closed and its id freed",
        kind: Kind::Millis(1, |draft| &mut draft.config.signal.alive_for),
        ..PEERJS
    },
    Setting {
        name: "concurrent-limit",
        short: Some('c'),
        field: "signal.peers",
        value: "N",
        help: "Ids held at a time",
        kind: Kind::Count(|draft| &mut draft.config.signal.peers),
        ..PEERJS
    },
    Setting {
        name: "allow-discovery",
        field: "discovery",
        value: "BOOL",
        help: "List all ids at PATH/KEY/peers",
        kind: Kind::Flag(|draft| &mut draft.config.discovery),
        ..PEERJS
    },
    Setting {
        name: "proxied",
        field: "proxies",
        value: "BOOL|NET",
        help: "Believe forwarding headers (X-Forwarded-For): of proxies at loopback and private addresses, or in these networks only",
        kind: Kind::Proxies,
        ..PEERJS
    },
    Setting {
        name: "proxy-header",
        field: "proxy_header",
        value: "NAME",
        help: "The one header in which those proxies name the client; they must set it or add to it",
        kind: Kind::ProxyHeader,
        ..PEERJS
    },
    Setting {
        name: "cors",
        field: "cors",
        value: "ORIGIN",
        help: "Origins whose pages may use the HTTP interface; * for all",
        kind: Kind::Origins,
        ..PEERJS
    },
    Setting {
        name: "domain",
        field: "domain",
        value: "NAME",
        help: "Name under which this server is reached; devices are at *.NAME",
        kind: Kind::Name(|draft| &mut draft.config.domain),
        ..OURS
    },
    Setting {
        name: "tls-cert",
        alias: Some("sslcert"),
        field: "tls",
        value: "FILE",
        help: "Certificate chain for NAME and *.NAME, PEM",
        kind: Kind::File(|draft| &mut draft.tls_cert),
        ..OURS
    },
    Setting {
        name: "tls-key",
        alias: Some("sslkey"),
        field: "tls",
        value: "FILE",
        help: "Private key of the certificate, PEM",
        kind: Kind::File(|draft| &mut draft.tls_key),
        ..OURS
    },
    Setting {
        name: "ice-server",
        field: "ice_servers",
        value: "URL",
        help: "STUN or TURN server of others that clients are told of (stun:HOST:PORT); with a password as browsers' RTCIceServer, in JSON. For turn: without one credentials are made, with the secret that --turn-secret-file and it share",
        kind: Kind::IceServers,
        ..OURS
    },
    Setting {
        name: "usernames",
        field: "names",
        value: "BOOL",
        help: "Let clients be called by a name at PATH, and show the page for it at PATH/username",
        kind: Kind::Flag(|draft| &mut draft.usernames),
        ..OURS
    },
    Setting {
        name: "turn",
        field: "turn",
        value: "BOOL",
        help: "Answer STUN and TURN as well, so that those connect who find no direct way",
        kind: Kind::Flag(|draft| &mut draft.serves_turn),
        ..TURN
    },
    Setting {
        name: "no-turn",
        field: "turn",
        value: "BOOL",
        help: "Do not: the same as --turn false",
        kind: Kind::Not(|draft| &mut draft.serves_turn),
        ..TURN
    },
    Setting {
        name: "turn-listen",
        field: "turn.listen",
        value: "ADDRESS:PORT",
        help: "Where STUN and TURN are asked for, by UDP and TCP; may be given several times [default: port 3478 at the address of --host, if it is free]",
        kind: Kind::Places(|draft| &mut draft.turn.listen),
        ..TURN
    },
    Setting {
        name: "turn-tls-listen",
        field: "turn.tls_listen",
        value: "ADDRESS:PORT",
        help: "Where TURN is asked for over TLS, with the certificate of --tls-cert [default: port 5349 as above, where there is one]",
        kind: Kind::Places(|draft| &mut draft.turn.tls_listen),
        ..TURN
    },
    Setting {
        name: "turn-relay-address",
        field: "turn.relay_addresses",
        value: "ADDRESS",
        help: "This machine's address that peers of relayed clients see, one IPv4 and one IPv6 [default: found]",
        kind: Kind::Addresses(|draft| &mut draft.turn.relay_addresses),
        ..TURN
    },
    Setting {
        name: "turn-external-address",
        field: "turn.external_addresses",
        value: "ADDRESS",
        help: "What the internet calls that address, behind a 1:1 NAT",
        kind: Kind::Addresses(|draft| &mut draft.turn.external_addresses),
        ..TURN
    },
    Setting {
        name: "turn-relay-ports",
        field: "turn.relay_ports",
        value: "FROM-TO",
        help: "UDP ports of relayed clients, one each",
        kind: Kind::PortRange(|draft| &mut draft.turn.relay_ports),
        ..TURN
    },
    Setting {
        name: "turn-realm",
        field: "turn.realm",
        value: "TEXT",
        help: "Realm of TURN's log-in [default: the domain, else peerage]",
        kind: Kind::Name(|draft| &mut draft.turn.realm),
        ..TURN
    },
    Setting {
        name: "turn-host",
        field: "turn.host",
        value: "HOST",
        help: "Name or address under which clients are told to find STUN and TURN [default: the domain, else the host by which they came]",
        kind: Kind::Name(|draft| &mut draft.turn.host),
        ..TURN
    },
    Setting {
        name: "turn-secret",
        field: "turn.secret",
        value: "TEXT",
        help: "Secret that TURN credentials are made with. Other users of this machine can read a command line: rather name a file [default: turn.secret in the state folder, made at the first start]",
        kind: Kind::TurnSecret,
        ..TURN
    },
    Setting {
        name: "turn-secret-file",
        field: "turn.secret",
        value: "FILE",
        help: "File with that secret, on one line",
        kind: Kind::TurnSecretFile,
        ..TURN
    },
    Setting {
        name: "turn-credential-lifetime",
        field: "turn.lifetime",
        value: "SECONDS",
        help: "How long credentials are good",
        kind: Kind::Seconds(|draft| &mut draft.turn.lifetime),
        ..TURN
    },
    Setting {
        name: "turn-user-quota",
        field: "turn.user_quota",
        value: "N",
        help: "Allocations of one id",
        kind: Kind::Count(|draft| &mut draft.turn.user_quota),
        ..TURN
    },
    Setting {
        name: "turn-address-quota",
        field: "turn.address_quota",
        value: "N",
        help: "Allocations from one address, or one IPv6 /64; or none",
        kind: Kind::MaybeCount(|draft| &mut draft.turn.address_quota),
        ..TURN
    },
    Setting {
        name: "turn-total-quota",
        field: "turn.total_quota",
        value: "N",
        help: "Allocations in all",
        kind: Kind::Count(|draft| &mut draft.turn.total_quota),
        ..TURN
    },
    Setting {
        name: "turn-bandwidth",
        field: "turn.bandwidth",
        value: "OCTETS",
        help: "Octets a second of one allocation, each way; more are dropped; or none",
        kind: Kind::MaybeOctetRate(|draft| &mut draft.turn.bandwidth),
        ..TURN
    },
    Setting {
        name: "turn-allow-peer",
        field: "turn.allow_peers",
        value: "NET",
        help: "Network that may be relayed to although it is none of the public internet, such as 10.0.0.0/8; may be given several times",
        kind: Kind::Networks(|draft| &mut draft.turn.allow_peers),
        ..TURN
    },
    Setting {
        name: "turn-deny-peer",
        field: "turn.deny_peers",
        value: "NET",
        help: "Network that may not; the longest prefix decides, then denial",
        kind: Kind::Networks(|draft| &mut draft.turn.deny_peers),
        ..TURN
    },
    Setting {
        name: "rooms",
        field: "hub",
        value: "BOOL",
        help: "Relay the messages of rooms: those of our clients, and of PeerPyRTC's",
        kind: Kind::Flag(|draft| &mut draft.serves_rooms),
        ..ROOMS
    },
    Setting {
        name: "no-rooms",
        field: "hub",
        value: "BOOL",
        help: "Do not: the same as --rooms false",
        kind: Kind::Not(|draft| &mut draft.serves_rooms),
        ..ROOMS
    },
    Setting {
        name: "rooms-port",
        field: "hub.port",
        value: "PORT",
        help: "UDP port of all members",
        kind: Kind::RoomsPort,
        ..ROOMS
    },
    Setting {
        name: "rooms-address",
        field: "hub.addresses",
        value: "ADDRESS",
        help: "Where members come to: addresses of this machine, or what the internet calls it behind a 1:1 NAT; may be given several times [default: those of --host]",
        kind: Kind::Addresses(|draft| &mut draft.hub.addresses),
        ..ROOMS
    },
    Setting {
        name: "rooms-admin-token-file",
        field: "hub.admin",
        value: "FILE",
        help: "File with the token, on one line, that opens /rooms, /room-status/ROOM and /broadcast",
        kind: Kind::File(|draft| &mut draft.rooms_admin_token),
        ..ROOMS
    },
    Setting {
        name: "rooms-admin-open",
        field: "hub.admin",
        value: "BOOL",
        help: "Open them without a token, for play on one machine: to all who reach it by localhost or an IP address and are no page of another origin",
        kind: Kind::Flag(|draft| &mut draft.rooms_admin_open),
        ..ROOMS
    },
    Setting {
        name: "rooms-webhook",
        field: "hub.webhook",
        value: "URL",
        help: "HTTP service that is told who joins, leaves and says what",
        kind: Kind::RoomsWebhook,
        ..ROOMS
    },
    Setting {
        name: "rooms-webhook-secret-file",
        field: "hub.webhook_secret",
        value: "FILE",
        help: "File with the secret, on one line, that its requests are signed with [default: webhook.secret in the state folder, made at the first start that needs it]",
        kind: Kind::File(|draft| &mut draft.rooms_webhook_secret),
        ..ROOMS
    },
    Setting {
        name: "rooms-moderate",
        field: "hub.moderate",
        value: "BOOL",
        help: "Relay a message only after that service has answered",
        kind: Kind::Flag(|draft| &mut draft.hub.moderate),
        ..ROOMS
    },
    Setting {
        name: "rooms-moderation-timeout",
        field: "hub.moderation_timeout",
        value: "MS",
        help: "How long a message waits for the answer, in milliseconds",
        kind: Kind::Millis(1, |draft| &mut draft.hub.moderation_timeout),
        ..ROOMS
    },
    Setting {
        name: "rooms-moderation-fallback",
        field: "hub.moderation_otherwise",
        value: "WHAT",
        help: "What becomes of a message without an answer: relay or drop",
        kind: Kind::RoomsOtherwise,
        ..ROOMS
    },
    Setting {
        name: "metrics",
        field: "metrics",
        value: "ADDRESS:PORT",
        help: "Where to tell Prometheus what is counted, at /metrics, whoever asks [default: nowhere]",
        kind: Kind::Place(|draft| &mut draft.config.metrics),
        ..OURS
    },
    Setting {
        name: "connections",
        field: "connections",
        value: "N",
        help: "TCP connections at a time",
        kind: Kind::Count(|draft| &mut draft.config.connections),
        ..LIMIT
    },
    Setting {
        name: "connections-per-address",
        field: "connections_per_address",
        value: "N",
        help: "TCP connections at a time from one address, or one IPv6 /64; or none",
        kind: Kind::MaybeCount(|draft| &mut draft.config.connections_per_address),
        ..LIMIT
    },
    Setting {
        name: "room-members",
        field: "nearby.members",
        value: "N",
        help: "Clients in the room of one address",
        kind: Kind::Count(|draft| &mut draft.config.nearby.members),
        ..LIMIT
    },
    Setting {
        name: "handshake-timeout",
        field: "handshake",
        value: "MS",
        help: "Longest TLS handshake, and again for the head of a request",
        kind: Kind::Millis(1, |draft| &mut draft.config.handshake),
        ..LIMIT
    },
    Setting {
        name: "http-lifetime",
        field: "http_lifetime",
        value: "MS",
        help: "Longest life of a connection that is no WebSocket",
        kind: Kind::Millis(1, |draft| &mut draft.config.http_lifetime),
        ..LIMIT
    },
    Setting {
        name: "message-rate",
        field: "message_rate",
        value: "N",
        help: "Messages a second of one client in the long run; more are read later",
        kind: Kind::Rate(|draft| &mut draft.config.message_rate),
        ..LIMIT
    },
    Setting {
        name: "message-burst",
        field: "message_burst",
        value: "N",
        help: "Messages of one client at once, beyond that",
        kind: Kind::Rate(|draft| &mut draft.config.message_burst),
        ..LIMIT
    },
    Setting {
        name: "octet-rate",
        field: "octet_rate",
        value: "OCTETS",
        help: "Octets a second of one client; more are read later",
        kind: Kind::OctetRate(|draft| &mut draft.config.octet_rate),
        ..LIMIT
    },
    Setting {
        name: "send-queue",
        field: "send_queue",
        value: "OCTETS",
        help: "Octets that wait for one client to read them; a slower one is closed",
        kind: Kind::Octets(|draft| &mut draft.config.send_queue),
        ..LIMIT
    },
    Setting {
        name: "buffered",
        field: "buffered",
        value: "OCTETS",
        help: "Octets held for all clients together",
        kind: Kind::Octets(|draft| &mut draft.config.buffered),
        ..LIMIT
    },
    Setting {
        name: "stall-timeout",
        field: "stall",
        value: "MS",
        help: "How long a client may stand still in the middle of a message",
        kind: Kind::Millis(1, |draft| &mut draft.config.stall),
        ..LIMIT
    },
    Setting {
        name: "hold-timeout",
        field: "signal.hold_at_most",
        value: "MS",
        help: "How long an id may stay that of a client that broke off and asked for it",
        kind: Kind::Millis(0, |draft| &mut draft.config.signal.hold_at_most),
        ..LIMIT
    },
    Setting {
        name: "waiting-messages",
        field: "signal.waiting_messages",
        value: "N",
        help: "Messages that wait for one peer that is not there",
        kind: Kind::Count(|draft| &mut draft.config.signal.waiting_messages),
        ..LIMIT
    },
    Setting {
        name: "waiting-octets",
        field: "signal.waiting_octets",
        value: "OCTETS",
        help: "Octets of them",
        kind: Kind::Octets(|draft| &mut draft.config.signal.waiting_octets),
        ..LIMIT
    },
    Setting {
        name: "sender-waiting-octets",
        field: "signal.sender_waiting_octets",
        value: "OCTETS",
        help: "Octets of one sender that wait",
        kind: Kind::Octets(|draft| &mut draft.config.signal.sender_waiting_octets),
        ..LIMIT
    },
    Setting {
        name: "all-waiting-octets",
        field: "signal.all_waiting_octets",
        value: "OCTETS",
        help: "Octets that wait for all peers that are not there",
        kind: Kind::Octets(|draft| &mut draft.config.signal.all_waiting_octets),
        ..LIMIT
    },
    Setting {
        name: "held",
        field: "signal.held",
        value: "N",
        help: "Ids kept in this way at a time",
        kind: Kind::Count(|draft| &mut draft.config.signal.held),
        ..LIMIT
    },
    Setting {
        name: "all-watched",
        field: "signal.all_watched",
        value: "N",
        help: "Subscriptions of all clients together",
        kind: Kind::Count(|draft| &mut draft.config.signal.all_watched),
        ..LIMIT
    },
    Setting {
        name: "watched",
        field: "signal.watched",
        value: "N",
        help: "Ids whose coming and going one client may watch",
        kind: Kind::Count(|draft| &mut draft.config.signal.watched),
        ..LIMIT
    },
    Setting {
        name: "watchers",
        field: "signal.watchers",
        value: "N",
        help: "Clients that may watch one id",
        kind: Kind::Count(|draft| &mut draft.config.signal.watchers),
        ..LIMIT
    },
    Setting {
        name: "usernames-limit",
        field: "names.names",
        value: "N",
        help: "Names held at a time",
        kind: Kind::Count(|draft| &mut draft.names.names),
        ..LIMIT
    },
    Setting {
        name: "usernames-per-socket",
        field: "names.names_per_socket",
        value: "N",
        help: "Names of one client",
        kind: Kind::Count(|draft| &mut draft.names.names_per_socket),
        ..LIMIT
    },
    Setting {
        name: "usernames-ping",
        field: "names.ping_after",
        value: "MS",
        help: "Silence after which a client with a name is pinged",
        kind: Kind::Millis(1, |draft| &mut draft.names.ping_after),
        ..LIMIT
    },
    Setting {
        name: "usernames-alive-timeout",
        field: "names.alive_for",
        value: "MS",
        help: "Silence after which it is closed, and its names are free",
        kind: Kind::Millis(1, |draft| &mut draft.names.alive_for),
        ..LIMIT
    },
    Setting {
        name: "rooms-limit",
        field: "hub.limits.rooms",
        value: "N",
        help: "Rooms at a time",
        kind: Kind::Count(|draft| &mut draft.hub.limits.rooms),
        ..LIMIT
    },
    Setting {
        name: "rooms-members",
        field: "hub.limits.members",
        value: "N",
        help: "Members of all rooms",
        kind: Kind::Count(|draft| &mut draft.hub.limits.members),
        ..LIMIT
    },
    Setting {
        name: "rooms-members-per-room",
        field: "hub.limits.room_members",
        value: "N",
        help: "Members of one room",
        kind: Kind::Count(|draft| &mut draft.hub.limits.room_members),
        ..LIMIT
    },
    Setting {
        name: "rooms-members-per-address",
        field: "hub.limits.members_per_address",
        value: "N",
        help: "Members of rooms from one address, or one IPv6 /64; or none",
        kind: Kind::MaybeCount(|draft| &mut draft.hub.limits.members_per_address),
        ..LIMIT
    },
    Setting {
        name: "rooms-half-open",
        field: "hub.limits.half_open",
        value: "N",
        help: "Members' connections that are being made",
        kind: Kind::Count(|draft| &mut draft.hub.limits.half_open),
        ..LIMIT
    },
    Setting {
        name: "rooms-half-open-per-address",
        field: "hub.limits.half_open_per_address",
        value: "N",
        help: "The same from one address, or one IPv6 /64",
        kind: Kind::Count(|draft| &mut draft.hub.limits.half_open_per_address),
        ..LIMIT
    },
    Setting {
        name: "rooms-offer-rate",
        field: "hub.limits.offer_rate",
        value: "N",
        help: "Members' offers a second from one address, or one IPv6 /64, in the long run",
        kind: Kind::Rate(|draft| &mut draft.hub.limits.offer_rate),
        ..LIMIT
    },
    Setting {
        name: "rooms-offer-burst",
        field: "hub.limits.offer_burst",
        value: "N",
        help: "The same at once, beyond that",
        kind: Kind::Rate(|draft| &mut draft.hub.limits.offer_burst),
        ..LIMIT
    },
    Setting {
        name: "rooms-message-size",
        field: "hub.limits.message",
        value: "OCTETS",
        help: "Octets of one message of a member",
        kind: Kind::Octets(|draft| &mut draft.hub.limits.message),
        ..LIMIT
    },
    Setting {
        name: "rooms-message-rate",
        field: "hub.limits.message_rate",
        value: "N",
        help: "Messages a second of one member in the long run",
        kind: Kind::Rate(|draft| &mut draft.hub.limits.message_rate),
        ..LIMIT
    },
    Setting {
        name: "rooms-message-burst",
        field: "hub.limits.message_burst",
        value: "N",
        help: "Messages of one member at once, beyond that",
        kind: Kind::Rate(|draft| &mut draft.hub.limits.message_burst),
        ..LIMIT
    },
    Setting {
        name: "rooms-octet-rate",
        field: "hub.limits.octet_rate",
        value: "OCTETS",
        help: "Octets a second of one member; more are read later",
        kind: Kind::OctetRate(|draft| &mut draft.hub.limits.octet_rate),
        ..LIMIT
    },
    Setting {
        name: "rooms-send-queue",
        field: "hub.limits.send_queue",
        value: "OCTETS",
        help: "Octets that wait for one member to take them; a slower one is dropped",
        kind: Kind::Octets(|draft| &mut draft.hub.limits.send_queue),
        ..LIMIT
    },
    Setting {
        name: "rooms-buffered",
        field: "hub.limits.buffered",
        value: "OCTETS",
        help: "Octets that wait for all members together",
        kind: Kind::Octets(|draft| &mut draft.hub.limits.buffered),
        ..LIMIT
    },
    Setting {
        name: "drain-timeout",
        field: "drain",
        value: "MS",
        help: "How long what runs may take to finish at the end",
        kind: Kind::Millis(0, |draft| &mut draft.config.drain),
        ..LIMIT
    },
];
