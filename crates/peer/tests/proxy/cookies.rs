//! The jar at the device: through a link, as a browser side uses it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use peerage_peer::{
    Channel,
    http::{Body, Client, serve},
    proxy::{Proxy, Settings},
};
use peerage_proto::{
    identity::{PublicKey, SigningKey},
    jar::State,
    wire::cookie::{CookieState, Listing},
};

use crate::target::{WebApp, field, proxy_with};

/// A shop with a login: `/login` gives a session that scripts cannot see, `/me` wants it, `/set?LINE` sets a cookie, `/none` does nothing.
fn shop(head: &str) -> String {
    let path = head.split(' ').nth(1).unwrap();
    let cookies = |name: &str| {
        head.lines()
            .any(|line| line.starts_with("cookie:") && line.contains(name))
    };
    let (status, fields) = match path.split_once('?').unwrap_or((path, "")) {
        ("/login", _) => (
            "303 See",
            "location: /me\r\nset-cookie: sid=hush4711; HttpOnly; Path=/\r\nset-cookie: user=ann; Path=/\r\n"
                .to_owned(),
        ),
        ("/me", _) if cookies("sid=hush4711") => ("200 OK", String::new()),
        ("/me", _) => ("401 No", String::new()),
        ("/set", line) => (
            "200 OK",
            line.split('&')
                .map(|line| format!("set-cookie: {}\r\n", line.replace('+', " ")))
                .collect(),
        ),
        ("/fake", _) => ("200 OK", "peerage-cookie: *\r\n".to_owned()),
        _ => ("200 OK", String::new()),
    };
    format!("HTTP/1.1 {status}\r\n{fields}content-length: 0\r\nconnection: close\r\n\r\n")
}

struct Caller {
    client: Client,
    /// Every octet of every message of the link, both ways.
    crossed: Arc<Mutex<Vec<u8>>>,
}

fn key(number: u8) -> PublicKey {
    let key = SigningKey::from_bytes(&[number; 32]).unwrap();
    key.public_key().clone()
}

