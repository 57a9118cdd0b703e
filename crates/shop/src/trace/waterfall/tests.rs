use super::{bar::Piece, *};
use crate::traces::{SpanId, TraceId};

fn span(start_unix_ns: u64, end_unix_ns: u64) -> Span {
    Span {
        trace_id: TraceId::parse(&"1".repeat(32)).expect("it is one"),
        span_id: SpanId::parse(&"2".repeat(16)).expect("it is one"),
        parent: None,
        service: "reception".to_owned(),
        name: "send orders.v1".to_owned(),
        kind: Kind::Producer,
        start_unix_ns,
        end_unix_ns,
        error: None,
        attributes: Default::default(),
        events: Vec::new(),
        links: Vec::new(),
    }
}

fn drawn(scale: &Scale, span: &Span, wait: Option<(u64, u64)>) -> String {
    let wait = wait.map(|(from_unix_ns, until_unix_ns)| Wait {
        what: "for a test",
        from_unix_ns,
        until_unix_ns,
    });
    let pieces = scale.bar(span, wait.as_ref());
    assert!(
        pieces
            .iter()
            .all(|(piece, text)| *piece != Piece::Nothing || text.trim().is_empty())
    );
    pieces.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn a_bar_shows_when_what_was_done_and_what_waited() {
    let (whole, short, late) = (span(1_000, 2_000), span(1_000, 1_001), span(1_500, 1_900));
    let scale = Scale::new([&whole].into_iter(), 10);
    assert_eq!(drawn(&scale, &whole, None), "██████████");
    assert_eq!(drawn(&scale, &whole, Some((1_000, 2_000))), "▒▒▒▒▒▒▒▒▒▒");
    assert_eq!(drawn(&scale, &short, None), "▎");
    assert_eq!(drawn(&scale, &late, Some((1_200, 1_500))), "  ···█████");
    assert_eq!(drawn(&scale, &span(2_000, 2_000), None), "         ▎");
}

#[test]
fn a_trace_without_length_has_bars() {
    let point = span(1_000, 1_000);
    let scale = Scale::new([&point].into_iter(), 10);
    assert_eq!(drawn(&scale, &point, None), "▎");
}

#[test]
fn times_are_in_the_unit_that_people_would_take() {
    let texts = [420, 44_100, 8_130_000, 125_000_000].map(|us| text(Duration::from_micros(us)));
    assert_eq!(texts, ["0.42 ms", "44.1 ms", "8.130 s", "125 s"]);
}
