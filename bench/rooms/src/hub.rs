//! The library's hub, as an application has it. Its limits are those that a bench does not mean to measure.

use peerage_server::hub::{Addresses, Hub, HubLimits, routes};

use crate::Outcome;

pub async fn serve() -> Outcome<()> {
    let limits = HubLimits {
        half_open_per_address: 512,
        offer_rate: 10_000,
        offer_burst: 10_000,
        message_rate: 100_000,
        message_burst: 100_000,
        ..HubLimits::default()
    };
    let hub = Hub::builder()
        .addresses(Addresses::Loopback)
        .limits(limits)
        .open()
        .await?;
    crate::listen(routes(&hub)).await
}
