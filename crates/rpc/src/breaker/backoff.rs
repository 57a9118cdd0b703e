//! Pauses that double, up to the longest, each shortened at random by up to a half.
//!
//! failsafe's own count in whole seconds, and the jittered ones are 0 at first, often or always: a
//! breaker that opens for no time is none.

use std::time::Duration;

/// The shortest pause there is.
const SHORTEST: Duration = Duration::from_millis(1);

/// Pauses without end.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
    /// The least that is left of a pause.
    least: f64,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first.max(SHORTEST),
            longest: longest.max(SHORTEST),
            least: 0.5,
        }
    }

    #[cfg(test)]
    pub(crate) fn without_jitter(first: Duration, longest: Duration) -> Self {
        Self {
            least: 1.0,
            ..Self::new(first, longest)
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.min(self.longest);
        self.next = pause.saturating_mul(2);
        let share = rand::random_range(self.least..=1.0);
        Some(pause.mul_f64(share).max(SHORTEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(10);

    #[test]
    fn a_pause_is_never_zero_and_never_over_the_longest() {
        for (first, longest) in [(FIRST, LONGEST), (Duration::ZERO, Duration::ZERO)] {
            for _ in 0..1000 {
                for pause in Backoff::new(first, longest).take(8) {
                    assert!(
                        pause >= SHORTEST && pause <= longest.max(SHORTEST),
                        "{pause:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn pauses_double_and_no_two_instances_wait_alike() {
        let pauses: Vec<Vec<Duration>> = (0..100)
            .map(|_| Backoff::new(FIRST, LONGEST).take(8).collect())
            .collect();
        for (nth, whole) in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
            .iter()
            .enumerate()
        {
            let whole = Duration::from_millis(*whole);
            assert!(
                pauses
                    .iter()
                    .all(|one| one[nth] >= whole / 2 && one[nth] <= whole)
            );
        }
        assert!(pauses.windows(2).any(|two| two[0] != two[1]));
    }
}
