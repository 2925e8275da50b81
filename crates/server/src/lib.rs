//! The server of Peerage: PeerJS signalling that stock clients use unmodified, and one web origin per device with the page that opens it.
//!
//! It brokers connections and sees who calls whom; what peers say to each other goes past it. It stores nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), peerage_server::BindError> {
//! use peerage_server::{Config, Server};
//!
//! let server = Server::bind(Config::default()).await?;
//! println!("listening on {}", server.local_addr());
//! server.run(std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`router`] gives the same service for an [`axum`] application of your own, below a path of it; PeerJS clients name that path. [`Hooks`] let it say who
//! may connect and what is relayed, [`Config`] has every setting.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::net::SocketAddr;
//!
//! use peerage_server::{Config, State, router};
//!
//! let state = State::new(Config::default())?;
//! let app = axum::Router::new().nest("/signal", router(state.clone()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! tokio::select! {
//!     // With the clients' addresses: rooms and limits by address need them.
//!     served = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).into_future() => served?,
//!     // Without this nothing expires, and nobody is closed for silence.
//!     () = state.run(std::future::pending()) => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/login.rs` in this crate is a whole application: log-in, hooks, a list of who is there.

mod address;
mod alarm;
mod bundle;
mod callers;
mod config;
mod directory;
mod hooks;
mod host;
#[cfg(feature = "hub")]
pub mod hub;
mod metrics;
mod nearby;
mod rations;
mod routes;
mod server;
mod state;
mod switchboard;
pub mod testing;
mod tls;
mod turn;
mod websocket;

pub use config::{Config, ConfigError, Cors, IceSecret, IceServer, TlsFiles};
pub use hooks::{Admission, Hooks, Message, Passage, SocketId, Visitor};
pub use peerage_proto::names::Config as NamesConfig;
pub use peerage_proto::nearby::{Config as NearbyConfig, Secret as NearbySecret};
pub use peerage_proto::signal::Config as SignalConfig;
pub use peerage_proto::turn::credentials::Secret as TurnSecret;
pub use peerage_proto::turn::server::Transport as TurnTransport;
pub use peerage_proto::wire::forwarded::Header as ProxyHeader;
pub use peerage_proto::wire::signal::Kind;
pub use routes::{device_origins, router};
pub use server::{BindError, Server};
pub use state::State;
pub use tls::TlsError;
pub use turn::{TurnConfig, TurnError, TurnPlaces, TurnStats};
