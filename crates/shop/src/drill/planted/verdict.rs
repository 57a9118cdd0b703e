//! What was seen, against what had to be. Pure.

use super::rows::{Caught, DUPLICATES, Row};
use crate::drill::report::Report;

/// What can become of a message.
const CONSUMED: [&str; 4] = [
    "coffeeshop.inbox.done",
    "coffeeshop.inbox.absorbed",
    "coffeeshop.inbox.dead_letters",
    DUPLICATES,
];
/// How much of what was wrong instead is said.
const SAID: usize = 2;

/// What is to be said of a row.
pub(super) struct Verdict {
    /// Whether it went as it had to.
    pub(super) noticed: bool,
    /// The same, in words.
    pub(super) words: String,
}

/// Compares a report with what the row wants, and with that of a sound shop.
pub(super) fn judged(row: &Row, report: &Report, sound: &Report) -> Verdict {
    if let Some(why) = proves_nothing(report, sound) {
        return Verdict {
            noticed: false,
            words: format!("**NOT RUN**: {why}"),
        };
    }
    let words = match &row.caught {
        Caught::Red(reasons) => red(reasons, report),
        Caught::By { layer, count } => {
            let words = format!("`{count}` {}", counted(report, count));
            green(report, layer, counted(report, count) > 0, &words)
        }
        Caught::Again { layer } => {
            let (again, knew) = (came_again(report), counted(report, DUPLICATES));
            let otherwise = counted(sound, DUPLICATES);
            let words = format!(
                "{again} events came again, and the inbox knew {knew} (without a bug: {otherwise})"
            );
            green(
                report,
                layer,
                again > 0 && knew == 0 && otherwise > 0,
                &words,
            )
        }
    };
    match words {
        Ok(words) => Verdict {
            noticed: true,
            words,
        },
        Err(words) => Verdict {
            noticed: false,
            words: format!("**NOT CAUGHT**: {words}"),
        },
    }
}

/// What is red by itself, or was never broken, says nothing of a bug.
fn proves_nothing(report: &Report, sound: &Report) -> Option<String> {
    if !sound.passed() {
        return Some("with nothing taken out the drill is red, too".to_owned());
    }
    let broken = !report.noted.faults.is_empty();
    (!broken).then(|| format!("it came to no fault ({})", said(report)))
}

/// Each reason, and how often it was given.
fn red(reasons: &[&str], report: &Report) -> Result<String, String> {
    let mut given = Vec::new();
    for reason in reasons {
        let count = report
            .failures
            .iter()
            .filter(|f| f.contains(reason))
            .count();
        if count == 0 {
            return Err(format!("nobody says “{reason}” ({})", said(report)));
        }
        given.push(format!("{count} × “{reason}”"));
    }
    Ok(format!("red: {}", given.join(", ")))
}

/// Green, and the layer was met.
fn green(report: &Report, layer: &str, met: bool, words: &str) -> Result<String, String> {
    match (report.passed(), met) {
        (true, true) => Ok(format!("stopped by {layer}: {words}")),
        (true, false) => Err(format!("{layer} was not met: {words}")),
        (false, _) => Err(format!("it should have met {layer} ({})", said(report))),
    }
}

/// Events that were consumed beyond those that were published. Counted where they were committed.
fn came_again(report: &Report) -> u64 {
    let consumed = CONSUMED.map(|count| counted(report, count));
    let published = report.figures.published.unwrap_or(usize::MAX);
    let consumed: u64 = consumed.iter().sum();
    consumed.saturating_sub(published as u64)
}

/// A counter of the services, or a count that the drill itself has noted.
fn counted(report: &Report, count: &str) -> u64 {
    let bite = report.noted.bites.iter().find(|bite| bite.what == count);
    let counter = report.counters.get(count).copied();
    bite.map(|bite| bite.count).or(counter).unwrap_or(0)
}

/// Why it was red, cut short.
pub(super) fn said(report: &Report) -> String {
    if report.passed() {
        return "the drill is green".to_owned();
    }
    let failures: Vec<&str> = report.failures.iter().map(String::as_str).collect();
    let (first, more) = failures.split_at(failures.len().min(SAID));
    match more.len() {
        0 => first.join("; "),
        more => format!("{}, and {more} more", first.join("; ")),
    }
}

#[cfg(test)]
mod tests;
