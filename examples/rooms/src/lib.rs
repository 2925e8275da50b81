//! What the four examples share: their options, and the server of a page beside the hub's routes.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use clap::Args;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use peerage_server::hub::{Addresses, Hub, HubBuilder, routes};
use tokio::net::TcpListener;

/// Why an example does not begin, and what to do where the reason is a port that is taken.
pub const NO_ROOMS: &str = "the rooms cannot be opened; --port names another port";

/// Where an example is to be found.
#[derive(Args, Clone, Copy, Debug)]
pub struct Listen {
    /// Port of the page, and of the rooms over UDP; 0: any that is free
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// Address to listen at; 0.0.0.0 lets others of the network in
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
}

/// The files of an example.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// At `/`.
    pub html: &'static str,
    /// At `/page.css`.
    pub css: &'static str,
    /// At `/page.js`.
    pub js: &'static str,
}

/// The page in `pages/NAME`.
#[macro_export]
macro_rules! page {
    ($name:literal) => {
        $crate::Page {
            html: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/pages/",
                $name,
                "/index.html"
            )),
            css: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/pages/",
                $name,
                "/page.css"
            )),
            js: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/pages/",
                $name,
                "/page.js"
            )),
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// No script and no style but the page's own files, nothing from or to another place: should a peer's words ever come out as HTML, they do nothing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

impl Listen {
    /// A hub at the same address.
    #[must_use]
    pub fn hub(&self) -> HubBuilder {
        Hub::builder().port(self.port).addresses(self.addresses())
    }

    fn addresses(&self) -> Addresses {
        match self.host {
            host if host.is_unspecified() => Addresses::AllAndLoopback,
            host if host.is_loopback() => Addresses::Loopback,
            host => Addresses::Only(vec![host]),
        }
    }

    /// Serves the page, the hub's routes and the example's own, until the process is told to end or `ended` resolves. Prints where.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub async fn serve(
        &self,
        name: &str,
        page: Page,
        hub: Hub,
        own: Router,
        ended: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let at = (self.host, self.port);
        let listener = TcpListener::bind(at).await.with_context(|| {
            format!(
                "cannot listen at {}:{}; --port names another port",
                at.0, at.1
            )
        })?;
        let port = listener.local_addr()?.port();
        writeln!(io::stdout(), "{name}: http://localhost:{port}")?;
        let app = files(page)
            .merge(own)
            .layer(map_response(guarded))
            .merge(routes(&hub))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::select! {
            served = axum::serve(listener, app).into_future() => served?,
            told = told_to_end() => told?,
            () = ended => {}
        }
        hub.close().await;
        Ok(())
    }
}

/// The page, what all pages share, and the room client as npm has it.
fn files(page: Page) -> Router {
    let file = |content_type, text: &'static str| {
        get(async move || ([(CONTENT_TYPE, content_type)], text))
    };
    Router::new()
        .route("/", file(HTML, page.html))
        .route("/page.css", file(STYLE, page.css))
        .route("/page.js", file(SCRIPT, page.js))
        .route("/room.css", file(STYLE, include_str!("../pages/room.css")))
        .route("/room.js", file(SCRIPT, include_str!("../pages/room.js")))
        .route(
            "/rooms.js",
            file(
                SCRIPT,
                include_str!("../../../packages/client/dist/rooms.global.js"),
            ),
        )
}

async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Ctrl-C, and SIGTERM where there is one.
#[cfg(unix)]
async fn told_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        told = tokio::signal::ctrl_c() => told,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn told_to_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
