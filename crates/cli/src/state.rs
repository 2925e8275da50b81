//! The state folder: keys, links and grants, cookies, each in a file that its owner alone can read.
//!
//! A file is replaced as a whole: written beside the old one, flushed to the disk, renamed over it. So a crash leaves
//! the old state or the new one, never half of one.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use directories::ProjectDirs;
use tempfile::NamedTempFile;

use crate::{exit::Exit, exit::Failure, output};

/// No file of the state is larger: what is, was not written by this program.
const FILE_MAX: u64 = 32 * 1024 * 1024;

/// The state folder of this run.
#[derive(Debug, Clone)]
pub(crate) struct State {
    dir: PathBuf,
}

/// Holds the state for one process. Ends with the value, and with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl State {
    /// The folder that was asked for, or the platform's; made if it is not there.
    pub(crate) fn at(asked: Option<PathBuf>) -> Result<Self, Failure> {
        let dir = match asked {
            Some(dir) => dir,
            None => ProjectDirs::from("", "", "peerage")
                .map(|dirs| dirs.data_dir().to_owned())
                .ok_or_else(|| {
                    Failure::new(
                        Exit::State,
                        "this user has no home folder to keep keys in: name one with --state DIR",
                    )
                })?,
        };
        make_private_dir(&dir).map_err(|error| refuse(&dir, "make the state folder", &error))?;
        let state = Self { dir };
        // The earliest moment to find out that the folder belongs to somebody else.
        fs::read_dir(&state.dir)
            .map_err(|error| refuse(&state.dir, "read the state folder", &error))?;
        Ok(state)
    }

    /// Claims the state for a command: two devices under one identity would take each other's calls.
    pub(crate) fn lock(&self, command: &str) -> Result<Lock, Failure> {
        let path = self.dir.join(match command {
            "expose" => "lock".to_owned(),
            command => format!("{command}.lock"),
        });
        let mut options = File::options();
        options.create(true).read(true).write(true).truncate(false);
        private(&mut options);
        let mut file = options
            .open(&path)
            .map_err(|error| refuse(&path, "open", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Where locks also keep readers out the number stays unknown.
                let _ = file.take(16).read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                let message = format!(
                    "another `peerage {command}`{holder} uses the state folder {}: stop that one first, or give this one \
                     an identity of its own with --state DIR",
                    self.dir.display()
                );
                return Err(Failure::new(Exit::State, message));
            }
            Err(TryLockError::Error(error)) => return Err(refuse(&path, "lock", &error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|error| refuse(&path, "write", &error))?;
        Ok(Lock { _file: file })
    }

    /// The text of a file, or `None` if there is no such file yet.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(&path, "read", &error)),
        };
        if readable_by_others(&file) {
            output::warn(format_args!(
                "{0} can be read by other users: run `chmod 600 {0}`",
                path.display()
            ));
        }
        let mut text = String::new();
        match file.take(FILE_MAX).read_to_string(&mut text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(refuse(&path, "read", &error)),
        }
    }

    /// Replaces a file by this text, durably.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.dir.join(name);
        self.replace(&path, text)
            .map_err(|error| refuse(&path, "write", &error))
    }

    /// Makes a file that is not there yet, durably; `false` if it is there, which it then stays.
    pub(crate) fn create(&self, name: &str, text: &str) -> Result<bool, Failure> {
        let path = self.dir.join(name);
        match self
            .store(text)
            .and_then(|file| file.persist_noclobber(&path).map_err(Into::into))
        {
            Ok(_) => self.settle().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => Err(error),
        }
        .map_err(|error| refuse(&path, "write", &error))
    }

    /// What a file of the state is called, for messages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        self.store(text)?.persist(path)?;
        self.settle()
    }

    /// A file without a lasting name, of mode 0600, its octets on the disk.
    fn store(&self, text: &str) -> io::Result<NamedTempFile> {
        let mut file = NamedTempFile::new_in(&self.dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Makes a new name durable: on Unix it is an entry of the folder, flushed with that.
    fn settle(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }
}

fn refuse(path: &Path, verb: &str, error: &io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "it belongs to another user: run as that user, or name another folder with --state DIR"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "something else has this name: name another folder with --state DIR"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk",
        io::ErrorKind::ReadOnlyFilesystem => "name a folder that can be written with --state DIR",
        _ => "name another folder with --state DIR",
    };
    Failure::new(
        Exit::State,
        format_args!("cannot {verb} {}: {error}; {remedy}", path.display()),
    )
}

#[cfg(unix)]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

#[cfg(not(unix))]
fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(unix)]
fn private(options: &mut fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_: &mut fs::OpenOptions) {}

#[cfg(unix)]
fn readable_by_others(file: &File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().expect("a folder");
        let state = State::at(Some(dir.path().join("deep/state"))).expect("a state");
        (dir, state)
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else_is_left() {
        let (_dir, state) = state();
        assert_eq!(state.read("a").expect("readable"), None);
        state.write("a", "one").expect("written");
        state.write("a", "two").expect("written again");
        assert_eq!(state.read("a").expect("readable").as_deref(), Some("two"));
        assert!(
            !state.create("a", "three").expect("readable"),
            "what is there stays"
        );
        assert!(state.create("b", "one").expect("written"));
        assert_eq!(state.read("a").expect("readable").as_deref(), Some("two"));
        assert_eq!(fs::read_dir(&state.dir).expect("a folder").count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn folder_and_files_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, state) = state();
        state.write("key", "secret").expect("written");
        let _lock = state.lock("expose").expect("free");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&state.dir), 0o700);
        assert_eq!(mode(&state.path("key")), 0o600);
        assert_eq!(mode(&state.path("lock")), 0o600);
    }

    #[test]
    fn a_second_lock_names_the_holder_and_what_to_do() {
        let (_dir, state) = state();
        let lock = state.lock("expose").expect("free");
        let failure = state.lock("expose").expect_err("taken");
        assert_eq!(failure.exit, Exit::State);
        let text = failure.to_string();
        assert!(
            text.contains(&std::process::id().to_string()) && text.contains("--state DIR"),
            "{text}"
        );
        drop(lock);
        state.lock("expose").expect("free again");
    }

    #[test]
    fn a_file_in_the_folders_place_is_named_with_a_remedy() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("a file");
        for path in [file.clone(), file.join("below")] {
            let failure = State::at(Some(path)).expect_err("no folder");
            assert_eq!(failure.exit, Exit::State);
            assert!(failure.to_string().contains("--state DIR"), "{failure}");
        }
    }
}
