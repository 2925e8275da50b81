//! What all WebSockets of a server may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets of one socket, in one direction, that are not counted: busy sockets with small messages share nothing, and who holds this little is not made to
/// pay for others.
const FREE: usize = 16 * 1024;

/// Octets held beyond each socket's free ones.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            limit,
        })
    }
}

/// What one socket, or the body of one request, holds in one direction; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    counted: usize,
}

impl Share {
    pub(crate) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, counted: 0 }
    }

    /// So many octets, none of them free; none when that is more than there is.
    #[cfg(feature = "hub")]
    pub(crate) fn take(budget: &Arc<Budget>, octets: usize) -> Option<Self> {
        let mut share = Self::new(budget.clone());
        share.resize(octets.saturating_add(FREE)).then_some(share)
    }

    /// The socket holds this much now; false, and nothing has changed, when that is more than there is.
    pub(crate) fn resize(&mut self, octets: usize) -> bool {
        let counted = octets.saturating_sub(FREE);
        let Budget { held, limit } = &*self.budget;
        if counted > self.counted {
            let more = counted - self.counted;
            let reserved = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more).filter(|sum| sum <= limit)
            });
            if reserved.is_err() {
                return false;
            }
        } else if counted < self.counted {
            held.fetch_sub(self.counted - counted, Ordering::Relaxed);
        }
        self.counted = counted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_share_what_they_hold_beyond_their_free_octets() {
        let budget = Budget::new(100);
        let mut one = Share::new(budget.clone());
        let mut two = Share::new(budget.clone());
        assert!(one.resize(FREE + 60));
        assert!(two.resize(FREE + 40));
        assert!(!two.resize(FREE + 41));
        assert!(two.resize(FREE));
        assert!(one.resize(FREE + 100));
        drop((one, two));
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
