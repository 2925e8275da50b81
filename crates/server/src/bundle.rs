//! The page that opens a device, as the client package builds it; its built files are kept in the tree, so that building the server needs no Node.

use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

/// One embedded file.
pub(crate) struct File {
    /// On a device origin.
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: &'static [u8],
    /// Changes with the content.
    pub(crate) tag: String,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static FILES: LazyLock<[File; 5]> = LazyLock::new(|| {
    [
        file("/", HTML, include_bytes!("../dist/shell.html")),
        file(
            "/__peerage/shell.js",
            SCRIPT,
            include_bytes!("../dist/shell.js"),
        ),
        file(
            "/__peerage/shell.css",
            STYLE,
            include_bytes!("../dist/shell.css"),
        ),
        file(
            "/__peerage/worker.js",
            SCRIPT,
            include_bytes!("../dist/worker.js"),
        ),
        file(
            "/__peerage/shim.js",
            SCRIPT,
            include_bytes!("../dist/shim.js"),
        ),
    ]
});

/// Two lines for pages with the stock PeerJS client, on any site.
pub(crate) static PEERJS_ICE: LazyLock<File> = LazyLock::new(|| {
    file(
        "/peerjs/ice.js",
        SCRIPT,
        include_bytes!("../dist/peerjs-ice.js"),
    )
});

/// `joinRoom`, for pages on any site.
pub(crate) static ROOMS: LazyLock<File> = LazyLock::new(|| {
    file(
        "/peerjs/rooms.js",
        SCRIPT,
        include_bytes!("../dist/rooms.global.js"),
    )
});

/// The classes that pages of PeerPyRTC's client know.
pub(crate) static PEERPYRTC: LazyLock<File> = LazyLock::new(|| {
    file(
        "/peerjs/peerpyrtc.js",
        SCRIPT,
        include_bytes!("../dist/peerpyrtc.global.js"),
    )
});

/// The file that a device origin has at a path.
pub(crate) fn at(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

fn file(path: &'static str, content_type: &'static str, content: &'static [u8]) -> File {
    // Not a secret's hash: it only has to differ between two builds.
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    File {
        path,
        content_type,
        content,
        tag: format!("\"{:016x}\"", hasher.finish()),
    }
}
