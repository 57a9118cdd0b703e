//! The traces of the orders above, a row per span: the tree on the left, time running to the right.

use std::fmt;

use super::Text;
use crate::drill::{
    notes::Fault,
    report::Report,
    table,
    timeline::{Story, seconds},
    traced::{Drawn, Traced},
};

/// All of them; the first one is open.
pub(super) struct Trees<'a>(pub(super) &'a Report);

impl fmt::Display for Trees<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let orders = self.0.orders.iter();
        let traced = orders.filter_map(|story| Some((story, story.traced.as_ref()?)));
        let mut traced = traced.peekable();
        if traced.peek().is_none() {
            return Ok(());
        }
        writeln!(
            f,
            "<h3>Their traces</h3><p class=\"keys\"><span class=\"work\">■</span> at work \
             <span class=\"wait\">■</span> waits</p>"
        )?;
        for (nth, (story, traced)) in traced.enumerate() {
            let open = if nth == 0 { " open" } else { "" };
            write!(f, "<details class=\"trace\"{open}>")?;
            summary(f, story, traced)?;
            spans(f, traced, &self.0.noted.faults)?;
            writeln!(f, "</details>")?;
        }
        Ok(())
    }
}

fn summary(f: &mut fmt::Formatter<'_>, story: &Story, traced: &Traced) -> fmt::Result {
    let (id, state) = (story.order_id, &story.state);
    let count = traced.spans.len() + traced.more;
    let lasted = table::ms(story.lasted_us().map(|us| us / 1_000));
    write!(
        f,
        "<summary><code>{id}</code> {state}, {lasted} · {count} spans, "
    )?;
    match &traced.torn {
        None => write!(f, "one tree</summary>"),
        Some(torn) => write!(f, "<b class=\"torn\">torn: {}</b></summary>", Text(torn)),
    }
}

fn spans(f: &mut fmt::Formatter<'_>, traced: &Traced, faults: &[Fault]) -> fmt::Result {
    let scale = Scale::of(traced);
    write!(f, "<div class=\"wide\"><table class=\"spans\"><tbody>")?;
    for span in &traced.spans {
        row(f, span, scale, faults)?;
    }
    if traced.more > 0 {
        let more = traced.more;
        write!(f, "<tr><td></td><td>and {more} more</td></tr>")?;
    }
    write!(f, "</tbody></table></div>")
}

fn row(f: &mut fmt::Formatter<'_>, span: &Drawn, scale: Scale, faults: &[Fault]) -> fmt::Result {
    let (service, label) = (Text(&span.service), Text(&span.label));
    let class = if span.failed { " class=\"failed\"" } else { "" };
    let begins = table::ms(Some(span.from_us.saturating_sub(scale.begin_us) / 1_000));
    let took = span.until_us.saturating_sub(span.from_us);
    write!(
        f,
        "<tr{class}><td>{service}</td><td class=\"label\">{label}</td><td>{begins}</td><td>{}</td>\
         <td class=\"bar\">",
        Took(took)
    )?;
    for fault in faults {
        let until_us = fault.until_us.unwrap_or(u64::MAX);
        scale.bar(f, "broken", (fault.from_us, until_us), &fault.kind)?;
    }
    let work = (span.from_us, span.until_us);
    match &span.waited {
        Some(wait) => {
            let times = (wait.from_us, wait.until_us);
            // A send waits as long as it lasts.
            if times != work {
                scale.bar(f, "work", work, &span.label)?;
            }
            scale.bar(f, "wait", times, &wait.what)?;
        }
        None => scale.bar(f, "work", work, &span.label)?,
    }
    writeln!(f, "</td></tr>")
}

/// How long something took, if that is not much, too.
struct Took(u64);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..10_000 => write!(f, "{}.{} ms", us / 1_000, us % 1_000 / 100),
            us => write!(f, "{}", table::ms(Some(us / 1_000))),
        }
    }
}

/// From a trace's first moment to its last.
#[derive(Clone, Copy, Debug)]
struct Scale {
    begin_us: u64,
    end_us: u64,
}

impl Scale {
    fn of(traced: &Traced) -> Self {
        Self {
            begin_us: traced.begin_us,
            end_us: traced.end_us.max(traced.begin_us + 1),
        }
    }

    /// In hundredths of its width.
    fn left(self, at_us: u64) -> f64 {
        let at = at_us.clamp(self.begin_us, self.end_us) - self.begin_us;
        100.0 * seconds(at) / seconds(self.end_us - self.begin_us)
    }

    fn bar(
        self,
        f: &mut fmt::Formatter<'_>,
        class: &str,
        (from_us, until_us): (u64, u64),
        what: &str,
    ) -> fmt::Result {
        if until_us < self.begin_us || from_us > self.end_us {
            return Ok(());
        }
        let (left, right) = (self.left(from_us), self.left(until_us));
        write!(
            f,
            "<i class=\"{class}\" style=\"left:{left:.2}%;width:{:.2}%\" title=\"{}\"></i>",
            right - left,
            Text(what)
        )
    }
}
