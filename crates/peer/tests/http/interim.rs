//! Interim responses reach who asked for them, in order and before the response.

use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Response, StatusCode};
use peerage_peer::http::{Informer, on_interim};

use crate::service::{fixed, get, link, soon, text};

#[tokio::test]
async fn early_hints_arrive_before_the_response_and_only_for_who_wants_them() {
    let (client, _) = link(|request| async move {
        let informer = Informer::of(&request).unwrap();
        for hint in ["</a.css>", "</b.css>"] {
            let mut fields = HeaderMap::new();
            fields.insert("link", HeaderValue::from_static(hint));
            fields.insert("content-length", HeaderValue::from_static("9"));
            informer.send(StatusCode::EARLY_HINTS, &fields)?;
        }
        for status in [
            StatusCode::CONTINUE,
            StatusCode::SWITCHING_PROTOCOLS,
            StatusCode::OK,
        ] {
            assert!(
                informer.send(status, &HeaderMap::new()).is_err(),
                "{status}"
            );
        }
        Ok(Response::new(fixed("then this")))
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut request = get("/");
    on_interim(&mut request, {
        let heard = heard.clone();
        move |interim| {
            let fields = interim.headers();
            assert_eq!(fields.get("content-length"), None);
            heard
                .lock()
                .unwrap()
                .push((interim.status().as_u16(), fields["link"].clone()));
        }
    });
    let response = soon(client.request(request)).await.unwrap();
    assert_eq!(
        *heard.lock().unwrap(),
        [
            (103, HeaderValue::from_static("</a.css>")),
            (103, HeaderValue::from_static("</b.css>"))
        ]
    );
    assert_eq!(text(response).await, "then this");
    let unasked = soon(client.request(get("/"))).await.unwrap();
    assert_eq!(text(unasked).await, "then this");
}

#[tokio::test]
async fn the_ninth_interim_response_is_refused_and_harms_nothing() {
    let (client, _) = link(|request| async move {
        let informer = Informer::of(&request).unwrap();
        let sent = (0..9)
            .filter(|_| {
                informer
                    .send(StatusCode::PROCESSING, &HeaderMap::new())
                    .is_ok()
            })
            .count();
        Ok(Response::new(fixed(sent.to_string())))
    });
    let response = soon(client.request(get("/"))).await.unwrap();
    assert_eq!(text(response).await, "8");
}
