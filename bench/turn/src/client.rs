//! Clients without sockets: what one asks for, in which order.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::{SystemTime, UNIX_EPOCH};

use peerage_proto::turn::credentials::{Credentials, Key, Secret};
use peerage_proto::wire::statement::Time;
use peerage_proto::wire::stun::{self, Builder, Class, Message, Method, TransactionId};
use peerage_proto::wire::turn::{self, Channel, attribute};

use crate::Outcome;

/// Octets of data of each packet.
pub const DATA: usize = 1000;
/// The same with the head of channel data.
pub const FRAMED: usize = DATA + turn::CHANNEL_HEADER;

/// How far a client has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Without credentials: the answer tells realm and nonce.
    Ask,
    Allocate,
    Bind,
    Release,
    Done,
}

/// What is wanted of clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// An allocation with a channel.
    Channel,
    /// An allocation that is given back.
    Nothing,
}

pub struct Client {
    pub number: usize,
    pub step: Step,
    /// Its address, and its peer's.
    pub ip: Ipv4Addr,
    pub peer: SocketAddrV4,
    /// As the server told.
    pub relay: Option<SocketAddrV4>,
    credentials: Credentials,
    /// Key, realm and nonce, once told.
    signed: Option<(Key, String, Vec<u8>)>,
    goal: Goal,
    asked: u32,
}

impl Client {
    pub fn new(number: usize, goal: Goal, secret: &Secret, peer_port: u16) -> Self {
        // A few to one user: no quota of any server is met.
        let name = format!("user{}", number / 8);
        Self {
            number,
            step: Step::Ask,
            ip: address(1, number),
            peer: SocketAddrV4::new(address(128, number), peer_port),
            relay: None,
            credentials: secret.mint(Some(&name), in_a_day()),
            signed: None,
            goal,
            asked: 0,
        }
    }

    /// Whose answer this is.
    pub fn number_of(message: &Message<'_>) -> usize {
        let TransactionId([a, b, c, d, ..]) = message.transaction_id();
        u32::from_be_bytes([a, b, c, d]) as usize
    }

    /// What is to be sent for the step; the same again until it is answered.
    pub fn request(&self) -> Vec<u8> {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&(self.number as u32).to_be_bytes());
        id[4..8].copy_from_slice(&self.asked.to_be_bytes());
        let new = |method| Builder::new(Class::Request, method, TransactionId(id));
        let request = match self.step {
            Step::Ask | Step::Allocate => {
                new(Method::ALLOCATE).put(attribute::REQUESTED_TRANSPORT, &[turn::UDP, 0, 0, 0])
            }
            Step::Bind => new(Method::CHANNEL_BIND)
                .put(attribute::CHANNEL_NUMBER, &Channel::FIRST.value())
                .xor_address(attribute::XOR_PEER_ADDRESS, self.peer.into()),
            Step::Release | Step::Done => new(Method::REFRESH).number(attribute::LIFETIME, 0),
        };
        match &self.signed {
            None => request.finish(),
            Some((key, realm, nonce)) => request
                .put(
                    stun::attribute::USERNAME,
                    self.credentials.username.as_bytes(),
                )
                .put(stun::attribute::REALM, realm.as_bytes())
                .put(stun::attribute::NONCE, nonce)
                .sign(key.as_bytes())
                .finish(),
        }
    }

    /// Goes on to the next step.
    pub fn answered(&mut self, message: &Message<'_>) -> Outcome<()> {
        let TransactionId([_, _, _, _, number @ .., _, _, _, _]) = message.transaction_id();
        if u32::from_be_bytes(number) != self.asked || self.step == Step::Done {
            // An answer that came twice.
            return Ok(());
        }
        self.asked += 1;
        self.step = match (self.step, message.class()) {
            (Step::Ask, Class::Error) if matches!(message.error(), Some((401, _))) => {
                let realm = message
                    .text(stun::attribute::REALM)
                    .ok_or("no realm")?
                    .to_owned();
                let nonce = message
                    .attribute(stun::attribute::NONCE)
                    .ok_or("no nonce")?
                    .to_vec();
                self.signed = Some((self.credentials.key(&realm), realm, nonce));
                Step::Allocate
            }
            // The bare relay takes everybody at once.
            (Step::Ask | Step::Allocate, Class::Success) => {
                self.relay = match message.xor_address(attribute::XOR_RELAYED_ADDRESS) {
                    Some(SocketAddr::V4(relay)) => Some(relay),
                    _ => return Err("no relayed address".into()),
                };
                match self.goal {
                    Goal::Channel => Step::Bind,
                    Goal::Nothing => Step::Release,
                }
            }
            (Step::Bind | Step::Release, Class::Success) => Step::Done,
            (step, _) => {
                return Err(
                    format!("client {} at {step:?}: {:?}", self.number, message.error()).into(),
                );
            }
        };
        Ok(())
    }
}

/// Of 10.0.0.0/8, from a network that is the caller's alone.
fn address(network: u8, number: usize) -> Ipv4Addr {
    let [.., a, b, c] = (number as u32 + 1).to_be_bytes();
    Ipv4Addr::new(10, network + a, b, c)
}

fn in_a_day() -> Time {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time(now.as_millis() as u64 + 86_400_000)
}
