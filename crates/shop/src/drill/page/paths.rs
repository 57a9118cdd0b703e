//! Orders, from placed to over, on the axis of time of the run: the strangest and the slowest.

use std::fmt;

use super::{
    chart::{axis, faults},
    scale::{LEFT, WIDTH},
};
use crate::drill::{report::Report, timeline::Story};

const ROW: f64 = 24.0;
const BAR: f64 = 10.0;
const HEAD: f64 = 6.0;
const FOOT: f64 = 30.0;

/// The drawing.
pub(super) struct Paths<'a>(pub(super) &'a Report);

impl fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (report, time) = (self.0, self.0.time_axis());
        if report.orders.is_empty() {
            return Ok(());
        }
        let rows = ROW * f64::from(u32::try_from(report.orders.len()).unwrap_or(u32::MAX));
        let (bottom, height) = (HEAD + rows, HEAD + rows + FOOT);
        write!(
            f,
            "<h3>The strangest and the slowest orders</h3><p class=\"keys\">\
             <span class=\"awaiting\">■</span> AWAITING_PAYMENT <span class=\"paid\">■</span> PAID \
             <span class=\"preparing\">■</span> PREPARING <span class=\"over\">●</span> over</p>\
             <figure><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"Orders from placed to over\">"
        )?;
        faults(f, &report.noted.faults, time, 0.0, bottom)?;
        let mut top = HEAD;
        for story in &report.orders {
            self.row(f, story, top)?;
            top += ROW;
        }
        axis(f, time, bottom)?;
        writeln!(f, "</svg></figure>")
    }
}

impl Paths<'_> {
    fn row(&self, f: &mut fmt::Formatter<'_>, story: &Story, top: f64) -> fmt::Result {
        let time = self.0.time_axis();
        let id = story.order_id.simple().to_string();
        let (_, short) = id.split_at(id.len() - 6);
        let (y, middle) = (top + (ROW - BAR) / 2.0, top + ROW / 2.0);
        write!(
            f,
            "<g><title>{}</title><text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">\
             {short}</text>",
            Told(story),
            LEFT - 8.0,
            middle + 4.0
        )?;
        for pair in story.path.windows(2) {
            let ((from_us, state), (until_us, _)) = (&pair[0], &pair[1]);
            let (from, until) = (time.x(*from_us), time.x(*until_us));
            let class = class(state);
            let width = (until - from).max(1.0);
            write!(
                f,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"{BAR}\"/>"
            )?;
        }
        if let Some(over_us) = story.over_us {
            let (x, r) = (time.x(over_us), BAR / 2.0 + 1.0);
            write!(
                f,
                "<circle class=\"over\" cx=\"{x:.1}\" cy=\"{middle:.1}\" r=\"{r}\"/>"
            )?;
        }
        write!(f, "</g>")
    }
}

fn class(state: &str) -> &'static str {
    match state {
        "AWAITING_PAYMENT" => "awaiting",
        "PAID" => "paid",
        "PREPARING" => "preparing",
        _ => "over",
    }
}

/// An order in words.
struct Told<'a>(&'a Story);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(story) = self;
        write!(f, "{}", story.order_id)?;
        for (at_us, state) in &story.path {
            let after = at_us.saturating_sub(story.placed_us) / 1_000;
            write!(f, "\n{state} after {after} ms")?;
        }
        Ok(())
    }
}
