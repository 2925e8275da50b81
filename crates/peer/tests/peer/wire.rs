//! The wire between peers on this machine, for tests to cut: candidates on their way are rewritten to sockets that pass datagrams on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use peerage_proto::wire::signal::{CandidatePayload, Frame, Kind};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::relay::Relay;

/// All paths between the peers of a [`Relay`].
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What stands for a peer's address, by that address.
    stands_for: HashMap<SocketAddr, Arc<UdpSocket>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Wire {
    /// Between all peers of this server, from now on; they have no other path.
    pub(super) fn between(relay: &Relay) -> Self {
        let wire = Self::default();
        let rewriting = wire.clone();
        relay.tamper(move |frame| rewriting.rewrite(frame));
        wire
    }

    /// Cuts what is there. Addresses that are told later are reached by new sockets.
    pub(super) fn cut(&self) {
        let mut state = self.0.lock().unwrap();
        state.stands_for.clear();
        state.tasks.drain(..).for_each(|task| task.abort());
    }

    fn rewrite(&self, mut frame: Frame) -> Vec<Frame> {
        if frame.kind != Kind::Candidate {
            return vec![frame];
        }
        let mut payload = CandidatePayload::parse(frame.payload.as_deref().unwrap()).unwrap();
        let mut fields: Vec<_> = payload.candidate.candidate.split(' ').collect();
        let Ok(address) = format!("{}:{}", fields[4], fields[5]).parse::<SocketAddr>() else {
            return vec![];
        };
        if !address.ip().is_loopback() || address.is_ipv6() {
            return vec![];
        }
        let port = self.stand_in(address).port().to_string();
        fields[5] = &port;
        payload.candidate.candidate = fields.join(" ");
        frame.payload = Some(payload.to_raw());
        vec![frame]
    }

    /// The socket that the other side reaches this address by.
    fn stand_in(&self, address: SocketAddr) -> SocketAddr {
        let mut state = self.0.lock().unwrap();
        if let Some(socket) = state.stands_for.get(&address) {
            return socket.local_addr().unwrap();
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = Arc::new(UdpSocket::from_std(socket).unwrap());
        state.stands_for.insert(address, socket.clone());
        let (wire, told) = (self.clone(), socket.local_addr().unwrap());
        state
            .tasks
            .push(tokio::spawn(wire.pass_on(socket, address)));
        told
    }

    /// What comes to the stand-in of `to` goes there, from the stand-in of who sent it.
    async fn pass_on(self, socket: Arc<UdpSocket>, to: SocketAddr) {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let sender = self.0.lock().unwrap().stands_for.get(&from).cloned();
            if let Some(sender) = sender {
                let _ = sender.send_to(&buffer[..length], to).await;
            }
        }
    }
}
