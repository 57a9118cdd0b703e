//! What became of a batch.

use crate::kafka;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::ops::AddAssign;

/// What one call of [`Inbox::process_batch`](super::Inbox::process_batch) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// Messages received.
    pub received: usize,
    /// Messages that had their effect.
    pub done: usize,
    /// Messages whose id the inbox knew.
    pub duplicates: usize,
    /// Messages that needed no effect: see [`Absorbed`](super::Absorbed).
    pub absorbed: usize,
    /// Messages that were parked.
    pub dead_letters: usize,
    /// Messages put back, to be received again.
    pub held_back: usize,
    /// Consumers replaced because they delivered nothing.
    pub replaced_consumers: usize,
}

impl Processed {
    /// A message that cannot be handled. One that was parked before is absorbed.
    pub(super) fn count(&mut self, parked: bool) {
        if parked {
            self.dead_letters += 1;
        } else {
            self.absorbed += 1;
        }
    }
}

impl AddAssign for Processed {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.done += other.done;
        self.duplicates += other.duplicates;
        self.absorbed += other.absorbed;
        self.dead_letters += other.dead_letters;
        self.held_back += other.held_back;
        self.replaced_consumers += other.replaced_consumers;
    }
}

/// Why a batch was not processed. It is kept, and the next call goes on with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer, or refused.
    #[error("handling a batch: {0}")]
    Database(#[from] sqlx::Error),
    /// Kafka did not answer, or refused.
    #[error("consuming: {0}")]
    Kafka(#[from] KafkaError),
    /// The handler did not return one outcome per message.
    #[error("the handler returned {returned} outcomes for {given} messages")]
    HandlerContract {
        /// Messages given.
        given: usize,
        /// Outcomes returned.
        returned: usize,
    },
}

impl Error {
    pub(super) fn is_outage(&self) -> bool {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
        matches!(self, Self::Kafka(error)
            if matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure)))
    }

    pub(super) fn is_unknown_topic(&self) -> bool {
        matches!(self, Self::Kafka(error) if kafka::is_topic_gone(error))
    }
}
