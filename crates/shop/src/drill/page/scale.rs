//! Where a value lies on a drawing, and which values are written beside it.

use std::ops::RangeInclusive;

use crate::drill::{report::Report, timeline::seconds};

/// Width of a drawing. It is shown as wide as the page.
pub(super) const WIDTH: f64 = 1_000.0;
/// Left of the axis: its labels.
pub(super) const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;

/// Seconds since the first customer was to come, from left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    begin_us: u64,
    seconds: f64,
}

impl Time {
    fn new(begin_us: u64, end_us: u64) -> Self {
        let seconds = seconds(end_us.saturating_sub(begin_us));
        Self {
            begin_us,
            seconds: seconds.max(1.0),
        }
    }

    /// Of a time in microseconds since the history began.
    pub(super) fn x(&self, micros: u64) -> f64 {
        let since = seconds(micros.saturating_sub(self.begin_us));
        self.x_of(since.min(self.seconds))
    }

    /// Of seconds since the first customer.
    pub(super) fn x_of(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.seconds
    }

    /// Whole seconds, about ten of them.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step = nice(self.seconds / 10.0).max(1.0);
        multiples(step, self.seconds)
    }
}

impl Report {
    /// The axis of its drawings.
    pub(super) fn time_axis(&self) -> Time {
        Time::new(self.timeline.begin_us, self.timeline.end_us)
    }
}

/// A measure, from the bottom of a panel to its top.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From zero.
    Linear(f64),
    /// Each step is ten times the last: both ends.
    Log(f64, f64),
}

impl Scale {
    /// From zero to a little more than the most.
    pub(super) fn linear(values: impl Iterator<Item = f64>, least: f64) -> Self {
        let most = values.fold(least, f64::max);
        let step = nice(most / 3.0);
        Self::Linear((most / step).ceil() * step)
    }

    /// Powers of ten around all values.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) = values
            .filter(|value| *value > 0.0)
            .fold((100.0_f64, 10.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        Self::Log(least.log10().floor(), most.log10().ceil())
    }

    /// From 0 at the bottom to 1 at the top.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = match self {
            Self::Linear(most) => value / most,
            Self::Log(least, most) => (value.max(1e-6).log10() - least) / (most - least),
        };
        share.clamp(0.0, 1.0)
    }

    /// What is written beside the axis.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear(most) => multiples(nice(most / 3.0), most),
            Self::Log(least, most) => {
                let powers = std::iter::successors(Some(least), |power| Some(power + 1.0));
                let powers = powers.take_while(|power| *power <= most);
                powers.map(|power| 10_f64.powf(power)).collect()
            }
        }
    }
}

/// 1, 2 or 5 times a power of ten: the least that is not below.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let fits = steps.into_iter().find(|step| *step >= value * 0.999);
    fits.unwrap_or(10.0 * power)
}

fn multiples(step: f64, until: f64) -> Vec<f64> {
    let multiples = std::iter::successors(Some(0.0), |at| Some(at + step));
    let inside: RangeInclusive<f64> = 0.0..=until * 1.001;
    multiples.take_while(|at| inside.contains(at)).collect()
}
