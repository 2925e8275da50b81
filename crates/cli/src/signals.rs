//! When the process is told to end.

use std::io;

/// Resolves when the process is told to end: Ctrl-C, and SIGTERM where there is one. A second time ends it at once.
///
/// Signals count from this call on, not only from when the future is first polled.
pub(crate) fn end() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut told = told()?;
    Ok(async move {
        told.recv().await;
        tokio::spawn(async move {
            told.recv().await;
            // Whoever asks twice does not want to wait for a clean end.
            std::process::exit(130);
        });
    })
}

#[cfg(unix)]
struct Told {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Told {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(unix)]
fn told() -> io::Result<Told> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Told {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

#[cfg(windows)]
fn told() -> io::Result<Told> {
    tokio::signal::windows::ctrl_c().map(Told)
}

#[cfg(windows)]
struct Told(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Told {
    async fn recv(&mut self) {
        self.0.recv().await;
    }
}
