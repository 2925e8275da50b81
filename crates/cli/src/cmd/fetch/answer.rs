//! The answer: from the link to a file or stdout, while it comes.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write},
    path::Path,
};

use http::{Response, StatusCode, header::CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use peerage_peer::http::Body;

use super::{Fetch, broke_off};
use crate::exit::{Exit, Failure};

/// What the device says about an answer that it made itself.
const PEERAGE_ERROR: &str = "peerage-error";

impl Fetch {
    /// Writes piece by piece, as it comes. What cannot be written yet is not read: the device waits, and its app.
    ///
    /// Writes block; this thread has nothing else to do, and the connection lives on others.
    pub(super) async fn pass_on(
        &self,
        response: Response<Body>,
        quiet: bool,
    ) -> Result<(), Failure> {
        let (head, mut body) = response.into_parts();
        let failed = head.status.is_client_error() || head.status.is_server_error();
        let mut sink = match &self.output {
            Some(path) if !failed => Sink::file(path)?,
            // A page that says 404 is not the file that was asked for.
            Some(_) => Sink {
                name: "stderr".to_owned(),
                out: Box::new(io::stderr()),
            },
            None => Sink {
                name: "stdout".to_owned(),
                out: Box::new(io::stdout()),
            },
        };
        let progress = self.progress(&head.headers, quiet || failed);
        let written = async {
            if self.include || self.head {
                sink.write(&head_text(&head))?;
            }
            while let Some(frame) = body.frame().await {
                if let Ok(octets) = frame.map_err(broke_off)?.into_data() {
                    sink.write(&octets)?;
                    progress.inc(octets.len() as u64);
                }
            }
            Ok(())
        };
        let written: Result<(), Failure> = written.await;
        progress.finish_and_clear();
        match written {
            Err(failure) if sink.is_closed(&failure) => Ok(()),
            Err(failure) => Err(failure),
            Ok(()) => verdict(
                head.status,
                head.headers.get(PEERAGE_ERROR).map(|name| name.as_bytes()),
            ),
        }
    }

    /// Shown on stderr where a person looks at it, and the body does not run across it.
    fn progress(&self, fields: &http::HeaderMap, off: bool) -> ProgressBar {
        if off
            || !io::stderr().is_terminal()
            || (self.output.is_none() && io::stdout().is_terminal())
        {
            return ProgressBar::hidden();
        }
        let length = fields
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let (bar, template) = match length {
            Some(length) => (
                ProgressBar::new(length),
                "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {bytes}, {bytes_per_sec}",
            ),
        };
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }
}

/// Where the body goes.
struct Sink {
    name: String,
    out: Box<dyn Write>,
}

impl Sink {
    fn file(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let out = File::create(path).map_err(|error| {
            Failure::new(Exit::Usage, format_args!("cannot write {name}: {error}"))
        })?;
        Ok(Self {
            name,
            out: Box::new(out),
        })
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Failure> {
        self.out
            .write_all(octets)
            .and_then(|()| self.out.flush())
            .map_err(|error| Failure {
                exit: Exit::Other,
                error: anyhow::Error::new(error).context(format!("cannot write {}", self.name)),
            })
    }

    /// Whoever read stdout has seen enough (`peerage fetch … | head`).
    fn is_closed(&self, failure: &Failure) -> bool {
        let kind = failure
            .error
            .downcast_ref::<io::Error>()
            .map(io::Error::kind);
        kind == Some(io::ErrorKind::BrokenPipe)
    }
}

fn head_text(head: &http::response::Parts) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// What the status means for the exit code; `error` is the device's own word on it, where it answered itself.
fn verdict(status: StatusCode, error: Option<&[u8]>) -> Result<(), Failure> {
    let exit = match (status, error) {
        (_, Some(b"refused")) => Exit::Refused,
        (_, Some(b"unreachable" | b"timeout" | b"broken")) => Exit::TargetDown,
        (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Exit::NotFound,
        _ if status.is_client_error() || status.is_server_error() => Exit::Status,
        _ => return Ok(()),
    };
    Err(Failure::new(exit, format_args!("the answer is {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_apart_what_a_script_treats_apart() {
        let exit = |status: u16, error: Option<&[u8]>| {
            verdict(StatusCode::from_u16(status).expect("a status"), error)
                .map_err(|failure| failure.exit)
        };
        assert_eq!(exit(200, None), Ok(()));
        assert_eq!(exit(304, None), Ok(()));
        assert_eq!(exit(404, None), Err(Exit::NotFound));
        assert_eq!(exit(410, None), Err(Exit::NotFound));
        assert_eq!(exit(403, None), Err(Exit::Status));
        assert_eq!(exit(500, None), Err(Exit::Status));
        assert_eq!(exit(502, None), Err(Exit::Status));
        assert_eq!(exit(403, Some(b"refused")), Err(Exit::Refused));
        assert_eq!(exit(502, Some(b"unreachable")), Err(Exit::TargetDown));
        assert_eq!(exit(504, Some(b"timeout")), Err(Exit::TargetDown));
    }
}
