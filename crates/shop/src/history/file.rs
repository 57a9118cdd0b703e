//! The lines of the file: JSON, one per thing that happened.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use proto::reception::v1::Order;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::call::{Answer, Call, Outcome};

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Began {
        time: DateTime<Utc>,
    },
    Asked {
        call: usize,
        request_id: String,
        came_us: u64,
        asked_us: u64,
    },
    Answered {
        call: usize,
        #[serde(flatten)]
        answer: Answer,
    },
}

/// A history on its way into a file.
#[derive(Debug)]
pub(super) struct Recording {
    file: File,
    began: (Instant, DateTime<Utc>),
    calls: Vec<Call>,
    /// Those that were answered, and those answered OK.
    counts: (usize, usize),
    /// The first one; nothing after it counts as written.
    error: Option<String>,
}

impl Recording {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::options().append(true).create_new(true).open(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        let began = (Instant::now(), Utc::now());
        let mut recording = Self {
            file,
            began,
            calls: Vec::new(),
            counts: (0, 0),
            error: None,
        };
        recording.write(&Line::Began { time: began.1 });
        Ok(recording)
    }

    pub(super) fn began(&self) -> (Instant, DateTime<Utc>) {
        self.began
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) fn answered_so_far(&self) -> (usize, usize) {
        self.counts
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn asked(&mut self, request_id: &str, came: Instant) -> usize {
        let (call, request_id) = (self.calls.len(), request_id.to_owned());
        let (came_us, asked_us) = (self.micros(came), self.micros(Instant::now()));
        self.write(&Line::Asked {
            call,
            request_id: request_id.clone(),
            came_us,
            asked_us,
        });
        self.calls.push(Call {
            request_id,
            came_us,
            asked_us,
            answer: None,
        });
        call
    }

    pub(super) fn answered(&mut self, call: usize, answer: &Result<Order, Status>) {
        let answer = Answer {
            answered_us: self.micros(Instant::now()),
            outcome: Outcome::of(answer),
            code: match answer {
                Ok(_) => String::new(),
                Err(status) => rpc::status::name(status.code()).to_owned(),
            },
            order_id: answer.as_ref().ok().and_then(|o| o.order_id.parse().ok()),
        };
        self.write(&Line::Answered {
            call,
            answer: answer.clone(),
        });
        self.counts.0 += 1;
        self.counts.1 += usize::from(answer.outcome == Outcome::Ok);
        self.calls[call].answer = Some(answer);
    }

    /// One `write` per line and no buffer of our own: the line is the system's when it returns.
    fn write(&mut self, line: &Line) {
        let text = serde_json::to_string(line).map(|text| text + "\n");
        let written = match text {
            Ok(text) => self.file.write_all(text.as_bytes()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            self.error.get_or_insert(error.to_string());
        }
    }

    fn micros(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.began.0);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A history that was read back.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it began.
    pub began: DateTime<Utc>,
    /// Its calls, in the order in which they were sent.
    pub calls: Vec<Call>,
}

impl Recorded {
    /// The ids of the orders that were acknowledged.
    pub fn acknowledged(&self) -> Vec<Uuid> {
        let answers = self.calls.iter().filter_map(|call| call.answer.as_ref());
        answers.filter_map(|answer| answer.order_id).collect()
    }
}

/// Reads a history. Its last line may be cut short: whoever wrote it was killed over it.
pub fn read(path: &Path) -> Result<Recorded> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().context("the history is empty")??;
    let Line::Began { time: began } = serde_json::from_str(&first)? else {
        anyhow::bail!("the history has no beginning");
    };
    let (mut calls, mut numbers, mut torn) = (Vec::new(), HashMap::new(), None);
    for (number, line) in (2..).zip(lines) {
        ensure!(torn.is_none(), "line {torn:?} of the history is no JSON");
        match serde_json::from_str(&line?) {
            Ok(line) => take(line, &mut calls, &mut numbers),
            Err(_) => torn = Some(number),
        }
    }
    Ok(Recorded { began, calls })
}

fn take(line: Line, calls: &mut Vec<Call>, numbers: &mut HashMap<usize, usize>) {
    match line {
        Line::Began { .. } => {}
        Line::Asked {
            call,
            request_id,
            came_us,
            asked_us,
        } => {
            numbers.insert(call, calls.len());
            calls.push(Call {
                request_id,
                came_us,
                asked_us,
                answer: None,
            });
        }
        Line::Answered { call, answer } => {
            if let Some(at) = numbers.get(&call) {
                calls[*at].answer = Some(answer);
            }
        }
    }
}
