//! HTTP over a channel: frames, heads, and a session between a hostile peer and a busy shell.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peerage_proto::http::{Config, End, Event, ExchangeId, Framing, Role, Session};
use peerage_proto::wire::http::{Fields, Frame, Frames, Head, Hello, Request, ResetCode};

use crate::script::{Script, epoch};

/// A channel message. What was read and written again is read as the same.
pub fn http_frames(octets: &[u8]) {
    let Ok(frames) = read(octets) else { return };
    let mut written = BytesMut::new();
    frames.iter().for_each(|frame| frame.emit(&mut written));
    if !frames.is_empty() {
        assert_eq!(read(&written), Ok(frames));
    }
}

fn read(octets: &[u8]) -> Result<Vec<Frame>, peerage_proto::wire::http::Violation> {
    Frames::new(Bytes::copy_from_slice(octets))?.collect()
}

/// A head block. What passes is written exactly as it came.
pub fn http_head(octets: &[u8]) {
    let block = Bytes::copy_from_slice(octets);
    if let Ok(head) = Head::parse(block.clone()) {
        assert_eq!(head.emit(), Ok(block));
    }
}

/// Messages of the peer's between commands of the shell's.
pub fn http_session(octets: &[u8]) {
    let mut script = Script(octets);
    let mut now = epoch();
    let role = if script.u8() & 1 == 0 {
        Role::Caller
    } else {
        Role::Callee
    };
    let config = Config {
        websocket: true,
        ..Config::default()
    };
    let mut session = Session::new(role, config, now);
    let hello = Frame::Hello(Hello {
        websocket: true,
        tcp: true,
        ..Hello::default()
    });
    session.handle_message(message(&hello), now);
    let mut live: Vec<ExchangeId> = Vec::new();
    while !script.is_empty() {
        let step = script.u8();
        let which = usize::from(script.u8());
        let id = live
            .get(which.checked_rem(live.len()).unwrap_or(0))
            .copied();
        match (step % 16, id) {
            (0, _) => session.handle_message(Bytes::copy_from_slice(script.long()), now),
            (1..=6, _) => {
                let frame = frame(&mut script);
                session.handle_message(message(&frame), now);
            }
            (7, _) => live.extend(session.open(request(&mut script), which & 1 == 0, now)),
            (8, Some(id)) => {
                let status = [200, 101, 204, 304, 404][which % 5];
                let _ = session.respond(id, status, Fields::new(), which & 1 == 0);
            }
            (9, Some(id)) => {
                let mut bytes = Bytes::from(vec![0; script.u16().into()]);
                let framing = if which & 1 == 0 {
                    Framing::Stream
                } else {
                    Framing::Message {
                        text: which & 4 != 0,
                        fin: which & 2 == 0,
                    }
                };
                let _ = session.write(id, &mut bytes, framing);
            }
            (10, Some(id)) => {
                let end = [
                    End::Plain,
                    End::Trailers(Fields::new()),
                    End::Close(Bytes::new()),
                    End::Close(Bytes::from_static(b"\x0f\xa0bye")),
                ];
                let _ = session.finish(id, end[which % 4].clone());
            }
            (11, Some(id)) => {
                let _ = session.read(id, script.u16().into());
            }
            (12, Some(id)) => session.discard(id),
            (13, Some(id)) => session.reset(id, ResetCode::Cancelled),
            (14, _) => {
                now += Duration::from_secs(script.u8().into());
                session.handle_timeout(now);
            }
            (15, _) if which == 255 => session.drain(),
            _ => while session.poll_transmit().is_some() {},
        }
        while let Some(event) = session.poll_event() {
            match event {
                Event::Opened { id, .. } => live.push(id),
                Event::Ended { id } | Event::Reset { id, .. } => live.retain(|other| *other != id),
                _ => {}
            }
        }
    }
    assert!(session.live() <= 512);
    for id in live {
        session.reset(id, ResetCode::Cancelled);
    }
}

fn message(frame: &Frame) -> Bytes {
    let mut message = BytesMut::new();
    frame.emit(&mut message);
    message.freeze()
}

/// Mostly sensible frames: the interesting states are behind them.
fn frame(script: &mut Script<'_>) -> Frame {
    let kind = script.u8();
    let flags = script.u8();
    let id = 1 + u32::from(script.u8() % 32);
    let [end, fin, text] = [flags & 1 != 0, flags & 2 != 0, flags & 4 != 0];
    match kind % 10 {
        0..=2 => {
            let block = if flags & 8 == 0 {
                head(script).emit().unwrap_or_default()
            } else {
                Bytes::copy_from_slice(script.octets())
            };
            Frame::Head {
                id,
                end,
                more: fin && text,
                block,
            }
        }
        3..=5 => Frame::Data {
            id,
            end,
            fin,
            text,
            bytes: Bytes::from(vec![0; usize::from(script.u16() % 16_377)]),
        },
        6 => Frame::Credit {
            id,
            octets: u32::from(script.u16()) << (flags & 15),
        },
        7 => Frame::Reset {
            id,
            code: ResetCode::from_number(script.u8().into()),
        },
        8 => Frame::Ping([0; 8]),
        _ => Frame::Drain { highest: id - 1 },
    }
}

fn head(script: &mut Script<'_>) -> Head {
    let mut fields = Fields::new();
    if script.u8() & 1 == 0 {
        fields.push("content-length", script.u8().to_string().into_bytes());
    }
    match script.u8() % 6 {
        0 | 1 => Head::Request(request(script)),
        2 => Head::Response {
            status: 200,
            fields,
        },
        3 => Head::Response {
            status: 101,
            fields,
        },
        4 => Head::Interim {
            status: 103,
            fields: Fields::new(),
        },
        _ => Head::Trailers(Fields::new()),
    }
}

fn request(script: &mut Script<'_>) -> Request {
    let (path, fields) = ("/".into(), Fields::new());
    match script.u8() % 4 {
        0 => Request::Http {
            method: "HEAD".into(),
            path,
            fields,
        },
        1 => Request::WebSocket { path, fields },
        2 => Request::Tcp { name: "ssh".into() },
        _ => Request::Http {
            method: "PUT".into(),
            path,
            fields,
        },
    }
}
