//! What a batch's answers mean for the cursors.

use super::{
    sender::{Ack, is_final},
    store::{Cursor, Row},
};
use rdkafka::error::KafkaError;
use uuid::Uuid;

/// What is to be written after a batch.
#[derive(Default)]
pub(super) struct Settled<'a> {
    /// How far each part may move: up to the first event of it that was not taken.
    pub(super) cursors: Vec<Cursor>,
    /// Events on that way that Kafka will never take.
    pub(super) refused: Vec<Refused<'a>>,
    /// The first event of all that was not taken.
    pub(super) stuck: Option<(Uuid, KafkaError)>,
}

/// An event that Kafka will never take.
pub(super) struct Refused<'a> {
    pub(super) row: &'a Row,
    pub(super) reason: KafkaError,
}

/// Draws the line through the answers to `rows`, which are sorted by part.
pub(super) fn settled(rows: &[Row], acks: Vec<Ack>) -> Settled<'_> {
    let mut settled = Settled::default();
    let mut stuck_part = None;
    for (row, ack) in rows.iter().zip(acks) {
        match ack {
            _ if stuck_part == Some(row.part) => {}
            Ok(()) => settled.cursor(row).events += 1,
            Err(reason) if is_final(&reason) => {
                settled.cursor(row);
                settled.refused.push(Refused { row, reason });
            }
            Err(error) => {
                stuck_part = Some(row.part);
                settled.stuck = settled.stuck.or(Some((row.event_id, error)));
            }
        }
    }
    settled
}

impl Settled<'_> {
    /// The cursor of the row's part, moved to the row.
    fn cursor(&mut self, row: &Row) -> &mut Cursor {
        match self.cursors.last_mut() {
            Some(cursor) if cursor.part == row.part => cursor.move_to(row),
            _ => self.cursors.push(Cursor::at(row)),
        }
        self.cursors
            .last_mut()
            .expect("it was pushed if there was none")
    }

    /// Events that Kafka acknowledged and a cursor passes.
    pub(super) fn acknowledged(&self) -> usize {
        self.cursors.iter().map(|cursor| cursor.events).sum()
    }

    /// Of these, those of parts whose cursor is another's by now.
    pub(super) fn fenced(&self, moved: &[i16]) -> usize {
        let fenced = self.cursors.iter().filter(|c| !moved.contains(&c.part));
        fenced.map(|cursor| cursor.events).sum()
    }
}
