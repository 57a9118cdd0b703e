//! The course of the run: panels over one axis of time, faults shaded through all of them.

use std::fmt;

use super::{
    Text,
    scale::{LEFT, Scale, Time, WIDTH},
};
use crate::drill::{notes::Fault, report::Report, timeline::Bin, watching::Sample};

/// Above the panels: what was broken.
const HEAD: f64 = 26.0;
const PANEL: f64 = 118.0;
/// Between two panels: the title of the second.
const GAP: f64 = 34.0;
const STRIP: f64 = 16.0;
const FOOT: f64 = 34.0;
/// Closer than that, the words of two faults would run into each other.
const APART: f64 = 150.0;

/// The drawing.
pub(super) struct Chart<'a>(pub(super) &'a Report);

/// One line.
struct Line {
    name: &'static str,
    class: &'static str,
    /// Absent: a gap.
    points: Vec<(u64, Option<f64>)>,
}

/// One measure.
struct Panel {
    title: &'static str,
    scale: Scale,
    lines: Vec<Line>,
}

impl Chart<'_> {
    fn panels(&self) -> Vec<Panel> {
        let timeline = &self.0.timeline;
        let line = |name, class, value: fn(&Bin) -> Option<f64>| Line {
            name,
            class,
            points: timeline.bins.iter().map(|b| (b.at_us, value(b))).collect(),
        };
        let orders = vec![
            line("acknowledged", "one", |bin| Some(bin.placed)),
            line("READY", "two", |bin| Some(bin.ready)),
        ];
        let not_ok = line("not OK", "bad", |bin| Some(bin.not_ok));
        let waits = vec![
            line("p50", "one", |bin| bin.p50_ms),
            line("p99", "three", |bin| bin.p99_ms),
        ];
        let age = |sample: &Sample| sample.outbox.map(|outbox| outbox.age_seconds);
        let samples = timeline.samples.iter();
        let outbox = vec![Line {
            name: "oldest event",
            class: "two",
            points: samples.map(|sample| (sample.at_us, age(sample))).collect(),
        }];
        let mut panels = vec![Panel::linear("Orders a second", orders, 1.0)];
        if not_ok.values().any(|calls| calls > 0.0) {
            panels.push(Panel::linear(
                "Calls a second that were not answered OK",
                vec![not_ok],
                1.0,
            ));
        }
        panels.push(Panel {
            title: "From when a customer was to come until OK (ms)",
            scale: Scale::log(waits.iter().flat_map(Line::values)),
            lines: waits,
        });
        panels.push(Panel::linear("Waits in an outbox (s)", outbox, 1.0));
        panels
    }
}

impl Panel {
    fn linear(title: &'static str, lines: Vec<Line>, least: f64) -> Self {
        Self {
            title,
            scale: Scale::linear(lines.iter().flat_map(Line::values), least),
            lines,
        }
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, time: Time, top: f64) -> fmt::Result {
        self.title(f, top - 10.0)?;
        for tick in self.scale.ticks() {
            let y = top + PANEL * (1.0 - self.scale.share(tick));
            let (end, label) = (WIDTH, Number(tick));
            write!(
                f,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 8.0,
                y + 4.0,
            )?;
        }
        let mut lines = self.lines.iter();
        lines.try_for_each(|line| line.draw(f, time, self.scale, top))
    }

    /// The title, and which color is what.
    fn title(&self, f: &mut fmt::Formatter<'_>, y: f64) -> fmt::Result {
        write!(
            f,
            "<text class=\"title\" x=\"{LEFT}\" y=\"{y:.1}\">{}",
            self.title
        )?;
        if self.lines.len() > 1 {
            for Line { name, class, .. } in &self.lines {
                write!(
                    f,
                    "<tspan class=\"key {class}\" dx=\"18\">●</tspan><tspan class=\"name\" dx=\"5\">\
                     {name}</tspan>"
                )?;
            }
        }
        write!(f, "</text>")
    }
}

impl Line {
    fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|(_, value)| *value)
    }

    fn draw(&self, f: &mut fmt::Formatter<'_>, time: Time, scale: Scale, top: f64) -> fmt::Result {
        for run in self.points.split(|(_, value)| value.is_none()) {
            write!(f, "<polyline class=\"line {}\" points=\"", self.class)?;
            for (at_us, value) in run {
                let y = top + PANEL * (1.0 - scale.share(value.unwrap_or(0.0)));
                write!(f, "{:.1},{y:.1} ", time.x(*at_us))?;
            }
            write!(f, "\"/>")?;
        }
        Ok(())
    }
}

