//! A way between two ends that a test can block.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UdpSocket;
use tokio::task::{JoinHandle, JoinSet};

/// Passes datagrams on, between one port of loopback and whoever sends.
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

/// As a NAT would: who comes first from somewhere gets a socket towards the port.
async fn pass(socket: UdpSocket, port: u16, blocked: Arc<AtomicBool>) {
    let socket = Arc::new(socket);
    let mut ways = HashMap::new();
    let mut back = JoinSet::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
        if let Entry::Vacant(entry) = ways.entry(source) {
            let way = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            way.connect(("127.0.0.1", port)).await.unwrap();
            let (socket, from, blocked) = (socket.clone(), way.clone(), blocked.clone());
            back.spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                loop {
                    // Nobody is there any more, or again.
                    let Ok(length) = from.recv(&mut buffer).await else {
                        continue;
                    };
                    if !blocked.load(Ordering::Relaxed) {
                        let _ = socket.send_to(&buffer[..length], source).await;
                    }
                }
            });
            entry.insert(way);
        }
        if !blocked.load(Ordering::Relaxed) {
            let _ = ways[&source].send(&buffer[..length]).await;
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
