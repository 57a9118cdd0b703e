//! The list, one line each.

use proto::operations::v1::DeadLetter;

use super::{
    id::Id,
    text::{age, clean, cut, or_dash},
};
use crate::part::Part;

/// A reason is one line here; `show` has all of it.
const REASON_CHARS: usize = 100;
/// The longest of the other cells is a UUID.
const CELL_CHARS: usize = 48;
const HEAD: [&str; 7] = ["id", "age", "consumer", "from", "event", "order", "reason"];

pub(super) fn print(letters: &[(Part, DeadLetter)]) {
    if letters.is_empty() {
        anstream::println!("there are no dead letters");
        return;
    }
    let rows: Vec<[String; 7]> = letters.iter().map(|(keeper, l)| row(*keeper, l)).collect();
    let bold = anstyle::Style::new().bold();
    let head = HEAD.map(str::to_owned);
    let widths: [usize; 7] = std::array::from_fn(|at| {
        let cells = rows
            .iter()
            .chain([&head])
            .map(|row| row[at].chars().count());
        cells.max().unwrap_or_default()
    });
    anstream::println!("{bold}{}{bold:#}", line(&head, &widths));
    for row in &rows {
        anstream::println!("{}", line(row, &widths));
    }
}

fn row(keeper: Part, letter: &DeadLetter) -> [String; 7] {
    let id = Id {
        keeper,
        dead_letter_id: letter.dead_letter_id,
    };
    let event = letter.event_type.rsplit('.').next().unwrap_or_default();
    let cell = |text: &str| cut(&clean(or_dash(text)), CELL_CHARS);
    [
        id.to_string(),
        age(letter.create_time.as_ref()),
        cell(&letter.consumer),
        clean(&origin(letter)),
        cell(event),
        cell(&letter.order_id),
        cut(&clean(&letter.reason), REASON_CHARS),
    ]
}

/// Topic, partition and offset; what was never there has only a topic.
pub(super) fn origin(letter: &DeadLetter) -> String {
    match (letter.partition, letter.offset) {
        (Some(partition), Some(offset)) => format!("{}/{partition}/{offset}", letter.topic),
        _ => format!("{} (unpublished)", letter.topic),
    }
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let cells = cells.iter().zip(widths);
    let line: Vec<String> = cells
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    line.join("  ").trim_end().to_owned()
}
