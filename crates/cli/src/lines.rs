//! What a person types, or a pipe brings: line by line.

use std::io::{self, BufRead as _, Read as _};

use tokio::sync::mpsc;

/// Longer lines are cut into several.
const LINE_MAX: u64 = 64 * 1024;
/// Lines that wait; what comes beyond stays in the pipe.
const WAITING: usize = 16;

/// The lines of stdin, without their ends, until it ends.
///
/// Read by a thread of its own, which the end of the process takes along: nothing else can call it back from a terminal.
pub(crate) fn of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        loop {
            line.clear();
            match stdin.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
