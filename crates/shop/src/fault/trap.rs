//! A cut that waits until a client has said something.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What a cut takes along that waits for a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The word: the server does not hear it.
    Word,
    /// The answer: the server has heard the word and done what it does then.
    Answer,
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trap {
    pub(super) words: &'static [&'static str],
    pub(super) lost: Lost,
}

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Client,
    Server,
}

impl Trap {
    /// Whether these bytes are the ones to be lost. `said` is how many of the words were said on
    /// their connection.
    pub(super) fn springs(self, said: &AtomicUsize, from: From, bytes: &[u8]) -> bool {
        let before = said.load(Ordering::Relaxed);
        let all = self.words.len();
        match (from, self.words.get(before)) {
            (From::Server, _) => self.lost == Lost::Answer && before == all,
            (From::Client, Some(word)) if contains(bytes, word) => {
                said.store(before + 1, Ordering::Relaxed);
                self.lost == Lost::Word && before + 1 == all
            }
            (From::Client, _) => false,
        }
    }
}

fn contains(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}
