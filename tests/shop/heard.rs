//! What the test's own thread logs.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};
use tracing::subscriber::DefaultGuard;

/// Listens for as long as it lives. A test's runtime has one thread, so nothing of other tests is
/// heard.
pub struct Heard {
    lines: Lines,
    _listening: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub fn listen() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self {
            lines,
            // Not the subscriber's own `set_default`: it takes the `log` crate's one place, too, and
            // whoever sets up the logs of all tests after it fails.
            _listening: tracing::subscriber::set_default(subscriber),
        }
    }

    /// How many lines hold these words.
    pub fn count(&self, words: &str) -> usize {
        let text = self.lines.text();
        text.lines().filter(|line| line.contains(words)).count()
    }
}

impl Lines {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.text())
    }
}
