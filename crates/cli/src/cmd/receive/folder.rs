//! The folder that files are written into, and nothing beside it.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use peerage_proto::{
    file::Beginning,
    wire::file::{COMPARE_MAX, FileName},
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::exit::{Exit, Failure};

/// Files of one name, complete or not.
const NUMBERS: u32 = 999;
/// How long a sender's earlier connection may take to let go of its file.
const RELEASE: Duration = Duration::from_secs(5);
/// How often it is tried.
const AGAIN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    /// Who writes which file now.
    writers: Arc<Mutex<HashMap<PathBuf, Writer>>>,
}

/// One sender's connection.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    /// Who: the same one may take over from its own earlier connection.
    pub(super) who: String,
    /// Has the connection give its file up.
    pub(super) release: CancellationToken,
}

/// A file that is not complete, held by one connection.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) file: File,
    pub(super) path: PathBuf,
    writers: Arc<Mutex<HashMap<PathBuf, Writer>>>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let refuse = |error: &dyn std::fmt::Display| {
            Failure::new(
                Exit::Usage,
                format_args!("cannot write into {}: {error}", path.display()),
            )
        };
        fs::create_dir_all(path).map_err(|error| refuse(&error))?;
        let path = path.canonicalize().map_err(|error| refuse(&error))?;
        Ok(Self {
            path,
            writers: Arc::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there of files of this name, hashed, where nobody else writes it. Takes as long as the disk.
    pub(super) async fn unfinished(
        &self,
        name: &FileName,
        size: u64,
        writer: &Writer,
    ) -> io::Result<Vec<(Unfinished, Beginning)>> {
        let mut found = Vec::new();
        for n in 1..=COMPARE_MAX as u32 {
            let path = self.path.join(name.unfinished(n));
            let there = fs::symlink_metadata(&path);
            if !there.is_ok_and(|it| it.is_file() && (1..=size).contains(&it.len())) {
                continue;
            }
            self.take_over(&path, writer).await;
            let file = OpenOptions::new().read(true).append(true).open(&path)?;
            let Some(unfinished) = self.hold(file, path, writer) else {
                continue;
            };
            let file = unfinished.file.try_clone()?;
            let hashed = tokio::task::spawn_blocking(move || hash(file));
            let beginning = hashed.await.map_err(io::Error::other)??;
            found.push((unfinished, beginning));
        }
        Ok(found)
    }

    /// A new file that nobody has.
    pub(super) fn create(&self, name: &FileName, writer: &Writer) -> io::Result<Unfinished> {
        for n in 1..=NUMBERS {
            let path = self.path.join(name.unfinished(n));
            let mut options = OpenOptions::new();
            match options.append(true).create_new(true).open(&path) {
                Ok(file) => {
                    if let Some(unfinished) = self.hold(file, path, writer) {
                        return Ok(unfinished);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("too many files of this name"))
    }

    /// Has the same sender's earlier connection let go: it may not have noticed yet that it is broken.
    async fn take_over(&self, path: &Path, writer: &Writer) {
        let earlier = self.lock().get(path).cloned();
        let Some(earlier) = earlier.filter(|it| it.who == writer.who) else {
            return;
        };
        earlier.release.cancel();
        let released = async {
            while self.lock().contains_key(path) {
                sleep(AGAIN).await;
            }
        };
        let _ = timeout(RELEASE, released).await;
    }

    /// `None` where another connection, or another process, writes it.
    fn hold(&self, file: File, path: PathBuf, writer: &Writer) -> Option<Unfinished> {
        file.try_lock().ok()?;
        self.lock().insert(path.clone(), writer.clone());
        Some(Unfinished {
            file,
            path,
            writers: self.writers.clone(),
        })
    }

    /// Gives a complete file its name, or a numbered one where that is taken.
    pub(super) fn keep(&self, unfinished: &Unfinished, name: &FileName) -> io::Result<PathBuf> {
        unfinished.file.sync_all()?;
        for n in 1..=NUMBERS {
            let path = self.path.join(name.numbered(n));
            // Taken first, so that nothing that is there is ever replaced.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = fs::rename(&unfinished.path, &path) {
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            #[cfg(unix)]
            File::open(&self.path)?.sync_all()?;
            return Ok(path);
        }
        Err(io::Error::other("too many files of this name"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Writer>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.remove(&self.path);
    }
}

/// Whether this system takes the name for one in a folder, and nothing else.
pub(super) fn is_plain(name: &FileName) -> bool {
    let mut parts = Path::new(name.as_str()).components();
    let plain = matches!(parts.next(), Some(std::path::Component::Normal(_)));
    plain && parts.next().is_none() && !(cfg!(windows) && name.as_str().contains(':'))
}

fn hash(mut file: File) -> io::Result<Beginning> {
    use std::io::Seek as _;
    file.rewind()?;
    let mut beginning = Beginning::default();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(beginning),
            read => beginning.push(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn writer(who: &str) -> Writer {
        Writer {
            who: who.to_owned(),
            release: CancellationToken::new(),
        }
    }

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(&dir.path().join("deep/in")).expect("a folder");
        (dir, folder)
    }

    fn name(text: &str) -> FileName {
        FileName::parse(text).expect("a name")
    }

    fn receive(folder: &Folder, text: &str) -> PathBuf {
        let mut unfinished = folder.create(&name("a.txt"), &writer("x")).expect("new");
        unfinished.file.write_all(text.as_bytes()).expect("written");
        folder.keep(&unfinished, &name("a.txt")).expect("kept")
    }

    #[test]
    fn nothing_that_is_there_is_written_over() {
        let (_dir, folder) = folder();
        let paths = ["one", "two", "three"].map(|text| receive(&folder, text));
        let names = paths
            .each_ref()
            .map(|path| path.file_name().and_then(|it| it.to_str()));
        assert_eq!(names, [Some("a.txt"), Some("a (2).txt"), Some("a (3).txt")]);
        let texts = paths.map(|path| fs::read_to_string(path).expect("a file"));
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 3);
    }

    #[tokio::test]
    async fn what_another_writes_is_not_gone_on_from() {
        let (_dir, folder) = folder();
        let mut held = folder.create(&name("a.txt"), &writer("x")).expect("new");
        held.file.write_all(b"one").expect("written");
        let of = async |who| {
            folder
                .unfinished(&name("a.txt"), 10, &writer(who))
                .await
                .expect("read")
                .len()
        };
        assert_eq!(of("y").await, 0);
        drop(held);
        assert_eq!(of("y").await, 1);
        assert_eq!(
            folder
                .unfinished(&name("a.txt"), 2, &writer("y"))
                .await
                .expect("read")
                .len(),
            0
        );
    }

    #[tokio::test]
    async fn a_sender_takes_over_from_its_own_earlier_connection() {
        let (_dir, folder) = folder();
        let earlier = writer("x");
        let mut held = folder.create(&name("a.txt"), &earlier).expect("new");
        held.file.write_all(b"one").expect("written");
        let letting_go = tokio::spawn(async move {
            earlier.release.cancelled().await;
            drop(held);
        });
        let found = folder.unfinished(&name("a.txt"), 10, &writer("x")).await;
        let found = found.expect("read");
        assert_eq!(found[0].1.length(), 3);
        letting_go.await.expect("let go");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_to_elsewhere_is_not_gone_on_from() {
        let (dir, folder) = folder();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "one").expect("written");
        let planted = folder.path().join("a.txt.peerage-part");
        std::os::unix::fs::symlink(&elsewhere, planted).expect("a link");
        let found = folder.unfinished(&name("a.txt"), 10, &writer("x")).await;
        assert!(found.expect("read").is_empty());
        assert_eq!(receive(&folder, "two").file_name(), Some("a.txt".as_ref()));
        assert_eq!(fs::read_to_string(elsewhere).expect("a file"), "one");
    }
}
