//! The path below which everything lies: [`Config::path`](crate::Config::path).

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use http::Uri;
use http::uri::PathAndQuery;
use tower_service::Service;

use super::not_found;
use crate::config;

/// Routes below a path that was checked; outside of it there is nothing.
pub(super) fn mount(path: &str, routes: Router) -> Router {
    let prefix = config::prefix(path).unwrap_or_default();
    let all = any(async move |request: Request| answer(&prefix, routes, request).await);
    // Routes and no fallback: mounted in another application, a fallback would come after that application's own `/{…}`.
    Router::new().route("/", all.clone()).route("/{*rest}", all)
}

async fn answer(
    prefix: &str,
    mut routes: Router,
    mut request: Request,
) -> Result<Response, Infallible> {
    if !prefix.is_empty() {
        let path = below(prefix, request.uri().path());
        let Some(uri) = path.and_then(|path| with_path(request.uri(), path)) else {
            return Ok(not_found(request.into_parts().0.headers).await);
        };
        *request.uri_mut() = uri;
    }
    routes.call(request).await
}

/// What a path is within a prefix: with a slash at its end or without, the prefix itself is `/`.
fn below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    match path.strip_prefix(prefix)? {
        "" => Some("/"),
        path if path.starts_with('/') => Some(path),
        _ => None,
    }
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}").parse::<PathAndQuery>(),
        None => path.parse(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(whole.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_itself_and_whole_segments_below_it() {
        for (path, inner) in [
            ("/app", Some("/")),
            ("/app/", Some("/")),
            ("/app/peerjs", Some("/peerjs")),
            ("/app//peerjs", Some("//peerjs")),
            ("/application", None),
            ("/ap", None),
            ("/", None),
            ("/x/app/peerjs", None),
        ] {
            assert_eq!(below("/app", path), inner, "{path}");
        }
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "http://h:1/app/peerjs?id=a%26b".parse().unwrap();
        let inner = with_path(&uri, "/peerjs").unwrap();
        assert_eq!(inner, "http://h:1/peerjs?id=a%26b");
    }
}
