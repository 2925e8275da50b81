//! A folder of files, read only. No dotfiles, no way out through symlinks, no listing.

use std::{
    io,
    path::{Component, Path},
    sync::Arc,
    time::SystemTime,
};

use cap_std::{ambient_authority, fs::Dir};
use headers::{
    AcceptRanges, ContentLength, ContentRange, ETag, HeaderMapExt, IfMatch, IfModifiedSince,
    IfNoneMatch, IfRange, IfUnmodifiedSince, LastModified, Range,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri,
    header::{ALLOW, CONTENT_TYPE, LOCATION},
    request::Parts,
};
use percent_encoding::percent_decode_str;
use tokio::io::AsyncSeekExt;

use super::{
    Body,
    answer::{WithinTarget, plain},
};

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");

/// The file shown for a folder.
const INDEX: &str = "index.html";

/// An open folder. Every path is resolved below it by the kernel (or component by component), never by name from the
/// root, so a file swapped for a symlink in between leads nowhere.
#[derive(Debug, Clone)]
pub(super) struct Folder(Arc<Dir>);

/// What a path names.
enum Found {
    File(OpenFile),
    /// A folder, asked for without its trailing slash.
    Redirect,
    Nothing,
}

struct OpenFile {
    file: std::fs::File,
    length: u64,
    modified: Option<SystemTime>,
    mime: String,
}

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Dir::open_ambient_dir(path, ambient_authority()).map(|dir| Self(Arc::new(dir)))
    }

    pub(super) async fn answer(&self, request: &Parts) -> Response<Body> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut response = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "This is a folder of files: it can only be read.",
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri.path().to_owned();
        let folder = self.clone();
        let found = tokio::task::spawn_blocking(move || folder.find(&path)).await;
        match found.map_err(io::Error::other).and_then(|found| found) {
            Ok(Found::File(file)) => file.answer(&request.method, &request.headers).await,
            Ok(Found::Redirect) => redirect(&request.uri),
            Ok(Found::Nothing) => nothing(&request.uri),
            Err(error) => {
                tracing::debug!(%error, "file cannot be opened");
                nothing(&request.uri)
            }
        }
    }

    /// Blocks.
    fn find(&self, path: &str) -> io::Result<Found> {
        let Some(mut names) = names(path) else {
            return Ok(Found::Nothing);
        };
        if names.is_empty() {
            names.push('.');
        }
        let Some(real) = self.real(&names)? else {
            return Ok(Found::Nothing);
        };
        let slash = path.ends_with('/');
        let meta = self.0.metadata(&real)?;
        if meta.is_dir() {
            if !slash {
                return Ok(Found::Redirect);
            }
            names.push('/');
            names.push_str(INDEX);
            return match self.real(&names) {
                Ok(Some(real)) => self.open_file(&real, INDEX),
                Ok(None) => Ok(Found::Nothing),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
                Err(error) => Err(error),
            };
        }
        if slash {
            Ok(Found::Nothing)
        } else {
            self.open_file(&real, &names)
        }
    }

    /// Where a name leads after all symlinks, if that is inside the folder and passes no dotfile.
    fn real(&self, names: &str) -> io::Result<Option<std::path::PathBuf>> {
        let real = self.0.canonicalize(names)?;
        let hidden = real.components().any(|part| match part {
            Component::Normal(name) => name.as_encoded_bytes().starts_with(b"."),
            Component::CurDir => false,
            _ => true,
        });
        if real.as_os_str().is_empty() {
            return Ok(Some(".".into()));
        }
        Ok((!hidden).then_some(real))
    }

    fn open_file(&self, real: &Path, name: &str) -> io::Result<Found> {
        // Looked at before opening: opening a pipe would wait for its other end.
        if !self.0.metadata(real)?.is_file() {
            return Ok(Found::Nothing);
        }
        let file = self.0.open(real)?.into_std();
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(Found::Nothing);
        }
        Ok(Found::File(OpenFile {
            file,
            length: meta.len(),
            modified: meta.modified().ok(),
            mime: mime(name),
        }))
    }
}

impl OpenFile {
    async fn answer(self, method: &Method, asked: &HeaderMap) -> Response<Body> {
        let modified = self.modified.map(LastModified::from);
        let tag = self.tag();
        let mut response = Response::new(Body::empty());
        let fields = response.headers_mut();
        fields.typed_insert(AcceptRanges::bytes());
        fields.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        if let Some(modified) = modified {
            fields.typed_insert(modified);
        }
        if let Some(tag) = &tag {
            fields.typed_insert(tag.clone());
        }
        if let Some(status) = precondition(asked, tag.as_ref(), self.modified) {
            *response.status_mut() = status;
            return response;
        }
        let range = match range(method, asked, self.length, tag.as_ref(), modified.as_ref()) {
            Ok(range) => range,
            Err(NotSatisfiable) => {
                fields.typed_insert(ContentRange::unsatisfied_bytes(self.length));
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                return response;
            }
        };
        let (start, length) = range.unwrap_or((0, self.length));
        if let Ok(mime) = HeaderValue::try_from(self.mime) {
            fields.insert(CONTENT_TYPE, mime);
        }
        fields.typed_insert(ContentLength(length));
        if range.is_some()
            && let Ok(content_range) = ContentRange::bytes(start..start + length, self.length)
        {
            fields.typed_insert(content_range);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        if *method == Method::HEAD || length == 0 {
            return response;
        }
        let mut file = tokio::fs::File::from_std(self.file);
        if start > 0
            && let Err(error) = file.seek(io::SeekFrom::Start(start)).await
        {
            tracing::debug!(%error, "file cannot be sought");
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The file cannot be read.",
            );
        }
        *response.body_mut() = Body::file(file, length);
        response
    }

