//! The local API that stood behind the old proxies when they were recorded.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peerage_peer::proxy::Proxy;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::target::proxy;

/// What the API saw of a request: method, path with query, `content-type`, body.
pub(super) type Seen = (String, String, Option<String>, String);

#[derive(Clone)]
pub(super) struct Device {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// `/api/slow` is answered once a permit is added.
    pub(super) slow: Arc<Semaphore>,
}

impl Device {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let device = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            seen: Arc::default(),
            slow: Arc::new(Semaphore::new(0)),
        };
        let api = device.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let api = api.clone();
                let service = service_fn(move |request| {
                    let api = api.clone();
                    async move { Ok::<_, Infallible>(api.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        device
    }

    pub(super) fn proxy(&self) -> Proxy {
        proxy(&self.url)
    }

    /// What was asked since the last call.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let method = parts.method.to_string();
        let path = parts.uri.path().to_owned();
        let content_type = parts.headers.get(CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push((
            method.clone(),
            parts.uri.to_string(),
            content_type,
            body.clone(),
        ));
        let answer = |status: u16, content_type: Option<&str>, body: Vec<u8>| {
            let mut response = Response::builder().status(status);
            if let Some(content_type) = content_type {
                response = response.header(CONTENT_TYPE, content_type);
            }
            response.body(Full::from(body)).unwrap()
        };
        match path.as_str() {
            "/" => answer(200, None, b"Ambianic Edge! Helpful home.".to_vec()),
            "/api/json" => answer(
                200,
                Some("application/json"),
                br#"{"version":"1.2","n":1}"#.to_vec(),
            ),
            "/api/slow" => {
                self.slow.acquire().await.unwrap().forget();
                answer(200, Some("text/plain"), b"slow done".to_vec())
            }
            "/api/bin" => answer(200, Some("image/jpeg"), vec![0xff, 0xd8, 0xff, 0, 1, 2]),
            "/api/big" => answer(200, Some("application/octet-stream"), vec![b'A'; 200_000]),
            "/api/204" => answer(204, None, Vec::new()),
            "/api/empty" => answer(200, Some("text/plain"), Vec::new()),
            "/api/304" => answer(304, None, Vec::new()),
            "/api/500" => answer(500, None, b"boom".to_vec()),
            "/api/noct" => answer(200, None, b"x".to_vec()),
            "/api/redir" => Response::builder()
                .status(302)
                .header("location", "/api/json")
                .body(Full::default())
                .unwrap(),
            "/api/echo" => {
                let body = serde_json::Value::from(body);
                let echo = format!(r#"{{"method":"{method}","body":{body}}}"#);
                answer(200, Some("application/json"), echo.into_bytes())
            }
            _ => answer(404, None, b"nope".to_vec()),
        }
    }
}
