//! Asks the person at the terminal, one question at a time.

use std::io::{self, Write as _};

use tokio::sync::{Mutex, mpsc};

use crate::lines;

#[derive(Debug)]
pub(super) struct Questions(Mutex<mpsc::Receiver<String>>);

impl Questions {
    pub(super) fn new() -> Self {
        Self(Mutex::new(lines::of_stdin()))
    }

    /// Whether the person says yes. Dropping the future withdraws the question.
    pub(super) async fn ask(&self, question: &str) -> bool {
        let mut lines = self.0.lock().await;
        // What was typed before is no answer to this.
        while lines.try_recv().is_ok() {}
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let answer = lines.recv().await.unwrap_or_default();
        matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}
