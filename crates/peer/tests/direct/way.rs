//! A way between two ends that a test can block.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Passes datagrams on, between one port of loopback and whoever sends first.
pub(crate) struct Forwarder {
    blocked: Arc<AtomicBool>,
    from: u16,
    to: u16,
    task: JoinHandle<()>,
}

impl Forwarder {
    pub(crate) async fn to(port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let from = socket.local_addr().unwrap().port();
        let blocked = Arc::<AtomicBool>::default();
        let task = tokio::spawn(pass(socket, port, blocked.clone()));
        Self {
            blocked,
            from,
            to: port,
            task,
        }
    }

    /// The description with this in the place of its owner's address.
    pub(crate) fn led(&self, description: &str) -> String {
        let address = |port| format!(" 127.0.0.1 {port} typ host");
        let led = description.replace(&address(self.to), &address(self.from));
        let is_kept =
            |line: &&str| !line.starts_with("a=candidate:") || line.contains(" 127.0.0.1 ");
        led.lines()
            .filter(is_kept)
            .flat_map(|line| [line, "\r\n"])
            .collect()
    }

    pub(crate) fn block(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(socket: UdpSocket, port: u16, blocked: Arc<AtomicBool>) {
    let owner = SocketAddr::from(([127, 0, 0, 1], port));
    let mut other = None;
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
        let to = match source == owner {
            true => other,
            false => {
                other = Some(source);
                Some(owner)
            }
        };
        if let Some(to) = to
            && !blocked.load(Ordering::Relaxed)
        {
            let _ = socket.send_to(&buffer[..length], to).await;
        }
    }
}

/// The description of somebody whose addresses are not known.
pub(crate) fn without_candidates(description: &str) -> String {
    let lines = description.lines();
    lines
        .filter(|line| !line.starts_with("a=candidate:"))
        .flat_map(|line| [line, "\r\n"])
        .collect()
}
