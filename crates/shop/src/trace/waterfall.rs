//! A trace on the terminal: a row per span, the tree on the left, time running to the right.
//!
//! A bar is solid where something was done and shaded where an event lay in an outbox; dots lead to
//! a bar whose work waited for somebody to begin. Piped, it is a hundred columns wide.

use std::{collections::BTreeSet, time::Duration};

use anstyle::{AnsiColor, Style};
use chrono::SubsecRound as _;

use super::Found;
use crate::traces::{Event, Kind, Row, Span, Wait, waits};

/// The scale of time.
mod bar;
/// What a row is called.
mod label;

use bar::Scale;
pub(crate) use label::label;

/// Where the output is no terminal.
const PIPED_WIDTH: u16 = 100;
/// A narrower bar says nothing; then lines wrap.
const NARROWEST_BAR: usize = 16;
/// Shorter waits are of the machine, not of the order.
const NOTABLE_WAIT: Duration = Duration::from_millis(50);

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const WAITING: Style = AnsiColor::Yellow.on_default();
/// One per service, by its name.
const COLORS: [AnsiColor; 5] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Green,
    AnsiColor::BrightBlack,
];

pub(super) fn print(found: &Found, events: bool) {
    let rows = found.tree.rows();
    let waits = waits(&found.tree, &rows);
    let drawing = Drawing::new(&rows, width());
    headline(found, &drawing);
    for (row, wait) in rows.iter().zip(&waits) {
        drawing.row(row, wait.as_ref());
        for event in row.span.events.iter().filter(|_| events) {
            drawing.event(row, event);
        }
    }
    print_waits(&rows, &waits);
    print_linked(found, &drawing);
}

fn width() -> usize {
    let terminal = terminal_size::terminal_size().map(|(width, _)| width.0);
    usize::from(terminal.unwrap_or(PIPED_WIDTH))
}

fn headline(found: &Found, drawing: &Drawing) {
    let (count, services) = (found.tree.spans().len(), drawing.services.len());
    if let Some(order) = &found.order {
        let placed = order.create_time.trunc_subsecs(0).format("%H:%M:%S UTC");
        let took = order.update_time - order.create_time;
        let took = text(took.to_std().unwrap_or_default());
        let (id, state) = (order.order_id, &order.state);
        anstream::println!(
            "{BOLD}order {id}{BOLD:#}  {state} {took} after it was placed, {placed}"
        );
    }
    let trace = &found.trace_id;
    anstream::print!("{DIM}trace {trace}{DIM:#}  {count} spans of {services} services, ");
    match found.tree.connected() {
        Ok(()) => anstream::println!("{GOOD}one tree{GOOD:#}"),
        Err(torn) => anstream::println!("{BAD}no tree: {torn}{BAD:#}"),
    }
    anstream::println!();
}

/// Columns and colors.
struct Drawing {
    services: Vec<String>,
    service_width: usize,
    name_width: usize,
    scale: Scale,
}

