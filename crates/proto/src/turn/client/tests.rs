//! A client and a scripted server, in virtual time.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::turn::credentials::Key;
use crate::wire::stun::{Builder, attribute as stun_attribute};
use crate::wire::turn::attribute;

const REALM: &str = "example.org";

struct World {
    client: Client<StdRng>,
    now: Instant,
    /// What went to the server and was not looked at yet.
    sent: VecDeque<Vec<u8>>,
    /// What the client told, in order.
    told: Vec<Output>,
    key: Key,
}

impl World {
    #[allow(clippy::disallowed_methods)]
    fn new(carrier: Carrier) -> Self {
        Self {
            client: Client::new(Config::new(carrier), StdRng::seed_from_u64(7)),
            now: Instant::now(),
            sent: VecDeque::new(),
            told: Vec::new(),
            key: credentials().key(REALM),
        }
    }

    /// With an allocation of one address of each family.
    fn allocated(carrier: Carrier) -> Self {
        let mut world = Self::new(carrier);
        world.act(|client, now| client.allocate(credentials(), now));
        let first = world.request(Method::ALLOCATE);
        world.challenge(&first, 401, b"nonce-1");
        let second = world.request(Method::ALLOCATE);
        world.grant(&second);
        assert_eq!(world.told(), [Output::Allocated(relays())]);
        world
    }

    fn act<T>(&mut self, action: impl FnOnce(&mut Client<StdRng>, Instant) -> T) -> T {
        let result = action(&mut self.client, self.now);
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(octets) => self.sent.push_back(octets),
                output => self.told.push(output),
            }
        }
        result
    }

    /// Lets time pass, every timer on its way.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.act(|client, now| client.handle_timeout(now));
        }
        self.now = until;
    }

    fn told(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.told)
    }

    /// The next thing sent, which is a request of this method.
    fn request(&mut self, method: Method) -> Vec<u8> {
        let octets = self.sent.pop_front().expect("something was sent");
        let message = Message::parse(&octets).expect("a message");
        assert_eq!(
            (message.class(), message.method()),
            (Class::Request, method)
        );
        assert!(message.has_fingerprint());
        octets
    }

    /// Nothing more was sent.
    fn silent(&self) {
        assert!(self.sent.is_empty(), "{:?}", self.sent);
    }

    fn receive(&mut self, octets: &[u8]) {
        self.act(|client, now| {
            let _ = client.handle_datagram(octets, now);
        });
    }

    /// A signed success.
    fn succeed(&mut self, request: &[u8], fill: impl FnOnce(Builder) -> Builder) {
        let answer = fill(to(request, Class::Success)).sign(self.key.as_bytes());
        self.receive(&answer.fingerprint().finish());
    }

    fn grant(&mut self, request: &[u8]) {
        self.succeed(request, |builder| {
            relays()
                .into_iter()
                .fold(builder, |builder, relay| {
                    builder.xor_address(attribute::XOR_RELAYED_ADDRESS, relay)
                })
                .xor_address(stun_attribute::XOR_MAPPED_ADDRESS, mapped())
                .number(attribute::LIFETIME, 600)
        });
    }

    /// A signed refusal.
    fn refuse(&mut self, request: &[u8], code: u16) {
        let answer = to(request, Class::Error)
            .error(code, "Because")
            .sign(self.key.as_bytes());
        self.receive(&answer.finish());
    }

    /// An unsigned refusal with a nonce.
    fn challenge(&mut self, request: &[u8], code: u16, nonce: &[u8]) {
        let answer = to(request, Class::Error)
            .error(code, "Try again")
            .put(stun_attribute::REALM, REALM.as_bytes())
            .put(stun_attribute::NONCE, nonce);
        self.receive(&answer.finish());
    }

    /// Permits a peer and has it granted.
    fn permitted(&mut self, peer: SocketAddr) {
        assert!(self.act(|client, now| client.permit(peer.ip(), now)));
        let request = self.request(Method::CREATE_PERMISSION);
        self.succeed(&request, |builder| builder);
    }

    fn send(&mut self, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.client.send(peer, data, &mut out).then_some(out)
    }
}

fn to(request: &[u8], class: Class) -> Builder {
    let request = Message::parse(request).expect("a message");
    Builder::new(class, request.method(), request.transaction_id())
}

