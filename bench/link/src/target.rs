//! A web server that costs as little as one can.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Outcome;

const PIECE: usize = 64 * 1024;
const PAGE: &str = "<!doctype html><meta charset=utf-8><title>bench</title>";

pub async fn run() -> Outcome<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        // A connection that breaks is its client's matter.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer)));
    }
}

async fn answer<B>(request: Request<B>) -> Outcome<Response<BoxBody<Bytes, Infallible>>> {
    let response = Response::builder();
    if request.uri().path() != "/bytes" {
        return Ok(response.header(CONTENT_TYPE, "text/html").body(Full::new(Bytes::from_static(PAGE.as_bytes())).boxed())?);
    }
    static PIECES: [u8; PIECE] = [0x5a; PIECE];
    let octets: usize = request.uri().query().and_then(|query| query.strip_prefix("n=")).ok_or("no ?n=")?.parse()?;
    let response = response.header(CONTENT_LENGTH, octets).header(CACHE_CONTROL, "no-store");
    if octets <= PIECE {
        return Ok(response.body(Full::new(Bytes::from_static(&PIECES[..octets])).boxed())?);
    }
    // A stream by position, so that it needs no pin and no box of its own.
    let pieces = stream::iter((0..octets.div_ceil(PIECE)).map(move |n| {
        let size = PIECE.min(octets - n * PIECE);
        Ok(Frame::data(Bytes::from_static(&PIECES[..size])))
    }));
    Ok(response.body(BodyExt::boxed(StreamBody::new(pieces)))?)
}
