//! A TURN client and a server that says anything.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerage_proto::turn::client::{
    Carrier, Client, Config, MAX_PEERS, MAX_WAITING, Output, Received,
};
use peerage_proto::turn::credentials::Credentials;
use peerage_proto::wire::ice_url::IceUrl;
use peerage_proto::wire::stun::{self, Builder, Class, Message};
use peerage_proto::wire::turn::{attribute, frame_length};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::script::{Script, epoch};

/// Answers that fit, answers that do not, data and junk, between a shell's wishes and time. Nothing is sent that is not one frame; data comes only from peers
/// that are permitted; what is sent of its own accord is bounded.
pub fn turn_client(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let carrier = [Carrier::Datagrams, Carrier::Stream][usize::from(script.u8()) % 2];
    let mut client = Client::new(Config::new(carrier), StdRng::seed_from_u64(1));
    let credentials = Credentials {
        username: "1:a".into(),
        password: "p".into(),
    };
    let key = credentials.key("r");
    let mut requests: VecDeque<Vec<u8>> = VecDeque::new();
    let mut wanted: Vec<IpAddr> = Vec::new();
    let mut out = Vec::new();
    while !script.is_empty() {
        let before = requests.len();
        match script.u8() % 16 {
            0 => client.learn_mapping(now),
            1 => client.allocate(credentials.clone(), now),
            2 => client.delete(now),
            3 | 4 => {
                let ip = ip(script.u8());
                if client.permit(ip, now) {
                    wanted.push(ip);
                }
            }
            5 => {
                let ip = ip(script.u8());
                client.forget(ip);
                if let Some(at) = wanted.iter().position(|known| *known == ip) {
                    wanted.swap_remove(at);
                }
            }
            6 => client.bind(peer(script.u8()), now),
            7 => {
                let peer = peer(script.u8());
                if client.send(peer, script.octets(), &mut out) {
                    assert!(wanted.contains(&peer.ip()));
                    is_frame(&out, carrier);
                }
            }
            8 => {
                now += Duration::from_millis(u64::from(script.u16()));
                client.handle_timeout(now);
            }
            9 | 10 => {
                if let Some(due) = client.poll_timeout() {
                    now = now.max(due);
                    client.handle_timeout(now);
                    assert!(client.poll_timeout().is_none_or(|due| due > now));
                }
            }
            11 => {
                let received = client.handle_datagram(script.octets(), now);
                is_wanted(&received, &wanted);
            }
            kind => {
                let at = usize::from(script.u8()) % requests.len().max(1);
                let Some(request) = requests.get(at) else {
                    continue;
                };
                let answer = answer(request, kind, &mut script, key.as_bytes());
                let received = client.handle_datagram(&answer, now);
                is_wanted(&received, &wanted);
            }
        }
        while let Some(output) = client.poll_output() {
            match output {
                Output::Send(octets) => {
                    is_frame(&octets, carrier);
                    requests.push_back(octets);
                }
                Output::Allocated(relays) => assert!((1..=2).contains(&relays.len())),
                _ => {}
            }
        }
        assert!(requests.len() - before <= 8 * MAX_PEERS + MAX_WAITING);
        while requests.len() > 64 {
            requests.pop_front();
        }
    }
}

/// The URL of a server. What passes is written so that it is read as the same.
pub fn ice_url(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else {
        return;
    };
    if let Ok(url) = text.parse::<IceUrl>() {
        assert_eq!(url.to_string().parse(), Ok(url));
    }
}

fn is_wanted(received: &Received<'_>, wanted: &[IpAddr]) {
    if let Received::Data { peer, .. } = received {
        assert!(wanted.contains(&peer.ip()));
    }
}

fn is_frame(octets: &[u8], carrier: Carrier) {
    let length = frame_length(octets).expect("a frame").expect("whole");
    match carrier {
        Carrier::Stream => assert_eq!(length, octets.len()),
        Carrier::Datagrams => assert!(length >= octets.len() && length < octets.len() + 4),
    }
}

fn answer(request: &[u8], kind: u8, script: &mut Script<'_>, key: &[u8]) -> Vec<u8> {
    let Ok(message) = Message::parse(request) else {
        return script.octets().to_vec();
    };
    let start = |class| Builder::new(class, message.method(), message.transaction_id());
    let flags = script.u8();
    let mut builder = match kind {
        12 => start(Class::Error)
            .error(300 + script.u16() % 400, "no")
            .put(stun::attribute::REALM, b"r")
            .put(stun::attribute::NONCE, &[flags]),
        13 => start(Class::Error)
            .error([401, 438, 437, 440, 403][usize::from(flags) % 5], "no")
            .put(stun::attribute::REALM, b"r")
            .put(stun::attribute::NONCE, &[flags]),
        _ => start(Class::Success).xor_address(stun::attribute::XOR_MAPPED_ADDRESS, peer(flags)),
    };
    if flags & 1 != 0 {
        builder = builder.xor_address(attribute::XOR_RELAYED_ADDRESS, peer(flags));
    }
    if flags & 2 != 0 {
        builder = builder.number(attribute::LIFETIME, u32::from(script.u16()));
    }
    if flags & 4 == 0 {
        builder = builder.sign(key);
    }
    builder.finish()
}

fn ip(number: u8) -> IpAddr {
    match number % 3 {
        0 => IpAddr::from([0, 0, 0, 0, 0, 0, 0, u16::from(number)]),
        _ => IpAddr::from([10, 0, 0, number]),
    }
}

fn peer(number: u8) -> SocketAddr {
    SocketAddr::new(ip(number), 1 + u16::from(number & 1))
}
