//! The wall clock, as statements have it.

use std::time::{Duration, SystemTime};

use peerage_proto::identity::Time;

/// Now. A clock before 1970 counts as 1970: statements then go by the device's nonce.
pub(crate) fn wall() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(millis(since))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
