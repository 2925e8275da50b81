//! A web app for tests, which remembers what it was asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use peerage_peer::proxy::{Body, NamedCertificates, Proxy, Settings, Target};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// The device's origin in all tests.
pub(crate) const ORIGIN: &str = "http://device.localhost:9000";

/// A server that answers every request with fixed octets and keeps what it read.
pub(crate) struct WebApp {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl WebApp {
    /// Answers every request with these octets, then closes the connection.
    pub(crate) async fn answering(octets: &'static str) -> Self {
        Self::running(move |mut socket| async move {
            socket.write_all(octets.as_bytes()).await.unwrap();
        })
        .await
    }

    /// Answers each request with what is made of its head, then closes the connection.
    pub(crate) async fn replying(reply: fn(&str) -> String) -> Self {
        Self::with_heads(move |mut socket, head| async move {
            let octets = reply(&head);
            socket.write_all(octets.as_bytes()).await.unwrap();
        })
        .await
    }

    /// Hands each connection to `serve`, once the head of its request was read.
    pub(crate) async fn running<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        Self::with_heads(move |socket, _| serve(socket)).await
    }

    async fn with_heads<F, R>(serve: F) -> Self
    where
        F: Fn(TcpStream, String) -> R + Clone + Send + 'static,
        R: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (serve, log) = (serve.clone(), log.clone());
                tokio::spawn(async move {
                    let head = read_head(&mut socket).await;
                    let head = String::from_utf8_lossy(&head).into_owned();
                    log.lock().unwrap().push(head.clone());
                    serve(socket, head).await;
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn proxy(&self) -> Proxy {
        proxy(&self.url())
    }
}

/// Reads up to and with the empty line; what the body sent along is left out.
async fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(octet) => head.push(octet),
            Err(_) => break,
        }
    }
    head
}

pub(crate) fn proxy(target: &str) -> Proxy {
    proxy_with(target, &Settings::default())
}

pub(crate) fn proxy_with(target: &str, settings: &Settings) -> Proxy {
    let target = Target::parse(target, NamedCertificates::default()).unwrap();
    Proxy::new(target, &Url::parse(ORIGIN).unwrap(), settings).unwrap()
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    ask(Method::GET, path, &[])
}

pub(crate) fn ask(method: Method, path: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

pub(crate) fn post(
    path: &str,
    fields: &[(&str, &str)],
    body: &'static str,
) -> Request<Full<Bytes>> {
    ask(Method::POST, path, fields).map(|_| Full::from(body))
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let octets = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(octets.to_vec()).unwrap()
}

pub(crate) fn field<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}