fn credentials() -> Credentials {
    Credentials {
        username: "1795300000:ann".into(),
        password: "secret".into(),
    }
}

fn relays() -> Vec<SocketAddr> {
    vec![
        address("198.51.100.9:61000"),
        address("[2001:db8::9]:61001"),
    ]
}

fn mapped() -> SocketAddr {
    address("203.0.113.5:4000")
}

fn peer() -> SocketAddr {
    address("192.0.2.1:5000")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn refused(code: u16) -> Error {
    Error::Refused {
        code,
        reason: "Because".into(),
    }
}

fn attribute_of(octets: &[u8], kind: u16) -> Option<Vec<u8>> {
    Message::parse(octets)
        .expect("a message")
        .attribute(kind)
        .map(<[u8]>::to_vec)
}

#[test]
fn the_mapped_address_is_told_once_and_again_when_it_changes() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.learn_mapping(now));
    for (seen, told) in [
        (mapped(), true),
        (mapped(), false),
        (address("203.0.113.5:4001"), true),
    ] {
        let request = world.request(Method::BINDING);
        assert!(!Message::parse(&request).unwrap().has_integrity());
        world.silent();
        let answer = to(&request, Class::Success)
            .xor_address(stun_attribute::XOR_MAPPED_ADDRESS, seen)
            .finish();
        world.receive(&answer);
        let expected: &[Output] = if told { &[Output::Mapped(seen)] } else { &[] };
        assert_eq!(world.told(), expected);
        world.pass(KEEP_ALIVE - millis(1));
        world.silent();
        world.pass(millis(1));
    }
}

#[test]
fn a_binding_server_that_is_silent_is_told_of_once_and_asked_again_later() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.learn_mapping(now));
    world.pass(secs(60));
    assert_eq!(world.told(), [Output::Unmapped(Error::Silent)]);
    let request = world.sent.pop_back().expect("still asking");
    let answer = to(&request, Class::Success)
        .xor_address(stun_attribute::XOR_MAPPED_ADDRESS, mapped())
        .finish();
    world.receive(&answer);
    assert_eq!(world.told(), [Output::Mapped(mapped())]);
}

#[test]
fn requests_are_repeated_over_udp_after_twice_the_time_each_and_given_up_after_7_seconds() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    for wait in [250, 500, 1000, 2000] {
        world.pass(millis(wait - 1));
        world.silent();
        world.pass(millis(1));
        assert_eq!(
            world.request(Method::ALLOCATE),
            first,
            "the very same octets"
        );
    }
    world.pass(millis(7000 - 3750 - 1));
    world.silent();
    assert!(world.told().is_empty());
    world.pass(millis(1));
    world.silent();
    assert_eq!(world.told(), [Output::Failed(Error::Silent)]);
    assert!(world.client.is_idle() && world.client.poll_timeout().is_none());
}

#[test]
fn on_a_stream_nothing_is_repeated_and_the_deadline_is_the_same() {
    let mut world = World::new(Carrier::Stream);
    world.act(|client, now| client.allocate(credentials(), now));
    world.request(Method::ALLOCATE);
    world.pass(millis(6999));
    world.silent();
    world.pass(millis(1));
    world.silent();
    assert_eq!(world.told(), [Output::Failed(Error::Silent)]);
}

#[test]
fn an_allocation_is_asked_for_openly_then_signed_and_never_with_userhash() {
    const USERHASH: u16 = 0x001e;
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    assert_eq!(
        attribute_of(&first, attribute::REQUESTED_TRANSPORT),
        Some(vec![17, 0, 0, 0])
    );
    assert_eq!(attribute_of(&first, stun_attribute::USERNAME), None);
    world.challenge(&first, 401, b"obMatJos2AAAAnonce");
    let second = world.request(Method::ALLOCATE);
    let message = Message::parse(&second).unwrap();
    assert!(message.is_signed_with(world.key.as_bytes()));
    assert_eq!(
        message.text(stun_attribute::USERNAME),
        Some("1795300000:ann")
    );
    assert_eq!(
        message.text(stun_attribute::NONCE),
        Some("obMatJos2AAAAnonce")
    );
    assert_eq!(message.attribute(USERHASH), None);
    assert_ne!(
        message.transaction_id(),
        Message::parse(&first).unwrap().transaction_id()
    );
    world.grant(&second);
    assert_eq!(world.told(), [Output::Allocated(relays())]);
    world.silent();
}