impl Caller {
    /// Over a link with a listener in its middle.
    fn new(proxy: &Proxy, number: u8) -> Self {
        let (caller, left) = Channel::pair("peerage-http");
        let (right, callee) = Channel::pair("peerage-http");
        tokio::spawn(serve(callee, proxy.for_caller(&key(number))));
        let crossed = Arc::new(Mutex::new(Vec::new()));
        let ((to_caller, from_caller), (to_device, from_device)) = (left.split(), right.split());
        for (mut from, to) in [(from_caller, to_device), (from_device, to_caller)] {
            let crossed = crossed.clone();
            tokio::spawn(async move {
                while let Some(message) = from.recv().await {
                    crossed
                        .lock()
                        .unwrap()
                        .extend_from_slice(message.as_bytes());
                    if to.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
        let client = Client::new(caller);
        Self { client, crossed }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        self.client
            .request(request.body(body).unwrap())
            .await
            .unwrap()
    }

    /// A request of the app's own pages, with the jar.
    async fn get(&self, path: &str) -> Response<Body> {
        self.ask(Method::GET, path, &[("peerage-cookies", "jar")], "")
            .await
    }

    /// The jar's news of a response: `name=value`, or `name gone`.
    async fn news(&self, path: &str) -> Vec<String> {
        states(&self.get(path).await).iter().map(brief).collect()
    }

    async fn list(&self) -> Listing {
        listing(self.get("/__peerage/cookies").await).await
    }

    async fn script(&self, changes: &[(&str, &str)]) -> Listing {
        let changes: Vec<_> = changes
            .iter()
            .map(|(path, cookie)| serde_json::json!({ "path": path, "cookie": cookie }))
            .collect();
        let body = serde_json::json!({ "changes": changes }).to_string();
        let fields = [
            ("peerage-cookies", "jar"),
            ("content-type", "application/json"),
        ];
        listing(
            self.ask(Method::POST, "/__peerage/cookies", &fields, &body)
                .await,
        )
        .await
    }
}

fn states(response: &Response<Body>) -> Vec<CookieState> {
    let fields = response.headers().get_all("peerage-cookie").iter();
    fields
        .map(|value| CookieState::parse(value.to_str().unwrap()).unwrap())
        .collect()
}

fn brief(state: &CookieState) -> String {
    match &state.value {
        Some(value) => format!("{}={value}", state.name),
        None => format!("{} gone", state.name),
    }
}

fn briefs(listing: &Listing) -> Vec<String> {
    listing.cookies.iter().map(brief).collect()
}

async fn listing(response: Response<Body>) -> Listing {
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// The `cookie` field of the last request that the app got.
fn last_cookie(app: &WebApp) -> Option<String> {
    let seen = app.seen().pop().unwrap();
    assert!(!seen.contains("peerage-"), "{seen}");
    let mut cookies = seen
        .lines()
        .filter_map(|line| line.strip_prefix("cookie: "));
    let cookie = cookies.next().map(str::to_owned);
    assert_eq!(cookies.next(), None, "one field");
    cookie
}

#[tokio::test]
async fn a_login_holds_and_its_http_only_session_never_crosses_the_link() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    assert_eq!(caller.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    let response = caller.get("/login").await;
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(
        states(&response).iter().map(brief).collect::<Vec<_>>(),
        ["user=ann"]
    );
    assert_eq!(caller.get("/me").await.status(), StatusCode::OK);
    assert_eq!(last_cookie(&app).unwrap(), "sid=hush4711; user=ann");
    assert_eq!(briefs(&caller.list().await), ["user=ann"]);
    let answer = caller
        .script(&[("/", "sid=; Max-Age=0"), ("/", "user=bob")])
        .await;
    assert_eq!(briefs(&answer), ["sid gone", "user=bob"]);
    assert_eq!(caller.get("/me").await.status(), StatusCode::OK);
    let crossed = caller.crossed.lock().unwrap();
    let crossed = String::from_utf8_lossy(&crossed);
    assert!(crossed.contains("ann") && crossed.contains("/__peerage/cookies"));
    assert!(!crossed.contains("hush"), "{crossed}");
}

#[tokio::test]
async fn callers_have_cookies_of_their_own_and_a_caller_has_the_same_over_every_link() {
    let app = WebApp::replying(shop).await;
    let proxy = app.proxy();
    let (one, two, one_again) = (
        Caller::new(&proxy, 1),
        Caller::new(&proxy, 2),
        Caller::new(&proxy, 1),
    );
    one.get("/login").await;
    assert_eq!(two.get("/me").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(last_cookie(&app), None);
    assert_eq!(briefs(&two.list().await), [""; 0]);
    assert_eq!(one_again.get("/me").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_the_opt_in_field_everything_passes_as_it_is_and_the_jar_is_not_touched() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    caller.get("/set?a=1").await;
    for fields in [
        &[("cookie", "b=2")][..],
        &[("cookie", "b=2"), ("peerage-cookies", "no")],
    ] {
        let response = caller.ask(Method::GET, "/set?c=3&d=4", fields, "").await;
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert!(!response.headers().contains_key("peerage-cookie"));
        assert_eq!(last_cookie(&app).unwrap(), "b=2");
    }
    caller.get("/none").await;
    assert_eq!(last_cookie(&app).unwrap(), "a=1");
}

#[tokio::test]
async fn with_it_the_jar_alone_decides_what_the_target_gets() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    let fields = [
        ("peerage-cookies", "jar"),
        ("cookie", "sid=mine"),
        ("cookie", "b=2"),
    ];
    caller.ask(Method::GET, "/none", &fields, "").await;
    assert_eq!(last_cookie(&app), None);
    caller.get("/set?a=1").await;
    caller.ask(Method::GET, "/none", &fields, "").await;
    assert_eq!(last_cookie(&app).unwrap(), "a=1");
}

#[tokio::test]
async fn a_proxy_that_does_not_know_its_caller_keeps_no_jar() {
    let app = WebApp::replying(shop).await;
    let request = |path: &str| crate::target::ask(Method::GET, path, &[("peerage-cookies", "jar")]);
    let response = app.proxy().answer(request("/set?a=1")).await;
    assert_eq!(field(&response, "set-cookie"), Some("a=1"));
    assert_eq!(last_cookie(&app), None);
    let response = app.proxy().answer(request("/__peerage/cookies")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_target_cannot_fake_news_of_the_jar() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    for fields in [&[][..], &[("peerage-cookies", "jar")]] {
        let response = caller.ask(Method::GET, "/fake", fields, "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("peerage-cookie"));
    }
}

#[tokio::test]
async fn what_another_site_led_to_gets_what_same_site_allows() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    caller
        .get("/set?s=1;SameSite=Strict&l=1;SameSite=Lax&n=1;SameSite=None;Secure&u=1")
        .await;
    for (method, site, mode, wanted) in [
        (
            Method::GET,
            "same-origin",
            "cors",
            Some("s=1; l=1; n=1; u=1"),
        ),
        (
            Method::POST,
            "same-origin",
            "cors",
            Some("s=1; l=1; n=1; u=1"),
        ),
        (Method::GET, "none", "navigate", Some("s=1; l=1; n=1; u=1")),
        (Method::GET, "cross-site", "navigate", Some("l=1; n=1; u=1")),
        (Method::GET, "same-site", "navigate", Some("l=1; n=1; u=1")),
        (Method::HEAD, "cross-site", "navigate", None),
    ] {
        let fields = [
            ("peerage-cookies", "jar"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", mode),
        ];
        let response = caller.ask(method.clone(), "/none", &fields, "").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(last_cookie(&app).as_deref(), wanted, "{method} {site}");
    }
}

#[tokio::test]
async fn news_come_with_the_response_that_caused_them_and_stamps_rise() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    let first = states(&caller.get("/set?a=1;Max-Age=60").await).remove(0);
    let listed = caller.list().await;
    assert_eq!(first, listed.cookies[0]);
    let left = first.expires.unwrap().0 - listed.now.0;
    assert!((1..=60_000).contains(&left), "{left}");
    let second = states(&caller.get("/set?a=2").await).remove(0);
    assert!(second.stamp > first.stamp && second.created == first.created);
    assert_eq!(caller.news("/set?a=2").await, [""; 0]);
    assert_eq!(
        caller.news("/set?a=;Max-Age=0&b=1").await,
        ["a gone", "b=1"]
    );
    assert_eq!(caller.news("/none").await, [""; 0]);
    let many: Vec<String> = (0..33).map(|number| format!("c{number}=1")).collect();
    let response = caller.get(&format!("/set?{}", many.join("&"))).await;
    let fields: Vec<_> = response
        .headers()
        .get_all("peerage-cookie")
        .iter()
        .collect();
    assert_eq!(fields, ["*"]);
    assert_eq!(caller.list().await.cookies.len(), 34);
}

#[tokio::test]
async fn changes_by_scripts_are_made_in_their_order() {
    let app = WebApp::replying(shop).await;
    let caller = Caller::new(&app.proxy(), 1);
    let answer = caller
        .script(&[
            ("/shop/list", "a=1"),
            ("/shop/list", "a=2"),
            ("/", "b=1"),
            ("/", "b=; Max-Age=0"),
        ])
        .await;
    assert_eq!(briefs(&answer), ["a=2", "b gone"]);
    assert_eq!(answer.cookies[0].path, "/shop");
    caller.get("/shop/x").await;
    assert_eq!(last_cookie(&app).unwrap(), "a=2");
    caller.get("/").await;
    assert_eq!(last_cookie(&app), None);
}

#[tokio::test]
async fn cookies_are_there_when_the_device_starts_again() {
    let app = WebApp::replying(shop).await;
    let proxy = app.proxy();
    let cookies = proxy.cookies().unwrap();
    let mut changes = cookies.changes();
    Caller::new(&proxy, 1).get("/login").await;
    assert!(
        changes.has_changed().unwrap(),
        "there is something to store"
    );
    changes.mark_unchanged();
    let settings = Settings {
        cookies: State::parse(&cookies.state().emit()).unwrap(),
        ..Settings::default()
    };
    let proxy = proxy_with(&app.url(), &settings);
    let caller = Caller::new(&proxy, 1);
    assert_eq!(caller.get("/me").await.status(), StatusCode::OK);
    assert!(!changes.has_changed().unwrap(), "asking stores nothing");
    let other = Caller::new(&proxy, 2);
    assert_eq!(other.get("/me").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_base_path_is_not_part_of_a_cookies_path() {
    let app = WebApp::replying(|_| {
        "HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/app/x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    })
    .await;
    let proxy = crate::target::proxy(&format!("{}/app", app.url()));
    let caller = Caller::new(&proxy, 1);
    let news = states(&caller.get("/").await);
    assert_eq!(news[0].path, "/x");
    caller.get("/x/y").await;
    assert_eq!(last_cookie(&app).unwrap(), "a=1");
}
