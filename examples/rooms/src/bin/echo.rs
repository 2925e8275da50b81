//! Echo: a handler sends back what it is told, to who said it. See `examples/rooms/README.md`.

use anyhow::Context;
use clap::Parser;
use peerage_room_examples::{Listen, NO_ROOMS, page};
use peerage_server::hub::Data;

/// Rooms that answer
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Options { listen } = Options::parse();
    let hub = listen.hub().open().await.context(NO_ROOMS)?;
    let server = hub.broadcaster();
    hub.on("echo", move |message| {
        if let Data::Json(said) = message.data {
            server.emit_to(&message.room, &message.from, "echo", said);
        }
        async {}
    });
    let own = axum::Router::new();
    listen
        .serve("Echo", page!("echo"), hub, own, std::future::pending())
        .await
}