#[test]
fn a_second_401_is_wrong_credentials_and_told_at_once() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    world.challenge(&second, 401, b"b");
    world.silent();
    assert_eq!(world.told(), [Output::Failed(Error::WrongCredentials)]);
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn a_stale_nonce_is_replaced_once_for_each_request() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.act(|client, now| client.permit(peer().ip(), now));
    let request = world.request(Method::CREATE_PERMISSION);
    world.challenge(&request, 438, b"nonce-2");
    let again = world.request(Method::CREATE_PERMISSION);
    assert_eq!(
        attribute_of(&again, stun_attribute::NONCE),
        Some(b"nonce-2".to_vec())
    );
    world.challenge(&again, 438, b"nonce-3");
    world.silent();
    assert_eq!(world.told(), [Output::Refused(peer().ip(), 438)]);
}

#[test]
fn refusals_of_an_allocation_come_with_code_and_reason() {
    for code in [403, 441, 442, 486, 500, 508] {
        let mut world = World::new(Carrier::Datagrams);
        world.act(|client, now| client.allocate(credentials(), now));
        let first = world.request(Method::ALLOCATE);
        world.challenge(&first, 401, b"a");
        let second = world.request(Method::ALLOCATE);
        world.refuse(&second, code);
        world.silent();
        assert_eq!(world.told(), [Output::Failed(refused(code))]);
    }
}

#[test]
fn an_old_allocation_on_the_same_port_is_given_back_once_for_a_new_one() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    world.refuse(&second, 437);
    let delete = world.request(Method::REFRESH);
    assert_eq!(attribute_of(&delete, attribute::LIFETIME), Some(vec![0; 4]));
    world.succeed(&delete, |builder| builder.number(attribute::LIFETIME, 0));
    let third = world.request(Method::ALLOCATE);
    world.refuse(&third, 437);
    world.silent();
    assert_eq!(world.told(), [Output::Failed(refused(437))]);
}

#[test]
fn a_server_without_ipv4_is_asked_for_ipv6() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    world.refuse(&second, 440);
    let third = world.request(Method::ALLOCATE);
    assert_eq!(
        attribute_of(&third, attribute::REQUESTED_ADDRESS_FAMILY),
        Some(vec![2, 0, 0, 0])
    );
    assert_eq!(
        attribute_of(&third, attribute::ADDITIONAL_ADDRESS_FAMILY),
        None
    );
}

#[test]
fn an_answer_that_is_not_signed_or_signed_by_somebody_else_does_not_count() {
    let mut world = World::new(Carrier::Datagrams);
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    let forged = || {
        to(&second, Class::Success)
            .xor_address(attribute::XOR_RELAYED_ADDRESS, address("192.0.2.66:1"))
    };
    world.receive(&forged().finish());
    world.receive(&forged().sign(b"another key").finish());
    world.receive(&to(&second, Class::Error).error(486, "Forged").finish());
    world.receive(&to(&second, Class::Error).finish());
    // Right id and key, but an answer to something else.
    let id = Message::parse(&second).unwrap().transaction_id();
    let other = Builder::new(Class::Success, Method::REFRESH, id).sign(world.key.as_bytes());
    world.receive(&other.finish());
    assert!(world.told().is_empty());
    world.grant(&second);
    assert_eq!(world.told(), [Output::Allocated(relays())]);
    world.grant(&second);
    assert!(world.told().is_empty(), "an answer counts once");
}

#[test]
fn an_allocation_is_refreshed_a_minute_before_its_end_and_given_up_after_it() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.pass(secs(539));
    world.silent();
    world.pass(secs(1));
    let refresh = world.request(Method::REFRESH);
    assert_eq!(attribute_of(&refresh, attribute::LIFETIME), None);
    world.succeed(&refresh, |builder| builder.number(attribute::LIFETIME, 300));
    world.pass(secs(239));
    world.silent();
    world.pass(secs(59));
    let tries = world
        .sent
        .iter()
        .map(|octets| Message::parse(octets).unwrap().transaction_id().0)
        .collect::<std::collections::BTreeSet<_>>();
    assert!(tries.len() >= 4, "asked again and again: {}", tries.len());
    assert!(world.told().is_empty());
    world.pass(secs(2));
    assert_eq!(world.told(), [Output::Failed(Error::Silent)]);
    assert!(world.client.is_idle());
}

