//! The verdict and the figures, for people.

use std::fmt;

use anstyle::{AnsiColor, Style};

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

/// The same as a table in Markdown, with the figures of those that were run.
pub(super) fn markdown(reports: &[Report]) -> String {
    let headings = columns(&Figures::default()).map(|(name, _)| name);
    let rules = "---|".repeat(headings.len());
    let mut table = format!("| drill | hypothesis | {} |\n", headings.join(" | "));
    table += &format!("|---|---|{rules}\n");
    for drill in catalog::DRILLS {
        let (name, hypothesis) = (drill.name, drill.hypothesis());
        let report = reports.iter().find(|report| report.drill == name);
        let figures = report.map_or_else(
            || "not run here".to_owned() + &" |".repeat(headings.len() - 1),
            figures,
        );
        table += &format!("| `{name}` | {hypothesis} | {figures} |\n");
    }
    table
}

fn figures(report: &Report) -> String {
    let values = columns(&report.figures).map(|(_, value)| value).join(" | ");
    match (report.passed(), report.seeds.to_string().as_str()) {
        (true, _) => values,
        (false, "") => format!("**failed** {values}"),
        (false, seeds) => format!("**failed** ({seeds}) {values}"),
    }
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
        ("published and never happened", f.never_happened.to_string()),
        (
            "published",
            count(f.published.map(|published| published as u64)),
        ),
        ("published again", count(again)),
        ("duplicates absorbed", count(f.duplicates_absorbed)),
        ("inversions refused", count(inversions)),
        ("orders whose trace is one tree", trees(f)),
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

/// The figures by which drills are compared, a line each: what a column is called, and what it holds.
pub(super) fn columns(figures: &Figures) -> [(&'static str, String); 7] {
    let f = figures;
    let all = |counts: [usize; 3]| counts.map(|count| count.to_string()).join(" / ");
    let wrong = [f.lost, f.made_twice, f.charged_wrongly];
    [
        ("OK / failed / unknown", all([f.ok, f.fail, f.unknown])),
        (
            "placed / READY",
            format!("{} / {}", f.acknowledged, f.ready),
        ),
        ("lost / twice / charged wrongly", all(wrong)),
        ("one tree", trees(f)),
        ("seen after", ms(f.detected_ms)),
        ("first OK", ms(f.first_ok_ms)),
        ("backlog gone", ms(f.backlog_gone_ms)),
    ]
}

/// The share of orders whose trace is one connected tree, never rounded up to all.
fn trees(figures: &Figures) -> String {
    match (figures.one_tree, figures.traced) {
        (Some(whole), Some(traced @ 1..)) => {
            let permille = 1_000 * whole / traced;
            format!("{}.{} %", permille / 10, permille % 10)
        }
        _ => "–".to_owned(),
    }
}

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bold = Style::new().bold();
        write!(f, "\n{bold}  {:<30}", "drill")?;
        for (name, _) in columns(&Figures::default()) {
            write!(f, "  {name:>12}")?;
        }
        writeln!(f, "{bold:#}")?;
        for report in self.0 {
            let (color, mark) = mark(report.passed());
            let name = format!("{} {}", report.drill, report.seeds);
            write!(f, "{color}{mark}{color:#} {name:<30}")?;
            for (name, value) in columns(&report.figures) {
                write!(f, "  {value:>width$}", width = name.len().max(12))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
