//! Says what takes long: a spinner on a terminal, plain lines elsewhere, nothing in tests.

use std::{
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where steps are shown. Clones draw on the same terminal.
#[derive(Clone, Debug)]
pub enum Progress {
    /// One spinner per running step.
    Terminal(MultiProgress),
    /// A line per step, for logs and pipes.
    Lines,
    /// Nothing at all.
    Silent,
}

impl Progress {
    /// Spinners if stderr is a terminal, else lines.
    pub fn on_stderr() -> Self {
        if stderr().is_terminal() {
            Self::Terminal(MultiProgress::new())
        } else {
            Self::Lines
        }
    }

    /// Begins a step: `step("starting Kafka")`.
    pub fn step(&self, doing: impl Into<String>) -> Step {
        let doing = doing.into();
        let bar = match self {
            Self::Terminal(screen) => screen.add(ProgressBar::new_spinner()),
            Self::Lines | Self::Silent => ProgressBar::hidden(),
        };
        bar.set_style(ProgressStyle::default_spinner());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar.set_message(doing.clone());
        if matches!(self, Self::Lines) {
            anstream::eprintln!("{doing} …");
        }
        Step {
            progress: self.clone(),
            bar,
            started: Instant::now(),
            said: Instant::now(),
        }
    }

    /// Says something that stays on the screen.
    pub fn say(&self, text: &str) {
        match self {
            Self::Terminal(screen) => screen.suspend(|| anstream::eprintln!("{text}")),
            Self::Lines => anstream::eprintln!("{text}"),
            Self::Silent => {}
        }
    }
}

/// A step that is under way. Dropping it takes its spinner off the screen.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    bar: ProgressBar,
    started: Instant,
    /// When it last said how far it is.
    said: Instant,
}

/// Between two lines of one step, where there is no spinner.
const SAY_EVERY: Duration = Duration::from_secs(10);

impl Step {
    /// Says how far it is, as often as the caller likes.
    pub fn now(&mut self, how_far: &str) {
        self.bar.set_message(how_far.to_owned());
        if matches!(self.progress, Progress::Lines) && self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            anstream::eprintln!("{how_far}");
        }
    }

    /// Ends the step: `done("Kafka is ready")`.
    pub fn done(self, what: &str) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        let green = anstyle::AnsiColor::Green.on_default();
        self.progress
            .say(&format!("{green}✔{green:#} {what} ({seconds:.1} s)"));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
