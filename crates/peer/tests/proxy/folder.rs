//! A folder of files, read only.

use std::{fs, path::Path};

use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use peerage_peer::proxy::Proxy;

use crate::target::{ask, field, get, post, proxy, text};

/// `site/` with a page, a file and a folder, and `outside.txt` beside it.
struct Site(tempfile::TempDir);

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("site");
        fs::create_dir_all(site.join("sub")).unwrap();
        fs::create_dir_all(site.join("empty")).unwrap();
        fs::write(site.join("index.html"), "<h1>home</h1>").unwrap();
        fs::write(site.join("sub/index.html"), "<h1>sub</h1>").unwrap();
        fs::write(site.join("data.bin"), "0123456789").unwrap();
        fs::write(site.join("a b&ü.txt"), "odd name").unwrap();
        fs::write(site.join(".env"), "SECRET").unwrap();
        fs::create_dir(site.join(".git")).unwrap();
        fs::write(site.join(".git/config"), "SECRET").unwrap();
        fs::write(dir.path().join("outside.txt"), "SECRET").unwrap();
        Self(dir)
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("site")
    }

    fn proxy(&self) -> Proxy {
        proxy(&self.path().display().to_string())
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.proxy().answer(get(path)).await.status()
    }
}

#[tokio::test]
async fn files_and_index_pages_are_served_with_their_types() {
    let site = Site::new();
    for (path, mime, body) in [
        ("/", "text/html; charset=utf-8", "<h1>home</h1>"),
        (
            "/index.html?x=y",
            "text/html; charset=utf-8",
            "<h1>home</h1>",
        ),
        ("/sub/", "text/html; charset=utf-8", "<h1>sub</h1>"),
        ("/data.bin", "application/octet-stream", "0123456789"),
        ("/a%20b&%C3%BC.txt", "text/plain; charset=utf-8", "odd name"),
    ] {
        let response = site.proxy().answer(get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(field(&response, "content-type"), Some(mime));
        assert_eq!(
            field(&response, "content-length"),
            Some(&*body.len().to_string())
        );
        assert_eq!(text(response).await, body);
    }
}

#[tokio::test]
async fn a_folder_gets_its_slash_and_never_a_listing() {
    let site = Site::new();
    let response = site.proxy().answer(get("/sub?x=y")).await;
    assert_eq!(
        (response.status(), field(&response, "location")),
        (StatusCode::MOVED_PERMANENTLY, Some("/sub/?x=y"))
    );
    let response = site.proxy().answer(get("//sub")).await;
    assert_eq!(field(&response, "location"), Some("/sub/"), "never a host");
    assert_eq!(site.status("/empty/").await, StatusCode::NOT_FOUND);
    assert_eq!(site.status("/data.bin/").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let response = Site::new()
        .proxy()
        .answer(ask(Method::HEAD, "/data.bin", &[]))
        .await;
    assert_eq!(field(&response, "content-length"), Some("10"));
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn only_get_and_head_are_allowed() {
    let site = Site::new();
    let response = site.proxy().answer(post("/data.bin", &[], "x")).await;
    assert_eq!(
        (response.status(), field(&response, "allow")),
        (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD"))
    );
    assert_eq!(
        fs::read(site.path().join("data.bin")).unwrap(),
        b"0123456789"
    );
}

#[tokio::test]
async fn a_range_gives_that_part_and_an_impossible_one_says_so() {
    let site = Site::new();
    for (range, expected) in [
        ("bytes=0-0", Some(("bytes 0-0/10", "0"))),
        ("bytes=3-5", Some(("bytes 3-5/10", "345"))),
        ("bytes=7-", Some(("bytes 7-9/10", "789"))),
        ("bytes=-2", Some(("bytes 8-9/10", "89"))),
        ("bytes=5-999", Some(("bytes 5-9/10", "56789"))),
        ("bytes=0-1,5-6", None),
        ("lines=1-2", None),
    ] {
        let response = site
            .proxy()
            .answer(ask(Method::GET, "/data.bin", &[("range", range)]))
            .await;
        let part = expected.map(|(part, _)| part);
        assert_eq!(field(&response, "content-range"), part, "{range}");
        let status = if part.is_some() {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        assert_eq!(response.status(), status, "{range}");
        assert_eq!(
            text(response).await,
            expected.map_or("0123456789", |(_, body)| body),
            "{range}"
        );
    }
    for range in ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=5-3"] {
        let response = site
            .proxy()
            .answer(ask(Method::GET, "/data.bin", &[("range", range)]))
            .await;
        assert_eq!(
            response.status(),
            StatusCode::RANGE_NOT_SATISFIABLE,
            "{range}"
        );
        assert_eq!(field(&response, "content-range"), Some("bytes */10"));
    }
}

#[tokio::test]
async fn what_the_client_has_already_is_not_sent_again() {
    let site = Site::new();
    let first = site.proxy().answer(get("/data.bin")).await;
    let tag = field(&first, "etag").unwrap().to_owned();
    let date = field(&first, "last-modified").unwrap().to_owned();
    let status = async |fields: &[(&str, &str)]| {
        site.proxy()
            .answer(ask(Method::GET, "/data.bin", fields))
            .await
            .status()
    };
    assert_eq!(
        status(&[("if-none-match", &tag)]).await,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(
        status(&[("if-none-match", "\"other\"")]).await,
        StatusCode::OK
    );
    assert_eq!(
        status(&[("if-modified-since", &date)]).await,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(
        status(&[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")]).await,
        StatusCode::OK
    );
    assert_eq!(
        status(&[("if-match", "\"other\"")]).await,
        StatusCode::PRECONDITION_FAILED
    );
    let ranged = [("range", "bytes=1-2"), ("if-range", &*tag)];
    assert_eq!(status(&ranged).await, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        status(&[("range", "bytes=1-2"), ("if-range", "\"other\"")]).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn dotfiles_do_not_exist() {
    let site = Site::new();
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/.git",
        "/sub/../.env",
        "/%2E%65nv",
    ] {
        let status = site.status(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn no_path_in_any_encoding_leaves_the_folder() {
    let site = Site::new();
    for path in [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/..%5coutside.txt",
        "/sub/..%2f..%2foutside.txt",
        "/sub/../../outside.txt",
        "/%252e%252e/outside.txt",
        "/%c0%ae%c0%ae/outside.txt",
        "/%2fetc/passwd",
        "//etc/passwd",
        "/%00",
    ] {
        let response = site.proxy().answer(get(path)).await;
        assert!(
            response.status().is_client_error(),
            "{path}: {}",
            response.status()
        );
        assert!(!text(response).await.contains("SECRET"), "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn symlinks_lead_to_files_of_the_folder_and_to_nothing_else() {
    use std::os::unix::fs::symlink;
    let site = Site::new();
    let root = site.path();
    let link = |to: &Path, name: &str| symlink(to, root.join(name)).unwrap();
    link(Path::new("data.bin"), "inside");
    link(Path::new("sub"), "inside-folder");
    link(Path::new("../outside.txt"), "relative");
    link(&site.0.path().join("outside.txt"), "absolute");
    link(Path::new(".."), "up");
    link(Path::new("/etc"), "etc");
    link(Path::new("relative"), "chain");
    link(Path::new(".env"), "hidden");
    link(Path::new(".git"), "hidden-folder");
    link(Path::new("loop"), "loop");
    assert_eq!(site.status("/inside").await, StatusCode::OK);
    assert_eq!(site.status("/inside-folder/").await, StatusCode::OK);
    for path in [
        "/relative",
        "/absolute",
        "/up/outside.txt",
        "/etc/passwd",
        "/chain",
        "/hidden",
        "/hidden-folder/config",
        "/loop",
    ] {
        assert_eq!(site.status(path).await, StatusCode::NOT_FOUND, "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn pipes_and_devices_are_no_files() {
    let site = Site::new();
    let made = std::process::Command::new("mkfifo")
        .arg(site.path().join("pipe"))
        .status();
    if made.is_ok_and(|made| made.success()) {
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), site.status("/pipe"));
        assert_eq!(answer.await.unwrap(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_large_file_is_read_piece_by_piece() {
    let site = Site::new();
    fs::File::create(site.path().join("large"))
        .unwrap()
        .set_len(10_000_000)
        .unwrap();
    let mut body = site.proxy().answer(get("/large")).await.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let piece = frame.unwrap().into_data().unwrap();
        assert!(piece.len() <= 64 * 1024);
        total += piece.len();
    }
    assert_eq!(total, 10_000_000);
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error_and_not_a_short_answer() {
    let site = Site::new();
    let path = site.path().join("large");
    let file = fs::File::create(&path).unwrap();
    file.set_len(1_000_000).unwrap();
    let mut body = site.proxy().answer(get("/large")).await.into_body();
    body.frame().await.unwrap().unwrap();
    file.set_len(0).unwrap();
    let error = body.collect().await.expect_err("cut short");
    assert_eq!(error.code().name(), "broken");
}
