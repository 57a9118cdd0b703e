//! What a row is called: its branch of the tree, its name, and the one thing worth a word.

use telemetry::semconv::{self, outcome, span};

use crate::traces::{Kind, Row, Span, is_taken_over};

/// The branch, the name, and what is to be said about it.
pub(crate) fn label(row: &Row<'_>) -> String {
    let mut label = String::new();
    if let Some((last, above)) = row.last.split_last() {
        label.extend(above.iter().map(|last| if *last { "   " } else { "│  " }));
        label += if *last { "└─ " } else { "├─ " };
    }
    if row.orphan {
        label += "⋯ ";
    }
    if row.span.error.is_some() {
        label += "✗ ";
    }
    label += row.span.short_name();
    // Both sides of a call have its name.
    if row.span.kind == Kind::Client && row.span.short_name() != row.span.name {
        label += " →";
    }
    if let Some(detail) = detail(row.span) {
        label = label + " " + &detail;
    }
    label
}

/// What it was about, where the name does not say so.
fn detail(span: &Span) -> Option<String> {
    let of = |name| span.attributes.get(name).map(String::as_str);
    let operation = of(semconv::MESSAGING_OPERATION_NAME).unwrap_or(&span.name);
    match operation {
        span::CREATE => Some(
            of(semconv::CLOUDEVENTS_EVENT_TYPE)?
                .rsplit('.')
                .next()?
                .to_owned(),
        ),
        span::PROCESS | span::REPLAY => {
            let outcome = of(semconv::INBOX_OUTCOME)?;
            (outcome != outcome::DONE).then(|| outcome.to_owned())
        }
        span::BREW => {
            let drink =
                [semconv::DRINK_SIZE, semconv::DRINK_ID].map(|name| of(name).unwrap_or_default());
            let attempt = of(semconv::DRINK_ATTEMPT).filter(|_| is_taken_over(span));
            let attempt = attempt.map(|attempt| format!(", attempt {attempt}"));
            Some(drink.join(" ") + &attempt.unwrap_or_default())
        }
        span::SETTLE => of(semconv::SETTLE_CALL).map(str::to_owned),
        _ => None,
    }
}