#[test]
fn credentials_that_expire_meanwhile_end_the_allocation() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.pass(secs(540));
    let refresh = world.request(Method::REFRESH);
    world.challenge(&refresh, 401, b"b");
    assert_eq!(world.told(), [Output::Failed(Error::WrongCredentials)]);
}

#[test]
fn who_only_sends_loses_no_news_of_the_allocation() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.act(|client, now| client.permit(peer().ip(), now));
    let request = world.request(Method::CREATE_PERMISSION);
    let refusal = to(&request, Class::Error)
        .error(437, "Because")
        .sign(world.key.as_bytes())
        .finish();
    let _ = world.client.handle_datagram(&refusal, world.now);
    // The next allocation's request comes behind that word.
    world.client.allocate(credentials(), world.now);
    assert_eq!(world.client.poll_send(), None);
    assert_eq!(
        world.client.poll_output(),
        Some(Output::Failed(refused(437)))
    );
    assert!(world.client.poll_send().is_some());
    assert_eq!(world.client.poll_send(), None);
    assert_eq!(world.client.poll_output(), None);
}

#[test]
fn a_server_that_lost_the_allocation_is_noticed_with_the_next_request() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.act(|client, now| client.permit(peer().ip(), now));
    let request = world.request(Method::CREATE_PERMISSION);
    world.refuse(&request, 437);
    assert_eq!(world.told(), [Output::Failed(refused(437))]);
    // And the peers are asked for again with the next allocation.
    world.act(|client, now| client.allocate(credentials(), now));
    let first = world.request(Method::ALLOCATE);
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    world.grant(&second);
    world.request(Method::CREATE_PERMISSION);
}

#[test]
fn an_allocation_can_be_verified_at_any_time_with_one_request() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.act(|client, now| client.verify(now));
    world.act(|client, now| client.verify(now));
    let refresh = world.request(Method::REFRESH);
    world.silent();
    world.succeed(&refresh, |builder| builder.number(attribute::LIFETIME, 600));
    world.act(|client, now| client.verify(now));
    let refresh = world.request(Method::REFRESH);
    world.refuse(&refresh, 437);
    assert_eq!(world.told(), [Output::Failed(refused(437))]);
}

#[test]
fn peers_known_before_the_allocation_are_permitted_with_it_at_once_and_each_by_itself() {
    let mut world = World::new(Carrier::Datagrams);
    let peers = ["192.0.2.1", "10.0.0.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    world.act(|client, now| client.allocate(credentials(), now));
    for peer in peers {
        assert!(world.act(|client, now| client.permit(peer, now)));
    }
    let first = world.request(Method::ALLOCATE);
    world.silent();
    world.challenge(&first, 401, b"a");
    let second = world.request(Method::ALLOCATE);
    world.grant(&second);
    let asked: Vec<_> = (0..3)
        .map(|_| world.request(Method::CREATE_PERMISSION))
        .collect();
    world.silent();
    for request in asked {
        let message = Message::parse(&request).unwrap();
        let ips: Vec<_> = message
            .xor_addresses(attribute::XOR_PEER_ADDRESS)
            .flatten()
            .map(|peer| peer.ip())
            .collect();
        assert_eq!(ips.len(), 1);
        if ips == [peers[1]] {
            world.refuse(&request, 403);
        } else {
            world.succeed(&request, |builder| builder);
        }
    }
    assert_eq!(
        world.told(),
        [Output::Allocated(relays()), Output::Refused(peers[1], 403)]
    );
    assert!(world.send(SocketAddr::new(peers[0], 1), b"x").is_some());
    assert!(world.send(SocketAddr::new(peers[1], 1), b"x").is_none());
}

#[test]
fn what_is_sent_before_the_permission_goes_out_with_it_in_bounded_number() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.act(|client, now| client.permit(peer().ip(), now));
    for number in 0..MAX_WAITING as u8 + 5 {
        assert!(world.send(peer(), &[number]).is_none());
    }
    let request = world.request(Method::CREATE_PERMISSION);
    world.succeed(&request, |builder| builder);
    assert_eq!(world.sent.len(), MAX_WAITING);
    for (number, octets) in std::mem::take(&mut world.sent).into_iter().enumerate() {
        let message = Message::parse(&octets).unwrap();
        assert_eq!(
            (message.class(), message.method()),
            (Class::Indication, Method::SEND)
        );
        assert_eq!(
            message.attribute(attribute::DATA),
            Some(&[number as u8][..])
        );
        assert_eq!(
            message.xor_address(attribute::XOR_PEER_ADDRESS),
            Some(peer())
        );
    }
}