/// A number without needless digits.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1_000.0 => write!(f, "{:.0} 000", n / 1_000.0),
            n if n >= 1.0 || n == 0.0 => write!(f, "{n:.0}"),
            n => write!(f, "{n:.1}"),
        }
    }
}

impl fmt::Display for Chart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (report, time) = (self.0, self.0.time_axis());
        let panels = self.panels();
        let tops: Vec<f64> = (0..panels.len() + 1)
            .map(|n| HEAD + GAP + (PANEL + GAP) * as_float(n))
            .collect();
        let strip = tops[panels.len()];
        let bottom = strip + STRIP;
        let height = bottom + FOOT;
        write!(
            f,
            "<figure><svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             aria-label=\"The course of the run\">"
        )?;
        faults(f, &report.noted.faults, time, HEAD, bottom)?;
        for (panel, top) in panels.iter().zip(&tops) {
            panel.draw(f, time, *top)?;
        }
        circuit(f, &report.timeline.samples, time, strip)?;
        axis(f, time, bottom)?;
        hints(f, &report.timeline.bins, time, HEAD, bottom)?;
        writeln!(f, "</svg></figure>")
    }
}

fn as_float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Bands: broken, and being healed.
pub(super) fn faults(
    f: &mut fmt::Formatter<'_>,
    faults: &[Fault],
    time: Time,
    top: f64,
    bottom: f64,
) -> fmt::Result {
    let mut written = f64::NEG_INFINITY;
    for fault in faults {
        let from = time.x(fault.from_us);
        let healing = time.x(fault.healing_us.unwrap_or(u64::MAX));
        let until = time.x(fault.until_us.unwrap_or(u64::MAX));
        let (height, kind) = (bottom - top, Text(&fault.kind));
        for (class, from, until) in [("broken", from, healing), ("healing", healing, until)] {
            let width = (until - from).max(1.0);
            write!(
                f,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" \
                 height=\"{height:.1}\"><title>{kind}</title></rect>"
            )?;
        }
        if top > 0.0 && from - written > APART {
            written = from;
            let y = top - 8.0;
            write!(
                f,
                "<text class=\"fault\" x=\"{from:.1}\" y=\"{y:.1}\">{kind}</text>"
            )?;
        }
    }
    Ok(())
}

/// What the circuit before payments was seen doing.
fn circuit(f: &mut fmt::Formatter<'_>, samples: &[Sample], time: Time, top: f64) -> fmt::Result {
    let y = top - 10.0;
    write!(
        f,
        "<text class=\"title\" x=\"{LEFT}\" y=\"{y:.1}\">The circuit before payments\
         <tspan class=\"key closed\" dx=\"18\">■</tspan><tspan class=\"name\" dx=\"5\">closed</tspan>\
         <tspan class=\"key half-open\" dx=\"18\">■</tspan><tspan class=\"name\" dx=\"5\">half-open\
         </tspan><tspan class=\"key open\" dx=\"18\">■</tspan><tspan class=\"name\" dx=\"5\">open\
         </tspan></text>"
    )?;
    let state = |sample: &Sample| sample.circuit.as_ref().map(|c| c.state.clone());
    for run in samples.chunk_by(|one, next| state(one) == state(next)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let Some(state) = state(first) else { continue };
        let (from, until) = (time.x(first.at_us), time.x(last.at_us + 250_000));
        write!(
            f,
            "<rect class=\"strip {state}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
             height=\"{STRIP}\"><title>{state}</title></rect>",
            until - from
        )?;
    }
    Ok(())
}

/// Seconds, below everything.
pub(super) fn axis(f: &mut fmt::Formatter<'_>, time: Time, bottom: f64) -> fmt::Result {
    for tick in time.ticks() {
        let (x, y) = (time.x_of(tick), bottom + 20.0);
        write!(
            f,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{tick:.0} s</text>",
            bottom + 5.0
        )?;
    }
    Ok(())
}

/// What is shown when the pointer rests on half a second.
fn hints(
    f: &mut fmt::Formatter<'_>,
    bins: &[Bin],
    time: Time,
    top: f64,
    bottom: f64,
) -> fmt::Result {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
    for pair in bins.windows(2) {
        let (from, until) = (time.x(pair[0].at_us), time.x(pair[1].at_us));
        let (width, height) = (until - from, bottom - top);
        let Bin { placed, ready, .. } = pair[0];
        let (p50, p99) = (ms(pair[0].p50_ms), ms(pair[0].p99_ms));
        write!(
            f,
            "<rect class=\"hint\" x=\"{:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{placed:.0} /s acknowledged, {ready:.0} /s READY\nwaits: p50 {p50}, p99 {p99}\
             </title></rect>",
            from - width / 2.0
        )?;
    }
    Ok(())
}