    /// Changes when the file does: time of change in nanoseconds, and size.
    fn tag(&self) -> Option<ETag> {
        let since = self.modified?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        format!("\"{:x}-{:x}\"", since.as_nanos(), self.length)
            .parse()
            .ok()
    }
}

/// RFC 9110 13.2.2: the status that a failed precondition gives, if one fails.
fn precondition(
    asked: &HeaderMap,
    tag: Option<&ETag>,
    modified: Option<SystemTime>,
) -> Option<StatusCode> {
    if let Some(wanted) = asked.typed_get::<IfMatch>() {
        if !tag.is_some_and(|tag| wanted.precondition_passes(tag)) {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if let (Some(since), Some(modified)) = (asked.typed_get::<IfUnmodifiedSince>(), modified)
        && !since.precondition_passes(modified)
    {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    if let Some(known) = asked.typed_get::<IfNoneMatch>() {
        return tag
            .is_some_and(|tag| !known.precondition_passes(tag))
            .then_some(StatusCode::NOT_MODIFIED);
    }
    let since = asked.typed_get::<IfModifiedSince>()?;
    (!since.is_modified(modified?)).then_some(StatusCode::NOT_MODIFIED)
}

struct NotSatisfiable;

/// The one range asked for, as start and length. Several ranges at once are answered with the whole file, which RFC 9110
/// 14.2 allows.
fn range(
    method: &Method,
    asked: &HeaderMap,
    length: u64,
    tag: Option<&ETag>,
    modified: Option<&LastModified>,
) -> Result<Option<(u64, u64)>, NotSatisfiable> {
    use std::ops::Bound;
    if *method != Method::GET
        || asked
            .typed_get::<IfRange>()
            .is_some_and(|known| known.is_modified(tag, modified))
    {
        return Ok(None);
    }
    let Some(range) = asked.typed_get::<Range>() else {
        return Ok(None);
    };
    let mut ranges = range.satisfiable_ranges(length);
    let Some(first) = ranges.next() else {
        return Err(NotSatisfiable);
    };
    if ranges.next().is_some() {
        return Ok(None);
    }
    let start = match first.0 {
        Bound::Included(start) => start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match first.1 {
        Bound::Included(last) => last.saturating_add(1).min(length),
        Bound::Excluded(end) => end.min(length),
        Bound::Unbounded => length,
    };
    if start < end {
        Ok(Some((start, end - start)))
    } else {
        Err(NotSatisfiable)
    }
}

/// The names in a path, joined by `/`; `None` for what no file here may be called.
fn names(path: &str) -> Option<String> {
    let mut names = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = percent_decode_str(segment).decode_utf8().ok()?;
        // A colon names drives and alternate streams on Windows.
        let odd = |c: char| c == '/' || c == '\\' || c.is_control() || (cfg!(windows) && c == ':');
        if name.starts_with('.') || name.contains(odd) {
            return None;
        }
        if !names.is_empty() {
            names.push('/');
        }
        names.push_str(&name);
    }
    Some(names)
}

/// The same for what is not there, not readable, hidden, or outside: the difference is nobody's business.
fn nothing(uri: &Uri) -> Response<Body> {
    let text = if uri.path().ends_with('/') {
        "There is no page (index.html) in this folder."
    } else {
        "There is no such file."
    };
    plain(StatusCode::NOT_FOUND, text)
}

/// To the same folder with its slash, so that relative addresses in its page work.
fn redirect(uri: &Uri) -> Response<Body> {
    // one leading slash: two would make the browser read a host
    let mut location = format!("/{}/", uri.path().trim_start_matches('/'));
    if let Some(query) = uri.query() {
        location.extend(["?", query]);
    }
    let mut response = plain(StatusCode::MOVED_PERMANENTLY, "This is a folder.");
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
        response.extensions_mut().insert(WithinTarget);
    }
    response
}

fn mime(name: &str) -> String {
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let textual = mime.type_() == mime_guess::mime::TEXT
        || matches!(mime.subtype().as_str(), "javascript" | "json");
    if textual {
        format!("{mime}; charset=utf-8")
    } else {
        mime.to_string()
    }
}
