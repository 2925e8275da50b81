//! How a command ends: a closed list of exit codes, for scripts.

use std::{fmt, process::ExitCode};

/// The exit codes of all commands; the table of `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Something that is not in this list.
    Other = 1,
    /// The command line is wrong. (clap uses the same number.)
    Usage = 2,
    /// The state folder cannot be read or written, or another process uses it.
    State = 3,
    /// The answer was 404 or 410.
    NotFound = 4,
    /// The answer was another 4xx or 5xx.
    Status = 5,
    /// The device refused the link, the key, or this request.
    Refused = 6,
    /// The server could not be reached.
    ServerUnreachable = 7,
    /// The server is there, the device is not.
    DeviceAbsent = 8,
    /// Somebody else answers under the device's id.
    WrongDevice = 9,
    /// Device and caller found no way to each other.
    NoRoute = 10,
    /// The connection or the answer broke off.
    Broken = 11,
    /// The device is there, its app is not.
    TargetDown = 12,
    /// The port cannot be listened on.
    Port = 13,
    /// Something that was examined does not work.
    Ill = 14,
}

/// The table for `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
   0  done
   1  something that is not in this list
   2  the command line is wrong
   3  the state folder cannot be used
   4  fetch: not found (404, 410)
   5  fetch: another error status (4xx, 5xx)
   6  refused: wrong or revoked link, unknown key, or a request that the owner's rules forbid
   7  the server cannot be reached
   8  the device is not connected to the server
   9  wrong device: somebody else answers under this id
  10  no route to the device
  11  the connection or the answer broke off
  12  the device is there, the app on it is not
  13  the port cannot be listened on
  14  doctor: something does not work";

/// Why a command failed, and with which code it ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

impl Failure {
    /// A failure in words that end with what to do next.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            error: anyhow::anyhow!("{message}"),
        }
    }

    /// The code for the operating system.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self {
            exit: Exit::Other,
            error,
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            exit: Exit::Other,
            error: error.into(),
        }
    }
}
