//! The verdict and the figures, for people.

use std::{fmt, fs, path::Path};

use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, Result};

use super::{catalog, figures::Figures, report::Report};

/// What went wrong, listed; a thousand lines of one mistake help nobody.
const LISTED: usize = 12;

/// One drill, in full.
pub(super) struct One<'a>(pub(super) &'a Report);

/// A line per drill.
pub(super) struct All<'a>(pub(super) &'a [Report]);

/// Names the drills.
pub(super) fn list() {
    let bold = Style::new().bold();
    for drill in catalog::DRILLS {
        anstream::println!("{bold}{}{bold:#}\n    {}", drill.name, drill.hypothesis());
    }
}

/// The same as a table in Markdown, with the figures of the last run of each.
pub(super) fn markdown(folder: &Path) -> Result<()> {
    anstream::println!(
        "| drill | hypothesis | calls OK / fail / unknown | acknowledged → READY | lost, twice, \
         charged wrongly | seen after | first OK, backlog gone after healing |\n\
         |---|---|---|---|---|---|---|"
    );
    for drill in catalog::DRILLS {
        let figures = match last(&folder.join(drill.name).join("report.json"))? {
            Some(report) => row(&report),
            None => "| not run here | | | | |".to_owned(),
        };
        let (name, hypothesis) = (drill.name, drill.hypothesis());
        anstream::println!("| `{name}` | {hypothesis} {figures}");
    }
    Ok(())
}

fn last(path: &Path) -> Result<Option<Report>> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(None);
    };
    let report = serde_json::from_str(&text);
    report.with_context(|| format!("{} is of another version", path.display()))
}

fn row(report: &Report) -> String {
    let f = &report.figures;
    let verdict = if report.passed() { "" } else { "**failed** " };
    format!(
        "| {verdict}{} / {} / {} | {} → {} | {}, {}, {} | {} | {}, {} |",
        f.ok,
        f.fail,
        f.unknown,
        f.acknowledged,
        f.ready,
        f.lost,
        f.made_twice,
        f.charged_wrongly,
        ms(f.detected_ms),
        ms(f.first_ok_ms),
        ms(f.backlog_gone_ms),
    )
}

/// A time, as short as it may be; a dash for one that there is not.
pub(super) fn ms(ms: Option<u64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms @ 0..1_000) => format!("{ms} ms"),
        Some(ms) => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

impl fmt::Display for One<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let dim = Style::new().dimmed();
        writeln!(f, "{dim}{}{dim:#}", report.hypothesis)?;
        for (name, value) in rows(&report.figures) {
            writeln!(f, "  {name:<34}{value:>12}")?;
        }
        for bite in &report.noted.bites {
            writeln!(f, "  bit: {:<29}{:>12}", bite.what, bite.count)?;
        }
        for claim in &report.noted.claims {
            let (color, mark) = mark(claim.holds);
            writeln!(
                f,
                "  {color}{mark}{color:#} {}: {}",
                claim.claim, claim.seen
            )?;
        }
        verdict(f, report)
    }
}

fn verdict(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let (color, mark) = mark(report.passed());
    let (drill, seed) = (&report.drill, report.seed);
    write!(f, "{color}{mark}{color:#} {drill} (seed {seed}) ")?;
    if report.passed() {
        return write!(f, "passed: the books are right");
    }
    write!(f, "failed")?;
    for failure in report.failures.iter().take(LISTED) {
        write!(f, "\n    {failure}")?;
    }
    match report.failures.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, "\n    and {more} more"),
    }
}

fn mark(good: bool) -> (Style, char) {
    match good {
        true => (AnsiColor::Green.on_default(), '✔'),
        false => (AnsiColor::Red.on_default(), '✘'),
    }
}

/// The figures by name, for the table and for the page.
pub(super) fn rows(figures: &Figures) -> Vec<(String, String)> {
    let f = figures;
    let injected = f.injected.iter();
    let injected = injected.map(|(kind, count)| (format!("injected: {kind}"), count.to_string()));
    let count = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |c| c.to_string());
    let again = f.published_again.map(|again| again as u64);
    let inversions = f.inversions_refused.map(|inversions| inversions as u64);
    let others = [
        ("calls OK", f.ok.to_string()),
        ("calls failed", f.fail.to_string()),
        ("calls of unknown outcome", f.unknown.to_string()),
        ("unknown and resolved", f.unknown_resolved.to_string()),
        ("customers who gave up", f.unanswered.to_string()),
        ("orders acknowledged", f.acknowledged.to_string()),
        ("of these READY", f.ready.to_string()),
        ("lost", f.lost.to_string()),
        ("made twice, or not as ordered", f.made_twice.to_string()),
        ("charged wrongly", f.charged_wrongly.to_string()),
        ("went backwards", f.went_backwards.to_string()),
        ("happened and not published", f.not_published.to_string()),
        ("published again", count(again)),
        ("duplicates absorbed", count(f.duplicates_absorbed)),
        ("inversions refused", count(inversions)),
        ("seen after", ms(f.detected_ms)),
        ("first OK after healing", ms(f.first_ok_ms)),
        ("first READY after healing", ms(f.first_ready_ms)),
        ("backlog gone after healing", ms(f.backlog_gone_ms)),
        ("a customer waited, p50", format!("{:.0} ms", f.wait_p50_ms)),
        ("a customer waited, p99", format!("{:.0} ms", f.wait_p99_ms)),
        (
            "a customer waited, most",
            format!("{:.0} ms", f.wait_max_ms),
        ),
    ];
    let others = others.map(|(name, value)| (name.to_owned(), value));
    injected.chain(others).collect()
}

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bold = Style::new().bold();
        writeln!(
            f,
            "\n{bold}  {:<26}{:>7}{:>7}{:>9}{:>8}{:>8}{:>6}{:>7}{:>9}{:>10}{:>10}{:>10}{bold:#}",
            "drill",
            "OK",
            "fail",
            "unknown",
            "acked",
            "READY",
            "lost",
            "twice",
            "charged",
            "seen",
            "first OK",
            "backlog"
        )?;
        for report in self.0 {
            let (color, mark) = mark(report.passed());
            let r = &report.figures;
            writeln!(
                f,
                "{color}{mark}{color:#} {:<26}{:>7}{:>7}{:>9}{:>8}{:>8}{:>6}{:>7}{:>9}{:>10}{:>10}{:>10}",
                report.drill,
                r.ok,
                r.fail,
                r.unknown,
                r.acknowledged,
                r.ready,
                r.lost,
                r.made_twice,
                r.charged_wrongly,
                ms(r.detected_ms),
                ms(r.first_ok_ms),
                ms(r.backlog_gone_ms)
            )?;
        }
        let failed = self.0.iter().filter(|report| !report.passed()).count();
        write!(f, "{} drills, {failed} failed", self.0.len())
    }
}