#[test]
fn nothing_goes_to_or_comes_from_a_peer_that_was_not_named() {
    let mut world = World::allocated(Carrier::Datagrams);
    assert_eq!(world.send(peer(), b"x"), None);
    let indication = Builder::new(Class::Indication, Method::DATA, TransactionId([1; 12]))
        .xor_address(attribute::XOR_PEER_ADDRESS, peer())
        .put(attribute::DATA, b"y")
        .finish();
    let now = world.now;
    assert_eq!(
        world.client.handle_datagram(&indication, now),
        Received::Unknown
    );
    world.permitted(peer());
    assert_eq!(
        world.client.handle_datagram(&indication, now),
        Received::Data {
            peer: peer(),
            data: b"y"
        }
    );
    world.client.forget(peer().ip());
    assert_eq!(
        world.client.handle_datagram(&indication, now),
        Received::Unknown
    );
    assert_eq!(world.send(peer(), b"x"), None);
}

#[test]
fn a_peer_that_several_want_is_forgotten_with_the_last_of_them() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.permitted(peer());
    world.act(|client, now| client.permit(peer().ip(), now));
    world.silent();
    world.client.forget(peer().ip());
    assert!(world.send(peer(), b"x").is_some());
    world.client.forget(peer().ip());
    assert!(world.send(peer(), b"x").is_none());
}

#[test]
fn data_takes_the_channel_once_it_is_bound_and_indications_before() {
    for carrier in [Carrier::Datagrams, Carrier::Stream] {
        let mut world = World::allocated(carrier);
        world.permitted(peer());
        world.act(|client, now| client.bind(peer(), now));
        world.act(|client, now| client.bind(peer(), now));
        let request = world.request(Method::CHANNEL_BIND);
        world.silent();
        let channel = Message::parse(&request)
            .unwrap()
            .attribute(attribute::CHANNEL_NUMBER)
            .and_then(Channel::from_value)
            .expect("a channel");
        let before = world.send(peer(), b"hello").expect("permitted");
        assert!(Message::parse(&before).is_ok());
        world.succeed(&request, |builder| builder);
        let after = world.send(peer(), b"hello").expect("bound");
        let mut expected = [&channel.header(5)[..], b"hello"].concat();
        if carrier == Carrier::Stream {
            expected.extend([0; 3]);
        }
        assert_eq!(after, expected);
        let now = world.now;
        assert_eq!(
            world.client.handle_datagram(&after, now),
            Received::Data {
                peer: peer(),
                data: b"hello"
            }
        );
        // Another port of the same peer has no channel.
        let other = SocketAddr::new(peer().ip(), 1);
        assert!(Message::parse(&world.send(other, b"x").unwrap()).is_ok());
    }
}

#[test]
fn permissions_are_kept_together_and_channels_too_while_they_are_wanted() {
    let mut world = World::allocated(Carrier::Datagrams);
    let other = address("192.0.2.2:1");
    world.permitted(peer());
    world.pass(secs(20));
    world.permitted(other);
    world.act(|client, now| client.bind(peer(), now));
    let request = world.request(Method::CHANNEL_BIND);
    world.succeed(&request, |builder| builder);
    world.pass(secs(219));
    world.silent();
    world.pass(secs(1));
    let kept = world.request(Method::CREATE_PERMISSION);
    world.silent();
    assert_eq!(
        Message::parse(&kept)
            .unwrap()
            .xor_addresses(attribute::XOR_PEER_ADDRESS)
            .count(),
        2,
        "one request for both"
    );
    world.succeed(&kept, |builder| builder);
    world.client.forget(other.ip());
    world.pass(secs(240));
    let kept = world.request(Method::CREATE_PERMISSION);
    assert_eq!(
        Message::parse(&kept)
            .unwrap()
            .xor_addresses(attribute::XOR_PEER_ADDRESS)
            .count(),
        1
    );
    world.succeed(&kept, |builder| builder);
    world.pass(secs(20));
    let bind = world.request(Method::CHANNEL_BIND);
    assert_eq!(
        attribute_of(&bind, attribute::CHANNEL_NUMBER),
        attribute_of(&request, attribute::CHANNEL_NUMBER)
    );
    world.succeed(&bind, |builder| builder);
}

