//! The report as one page of HTML that needs nothing else: no script, no font, no picture.
//!
//! The verdict is on top. Each drill has its figures, what had to hold, the course of the run with
//! its faults shaded, its strangest and slowest orders on the same axis of time, and their traces.

use std::fmt;

use super::{figures::Figures, report::Report, table};

/// The course of the run.
mod chart;
/// Orders, from placed to over.
mod paths;
/// Where a value lies on a drawing.
mod scale;
/// Traces of single orders.
mod trees;

const STYLE: &str = include_str!("page/page.css");
/// Failures that are listed.
const LISTED: usize = 20;

/// All reports of a run.
pub(super) struct Page<'a>(pub(super) &'a [Report]);

/// One drill on it.
struct Section<'a>(&'a Report);

/// Text that is no markup.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// Text in which names of code stand between backticks.
struct Prose<'a>(&'a str);

impl fmt::Display for Prose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, part) in self.0.split('`').enumerate() {
            match nth % 2 {
                0 => write!(f, "{}", Text(part))?,
                _ => write!(f, "<code>{}</code>", Text(part))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(reports) = self;
        let failed = reports.iter().filter(|report| !report.passed()).count();
        let title = match (*reports, failed) {
            ([one], 0) => format!("{} passed", one.drill),
            ([one], _) => format!("{} failed", one.drill),
            (all, 0) => format!("All {} drills passed", all.len()),
            (all, failed) => format!("{failed} of {} drills failed", all.len()),
        };
        let class = if failed == 0 { "passed" } else { "failed" };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <title>{title}</title><style>{STYLE}</style></head>\n<body>\n\
             <header class=\"{class}\"><h1>{title}</h1>"
        )?;
        if let Some(first) = reports.first() {
            let (time, rate) = (first.time.format("%Y-%m-%d %H:%M UTC"), first.rate);
            let (seconds, seed) = (first.seconds, first.seed);
            let seeds = match first.seeds.to_string() {
                one if one.is_empty() => format!("seed {seed}"),
                several => several,
            };
            write!(
                f,
                "<p>{time} · {rate} customers a second for {seconds} s · {seeds}</p>"
            )?;
        }
        writeln!(f, "</header>\n<main>")?;
        if reports.len() > 1 {
            contents(f, reports)?;
        }
        reports.iter().try_for_each(|r| Section(r).fmt(f))?;
        writeln!(f, "</main></body></html>")
    }
}

fn contents(f: &mut fmt::Formatter<'_>, reports: &[Report]) -> fmt::Result {
    write!(
        f,
        "<div class=\"wide\"><table class=\"all\"><thead><tr><th>drill</th>"
    )?;
    for (name, _) in table::columns(&Figures::default()) {
        write!(f, "<th>{name}</th>")?;
    }
    writeln!(f, "</tr></thead><tbody>")?;
    for report in reports {
        let (drill, chip) = (&report.drill, chip(report));
        write!(f, "<tr><td>{chip} <a href=\"#{drill}\">{drill}</a></td>")?;
        for (_, value) in table::columns(&report.figures) {
            write!(f, "<td>{value}</td>")?;
        }
        writeln!(f, "</tr>")?;
    }
    writeln!(f, "</tbody></table></div>")
}

fn chip(report: &Report) -> &'static str {
    match report.passed() {
        true => "<span class=\"chip passed\">✔</span>",
        false => "<span class=\"chip failed\">✘</span>",
    }
}

impl fmt::Display for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let (drill, chip) = (&report.drill, chip(report));
        let hypothesis = Prose(&report.hypothesis);
        writeln!(
            f,
            "<section id=\"{drill}\"><h2>{chip} {drill}</h2><p class=\"lead\">{hypothesis}</p>"
        )?;
        if !report.passed() {
            failures(f, &report.failures)?;
        }
        tiles(f, report)?;
        write!(f, "{}", chart::Chart(report))?;
        claims(f, report)?;
        figures(f, report)?;
        writeln!(f, "{}", paths::Paths(report))?;
        writeln!(f, "{}</section>", trees::Trees(report))
    }
}

fn failures(f: &mut fmt::Formatter<'_>, failures: &[String]) -> fmt::Result {
    write!(f, "<ul class=\"failures\">")?;
    for failure in failures.iter().take(LISTED) {
        write!(f, "<li>{}</li>", Text(failure))?;
    }
    if let more @ 1.. = failures.len().saturating_sub(LISTED) {
        write!(f, "<li>and {more} more</li>")?;
    }
    writeln!(f, "</ul>")
}

/// What is to be seen from afar.
fn tiles(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    let r = &report.figures;
    let zero = |count: usize| if count == 0 { "" } else { " class=\"bad\"" };
    let tiles = [
        ("acknowledged", r.acknowledged.to_string(), ""),
        ("READY", r.ready.to_string(), ""),
        ("lost", r.lost.to_string(), zero(r.lost)),
        ("made twice", r.made_twice.to_string(), zero(r.made_twice)),
        (
            "charged wrongly",
            r.charged_wrongly.to_string(),
            zero(r.charged_wrongly),
        ),
        ("first OK after healing", table::ms(r.first_ok_ms), ""),
        (
            "backlog gone after healing",
            table::ms(r.backlog_gone_ms),
            "",
        ),
    ];
    write!(f, "<dl class=\"tiles\">")?;
    for (name, value, class) in tiles {
        write!(f, "<div{class}><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(f, "</dl>")
}

fn claims(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    write!(f, "<h3>What had to hold</h3><ul class=\"claims\">")?;
    for claim in &report.noted.claims {
        let (class, mark) = match claim.holds {
            true => ("passed", '✔'),
            false => ("failed", '✘'),
        };
        let (claim, seen) = (Text(&claim.claim), Text(&claim.seen));
        write!(
            f,
            "<li><span class=\"chip {class}\">{mark}</span> {claim}<small>{seen}</small></li>"
        )?;
    }
    for bite in &report.noted.bites {
        let (what, count) = (Text(&bite.what), bite.count);
        write!(
            f,
            "<li><span class=\"chip bite\">⚡</span> The fault bit: {count} {what}</li>"
        )?;
    }
    writeln!(f, "</ul>")
}

fn figures(f: &mut fmt::Formatter<'_>, report: &Report) -> fmt::Result {
    write!(f, "<h3>Figures</h3><dl class=\"figures\">")?;
    for (name, value) in table::rows(&report.figures) {
        let (name, value) = (Text(&name), Text(&value));
        write!(f, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    writeln!(f, "</dl>")
}
