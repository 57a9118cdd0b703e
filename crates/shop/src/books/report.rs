//! The books as a table for people.

use std::fmt;

use super::{Books, Finding, Rule};

/// Orders listed under one rule; a thousand lines of one mistake help nobody.
const LISTED: usize = 10;

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = &self.summary;
        for (state, count) in summary.orders.iter().filter(|(_, count)| *count > 0) {
            writeln!(f, "  {:<26}{count:>10}", format!("orders {state}"))?;
        }
        writeln!(
            f,
            "  {:<26}{:>10}",
            "drinks ordered and paid", summary.drinks_ordered
        )?;
        writeln!(f, "  {:<26}{:>10}", "drinks booked", summary.drinks_booked)?;
        writeln!(f, "  {:<26}{:>10}", "charges", summary.charges)?;
        writeln!(
            f,
            "  {:<26}{:>10} EUR",
            "paid orders",
            euros(summary.ordered_minor)
        )?;
        writeln!(
            f,
            "  {:<26}{:>10} EUR",
            "charged",
            euros(summary.charged_minor)
        )?;
        self.refunded(f)?;
        self.owed(f)?;
        self.verdict(f)
    }
}

impl Books {
    fn refunded(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.summary.refunded_minor {
            0 => Ok(()),
            minor => writeln!(f, "  {:<26}{:>10} EUR", "given back", euros(minor)),
        }
    }

    /// Nothing is wrong yet, but somebody waits for their money.
    fn owed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = &self.summary;
        if summary.refunds_owed == 0 {
            return Ok(());
        }
        let yellow = anstyle::AnsiColor::Yellow.on_default();
        let (refunds, amount) = (summary.refunds_owed, euros(summary.owed_minor));
        writeln!(
            f,
            "{yellow}  {:<26}{refunds:>10} ({amount} EUR){yellow:#}",
            "refunds owed"
        )
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            let green = anstyle::AnsiColor::Green.on_default();
            return write!(f, "{green}✔{green:#} the books are right");
        }
        let red = anstyle::AnsiColor::Red.on_default();
        write!(
            f,
            "{red}✘{red:#} the books are wrong; findings: {}",
            self.findings.len()
        )?;
        self.findings
            .chunk_by(|one, next| one.rule == next.rule)
            .try_for_each(|group| list(f, group[0].rule, group))
    }
}

fn list(f: &mut fmt::Formatter<'_>, rule: Rule, group: &[Finding]) -> fmt::Result {
    write!(f, "\n  {} ({})", rule.claim(), group.len())?;
    for finding in group.iter().take(LISTED) {
        write!(f, "\n    {}  {}", finding.order_id, finding.detail)?;
    }
    match group.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, "\n    and {more} more"),
    }
}

fn euros(minor: i64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}
