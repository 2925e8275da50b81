//! `.local` candidates: browsers hide their addresses behind one-time mDNS names (draft-ietf-mmusic-mdns-ice-candidates).

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use mdns_sd::{HostnameResolutionEvent, ServiceDaemon};
use tokio::sync::Semaphore;

/// A browser answers rarely; a name that has not come by then is left to peer-reflexive discovery.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Lookups at a time in this process; more are dropped, since names are guesses of the peer's until they resolve.
const LOOKUPS: usize = 64;

/// Whether this is a name that a browser makes up: a UUID under `.local`. Others are not asked for: what machines there are is not the peer's to probe.
pub(super) fn is_hidden_name(name: &str) -> bool {
    name.strip_suffix(".local").is_some_and(|uuid| {
        uuid.len() == 36
            && uuid.bytes().enumerate().all(|(i, b)| {
                if matches!(i, 8 | 13 | 18 | 23) {
                    b == b'-'
                } else {
                    b.is_ascii_hexdigit()
                }
            })
    })
}

/// The address behind a hidden name, or `None` after 8 s, when too many are asked for, or where mDNS does not work.
pub(super) async fn resolve(name: &str) -> Option<IpAddr> {
    static RUNNING: Semaphore = Semaphore::const_new(LOOKUPS);
    let _permit = RUNNING.try_acquire().ok()?;
    let daemon = daemon()?;
    let query = format!("{name}.");
    let events = daemon
        .resolve_hostname(&query, Some(TIMEOUT.as_millis() as u64))
        .ok()?;
    let found = tokio::time::timeout(TIMEOUT, async {
        loop {
            match events.recv_async().await.ok()? {
                HostnameResolutionEvent::AddressesFound(_, addresses) => {
                    if let Some(address) = addresses.into_iter().next() {
                        return Some(address.to_ip_addr());
                    }
                }
                HostnameResolutionEvent::SearchTimeout(_)
                | HostnameResolutionEvent::SearchStopped(_) => return None,
                _ => {}
            }
        }
    })
    .await;
    // Names are one-time: keep nothing of them.
    let _ = daemon.stop_resolve_hostname(&query);
    found.ok().flatten()
}

/// One daemon for the process, started with the first lookup: it listens and sends on every interface.
fn daemon() -> Option<&'static ServiceDaemon> {
    static DAEMON: OnceLock<Option<ServiceDaemon>> = OnceLock::new();
    DAEMON
        .get_or_init(|| {
            ServiceDaemon::new().inspect_err(|error| tracing::warn!(%error, "mDNS is not available: .local candidates are ignored")).ok()
        })
        .as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_browsers_make_up_are_asked_for() {
        assert!(is_hidden_name("0b9c1c5e-6f6b-4d0a-9d4e-2a2f1f0e9a77.local"));
        for name in [
            "printer.local",
            "0b9c1c5e-6f6b-4d0a-9d4e-2a2f1f0e9a77",
            "0b9c1c5e-6f6b-4d0a-9d4e-2a2f1f0e9a7g.local",
            ".local",
        ] {
            assert!(!is_hidden_name(name), "{name}");
        }
    }
}