#[test]
fn one_peer_that_is_refused_later_does_not_cost_the_others_their_permission() {
    let mut world = World::allocated(Carrier::Datagrams);
    let other = address("192.0.2.2:1");
    world.permitted(peer());
    world.permitted(other);
    world.pass(secs(240));
    let kept = world.request(Method::CREATE_PERMISSION);
    world.refuse(&kept, 403);
    let (first, second) = (
        world.request(Method::CREATE_PERMISSION),
        world.request(Method::CREATE_PERMISSION),
    );
    world.refuse(&first, 403);
    world.succeed(&second, |builder| builder);
    assert_eq!(world.told(), [Output::Refused(peer().ip(), 403)]);
    assert!(world.send(peer(), b"x").is_none());
    assert!(world.send(other, b"x").is_some());
}

#[test]
fn peers_are_bounded() {
    let mut world = World::allocated(Carrier::Datagrams);
    for number in 0..=MAX_PEERS as u32 {
        let ip = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        assert_eq!(
            world.act(|client, now| client.permit(ip, now)),
            number < MAX_PEERS as u32
        );
    }
    assert_eq!(world.sent.len(), MAX_PEERS);
}

#[test]
fn a_deleted_allocation_is_given_back_and_no_longer_used() {
    let mut world = World::allocated(Carrier::Datagrams);
    world.permitted(peer());
    world.act(|client, now| client.delete(now));
    let delete = world.request(Method::REFRESH);
    assert_eq!(attribute_of(&delete, attribute::LIFETIME), Some(vec![0; 4]));
    assert!(world.send(peer(), b"x").is_none());
    assert!(!world.client.is_idle());
    world.succeed(&delete, |builder| builder.number(attribute::LIFETIME, 0));
    assert!(world.client.is_idle());
    assert!(world.told().is_empty());
    world.pass(secs(3600));
    world.silent();
}

#[test]
fn lost_requests_and_answers_cost_time_and_nothing_else() {
    for seed in 0..40 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut is_lost = move || rand_core::Rng::next_u32(&mut chance).is_multiple_of(8);
        let mut world = World::new(Carrier::Datagrams);
        world.act(|client, now| client.allocate(credentials(), now));
        world.act(|client, now| client.permit(peer().ip(), now));
        let start = world.now;
        while world.now < start + secs(7) && world.send(peer(), b"x").is_none() {
            while let Some(request) = world.sent.pop_front() {
                if is_lost() {
                    continue;
                }
                let message = Message::parse(&request).unwrap();
                if message.class() != Class::Request || is_lost() {
                    continue;
                }
                match message.method() {
                    _ if !message.has_integrity() => world.challenge(&request, 401, b"n"),
                    Method::ALLOCATE => world.grant(&request),
                    _ => world.succeed(&request, |builder| builder),
                }
            }
            world.pass(millis(10));
        }
        assert!(world.now < start + secs(7), "seed {seed}");
    }
}

#[test]
fn octets_from_anywhere_neither_panic_nor_count() {
    let mut chance = StdRng::seed_from_u64(1);
    let mut next = move || rand_core::Rng::next_u32(&mut chance) as usize;
    let mut world = World::allocated(Carrier::Datagrams);
    world.permitted(peer());
    world.act(|client, now| client.bind(peer(), now));
    let request = world.request(Method::CHANNEL_BIND);
    let whole = to(&request, Class::Success)
        .put(stun_attribute::NONCE, b"n")
        .sign(world.key.as_bytes())
        .fingerprint()
        .finish();
    for _ in 0..20_000 {
        let mut octets = whole.clone();
        for _ in 0..=next() % 4 {
            let at = next() % octets.len();
            octets[at] = next() as u8;
        }
        octets.truncate(next() % (octets.len() + 20));
        if octets != whole {
            world.receive(&octets);
        }
    }
    assert!(world.told().is_empty());
    world.receive(&whole);
    assert!(turn::channel_data(&world.send(peer(), b"x").unwrap()).is_some());
}

#[test]
fn nothing_that_is_printed_shows_the_password() {
    let world = World::allocated(Carrier::Datagrams);
    let shown = format!("{:?} {:?}", world.client, credentials());
    assert!(!shown.contains("secret"), "{shown}");
}
