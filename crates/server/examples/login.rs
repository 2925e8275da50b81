//! An application with a log-in of its own, and PeerJS signalling below `/signal` for those who are logged in.
//!
//! ```text
//! cargo run -p peerage-server --example login
//! ```
//!
//! Then <http://localhost:8000>, as `alice` (`wonderland`) or `bob` (`builder`). A user's ids are the user's name, and what begins with it and a dash. Ids that
//! end in `-private` hear from their own user alone.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State as Shared};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use peerage_server::{Admission, Config, ConfigError, Hooks, Message, Passage, SocketId, Visitor};
use serde::Deserialize;

/// A real application keeps hashes, in a database.
const USERS: [(&str, &str); 2] = [("alice", "wonderland"), ("bob", "builder")];

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, signalling) = app(Config::default())?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 8000)).await?;
    // The hooks hear of a client's address if it is told this way.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served?,
        () = signalling.run(std::future::pending()) => {}
    }
    Ok(())
}

/// The application, and the signalling in it: `run` must run beside it.
pub fn app(config: Config) -> Result<(Router, peerage_server::State), ConfigError> {
    let visits = Visits::default();
    let signalling = peerage_server::State::with_hooks(config, visits.clone())?;
    let app = Router::new()
        .route("/", get(page))
        .route("/login", post(login))
        .route("/online", get(online))
        .with_state(visits)
        .nest("/signal", peerage_server::router(signalling.clone()));
    Ok((app, signalling))
}

/// Who is logged in, and whose sockets are open.
#[derive(Clone, Default)]
struct Visits(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// By the cookie's value.
    sessions: HashMap<String, &'static str>,
    online: BTreeMap<SocketId, String>,
}

impl Visits {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().expect("nothing panics while it is held"))
    }

    fn user(&self, headers: &HeaderMap) -> Option<&'static str> {
        let cookies = headers.get(COOKIE)?.to_str().ok()?;
        let session = cookies
            .split("; ")
            .find_map(|cookie| cookie.strip_prefix("session="))?;
        self.with(|inner| inner.sessions.get(session).copied())
    }
}

impl Hooks for Visits {
    async fn connect(&self, visitor: &Visitor<'_>) -> Admission {
        match self.user(visitor.headers) {
            None => Admission::Status(StatusCode::UNAUTHORIZED),
            Some(user) if user == owner(visitor.id) => {
                self.with(|inner| inner.online.insert(visitor.socket, visitor.id.to_owned()));
                Admission::Allow
            }
            Some(_) => Admission::error("This id belongs to another user"),
        }
    }

    fn message(&self, message: &Message<'_>) -> Passage {
        if message.dst.ends_with("-private") && owner(message.src) != owner(message.dst) {
            return Passage::Drop;
        }
        Passage::Relay
    }

    fn disconnect(&self, socket: SocketId, _id: &str) {
        self.with(|inner| inner.online.remove(&socket));
    }
}

/// The user whose id this is, if it is anybody's.
fn owner(id: &str) -> &str {
    id.split_once('-').map_or(id, |(user, _)| user)
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

async fn login(Shared(visits): Shared<Visits>, Form(login): Form<Login>) -> Response {
    let known = USERS
        .iter()
        .find(|(user, password)| *user == login.user && *password == login.password);
    let Some((user, _)) = known else {
        return (StatusCode::FORBIDDEN, "Wrong name or password").into_response();
    };
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let session = format!("{:032x}", u128::from_be_bytes(random));
    // `Strict`: pages of other sites must not open sockets in the user's name. Over https also `Secure`.
    let cookie = format!("session={session}; HttpOnly; SameSite=Strict; Path=/");
    visits.with(|inner| inner.sessions.insert(session, user));
    ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

/// The ids whose sockets are open, in the order in which they came.
async fn online(Shared(visits): Shared<Visits>) -> Json<Vec<String>> {
    Json(visits.with(|inner| inner.online.values().cloned().collect()))
}

async fn page(Shared(visits): Shared<Visits>, headers: HeaderMap) -> Html<String> {
    let body = match visits.user(&headers) {
        Some(user) => format!(
            "<p>Hello {user}. With the PeerJS client on a page of this origin:</p>\n\
             <pre>new Peer('{user}', {{ host: location.hostname, port: location.port, path: '/signal' }})</pre>\n"
        ),
        None => "<form method=post action=/login>\n\
                 <p><input name=user placeholder=Name required> <input name=password type=password placeholder=Password required>\n\
                 <button>Log in</button></form>\n"
            .to_owned(),
    };
    Html(format!(
        "<!doctype html>\n<title>Signalling for users</title>\n{body}"
    ))
}