impl Drawing {
    fn new(rows: &[Row<'_>], width: usize) -> Self {
        let services: BTreeSet<_> = rows.iter().map(|row| row.span.service.clone()).collect();
        let services: Vec<String> = services.into_iter().collect();
        let service_width = services.iter().map(String::len).max().unwrap_or_default();
        let names = rows.iter().map(|row| label(row).chars().count());
        let name_width = names.max().unwrap_or_default();
        // Two numbers of nine, and what separates columns.
        let taken = service_width + name_width + 2 * 9 + 2 + 1 + 2 + 2;
        let cells = width.saturating_sub(taken).max(NARROWEST_BAR);
        Self {
            scale: Scale::new(rows.iter().map(|row| row.span), cells),
            services,
            service_width,
            name_width,
        }
    }

    fn row(&self, row: &Row<'_>, wait: Option<&Wait>) {
        let (span, wide) = (row.span, self.service_width);
        let style = self.style(span);
        let name = if span.error.is_some() {
            BAD
        } else {
            Style::new()
        };
        let label = label(row);
        let padding = " ".repeat(self.name_width - label.chars().count());
        let start = text(Duration::from_nanos(
            span.start_unix_ns - self.scale.begin(),
        ));
        let took = text(span.duration());
        anstream::print!(
            "{style}{:wide$}{style:#}  {name}{label}{name:#}{padding}",
            span.service
        );
        anstream::print!(" {DIM}{start:>9}{DIM:#} {took:>9}  ");
        let style = if span.error.is_some() { BAD } else { style };
        let pieces = self.scale.bar(span, wait).into_iter();
        for (kind, piece) in pieces.filter(|(_, piece)| !piece.is_empty()) {
            let style = match kind {
                bar::Piece::Work => style,
                bar::Piece::Wait => WAITING,
                bar::Piece::Nothing => Style::new(),
            };
            anstream::print!("{style}{piece}{style:#}");
        }
        anstream::println!();
        if let Some(words) = span.error.as_ref().filter(|words| !words.is_empty()) {
            let indent = self.indent(row);
            anstream::println!("{:wide$}  {indent}  {BAD}{words}{BAD:#}", "");
        }
    }

    fn event(&self, row: &Row<'_>, event: &Event) {
        let (wide, indent) = (self.service_width, self.indent(row));
        let at = event.unix_ns.saturating_sub(self.scale.begin());
        let at = text(Duration::from_nanos(at));
        let words: Vec<String> = event
            .attributes
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        // As the row does: without its package.
        let name = event.name.rsplit('.').next().unwrap_or_default();
        let words = [vec![name.to_owned()], words].concat().join(" ");
        anstream::println!("{:wide$}  {indent}  {DIM}· {at} {words}{DIM:#}", "");
    }

    /// What leads on to a row's children.
    fn indent(&self, row: &Row<'_>) -> String {
        let levels = row
            .last
            .iter()
            .map(|last| if *last { "   " } else { "│  " });
        levels.collect()
    }

    fn style(&self, span: &Span) -> Style {
        let nth = self.services.iter().position(|name| *name == span.service);
        COLORS[nth.unwrap_or_default() % COLORS.len()].on_default()
    }
}

fn print_waits(rows: &[Row<'_>], waits: &[Option<Wait>]) {
    let all = rows.iter().zip(waits);
    let notable = all.filter_map(|(row, wait)| {
        let wait = wait.filter(|wait| wait.duration() >= NOTABLE_WAIT)?;
        Some((row, wait))
    });
    let notable: Vec<_> = notable.collect();
    let widths = notable.iter().map(|(_, wait)| wait.what.len());
    let Some(wide) = widths.max() else {
        return;
    };
    anstream::println!("\n{BOLD}waited{BOLD:#}");
    for (row, wait) in notable {
        let (took, what, name) = (text(wait.duration()), wait.what, row.span.short_name());
        anstream::println!("{WAITING}{took:>9}{WAITING:#}  {what:wide$}  {DIM}{name}{DIM:#}");
    }
}

fn print_linked(found: &Found, drawing: &Drawing) {
    // Batches are linked to all whose events they hold, and say nothing of this one.
    let calls = found.linked.iter().filter(|span| span.kind == Kind::Server);
    let calls: Vec<&Span> = calls.collect();
    if !calls.is_empty() {
        anstream::println!("\n{BOLD}linked{BOLD:#}");
    }
    for span in calls {
        let start = span.start_unix_ns.saturating_sub(drawing.scale.begin());
        let start = text(Duration::from_nanos(start));
        let (name, trace, service) = (span.short_name(), &span.trace_id, &span.service);
        anstream::println!("{start:>9}  {name}, {service}  {DIM}shop trace {trace}{DIM:#}");
    }
}

/// In the unit that people would take.
fn text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match time {
        _ if time < Duration::from_millis(1) => format!("{:.2} ms", 1e3 * seconds),
        _ if time < Duration::from_secs(1) => format!("{:.1} ms", 1e3 * seconds),
        _ if time < Duration::from_secs(100) => format!("{seconds:.3} s"),
        _ => format!("{:.0} s", seconds),
    }
}

#[cfg(test)]
mod tests;
