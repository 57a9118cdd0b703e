//! What may happen to an order.
//!
//! One owner per decision: the provider decides what is charged and given back, the
//! barista what is made, the customer what is collected. Reception decides only while
//! nobody else can have: an order that is not known to be paid is cancelled at once,
//! and closing its key at the provider is owed from that moment on. A paid one is the
//! barista's to cancel.

use super::{Cancel, Order, OrderId, Payment, Refund, State};
use chrono::{DateTime, Utc};
use planted::Bug;
use uuid::Uuid;

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The provider has charged it.
    Charged {
        /// The provider's id.
        payment_id: Uuid,
    },
    /// The provider has declined it.
    Declined {
        /// The provider's reason.
        reason: String,
    },
    /// The provider has closed its key: nothing was charged, and never will be.
    PaymentCancelled,
    /// The provider has given back in full what it had charged.
    Refunded {
        /// The provider's id.
        payment_id: Uuid,
    },
    /// The time to pay is over.
    WindowOver,
    /// The customer wants to cancel it.
    CancelRequested {
        /// Why, for people; may be empty.
        reason: String,
    },
    /// The barista has begun its first drink.
    Started {
        /// Whether the barista says, too, that it is too late to cancel.
        cancel_refused: bool,
    },
    /// The barista has booked its last drink.
    Made {
        /// Whether the barista says, too, that it is too late to cancel.
        cancel_refused: bool,
    },
    /// The barista had not begun, and will not.
    CancelAccepted,
    /// It will not be made.
    CannotBeMade {
        /// Why, for people.
        reason: String,
    },
    /// It was handed over.
    Collected,
}

/// What an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It changed the order.
    Applied(Order),
    /// It changed nothing, as it should.
    Absorbed(Order, Why),
    /// It contradicts what was decided.
    Refused(IllegalTransition),
}

/// Why an event changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was reported before.
    Repeated,
    /// The order is past it.
    Late,
    /// The order is over.
    Over,
}

/// An event that contradicts what was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("order {order_id} is {}: {event:?} contradicts that", state.as_str())]
pub struct IllegalTransition {
    /// The order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: State,
    /// What was reported.
    pub event: Event,
}

impl Order {
    /// Lets an event happen. Nothing moves an order backwards.
    pub fn apply(self, event: Event, now: DateTime<Utc>) -> Transition {
        if self.is_contradicted_by(&event) {
            return self.refused(event);
        }
        match self.state {
            State::AwaitingPayment => self.unpaid(event, now),
            State::Paid | State::Preparing => self.paid(event, now),
            State::Ready | State::Collected => self.made(event, now),
            State::Declined => self.declined(event),
            State::Cancelled | State::Failed => self.given_up(event, now),
        }
    }

    fn unpaid(self, event: Event, now: DateTime<Utc>) -> Transition {
        let gives_up = matches!(event, Event::WindowOver | Event::CancelRequested { .. });
        let event = match gives_up && planted::bug(Bug::NoCancelPayment) {
            true => Event::PaymentCancelled,
            false => event,
        };
        Transition::Applied(match event {
            Event::Charged { payment_id } => Self {
                payment: Payment::Charged { payment_id },
                ..self.moved(State::Paid, now, "charged")
            },
            Event::Declined { reason } => {
                let order = self.moved(State::Declined, now, &format!("declined: {reason}"));
                Self {
                    payment: Payment::Declined { reason },
                    ..order
                }
            }
            // A charge may be in flight: whether money has to go back is not known until the
            // provider has closed the key, which is owed from the same transaction on.
            Event::WindowOver => Self {
                refund: Refund::Pending,
                ..self.moved(State::Cancelled, now, "the time to pay is over")
            },
            Event::CancelRequested { reason } => Self {
                refund: Refund::Pending,
                cancel: Cancel::Accepted,
                ..self.moved(State::Cancelled, now, &because("cancelled", &reason))
            },
            // Somebody else has closed the key.
            Event::PaymentCancelled => Self {
                payment: Payment::Cancelled,
                ..self.moved(State::Cancelled, now, "the payment was cancelled")
            },
            Event::Refunded { payment_id } => Self {
                payment: Payment::Charged { payment_id },
                refund: Refund::Done,
                ..self.moved(State::Cancelled, now, "charged and refunded")
            },
            // Nothing is made, given up or handed over before it is paid.
            event => return self.refused(event),
        })
    }

    fn paid(self, event: Event, now: DateTime<Utc>) -> Transition {
        let refused = self.cancel == Cancel::Refused;
        Transition::Applied(match event {
            Event::CancelRequested { reason } if self.cancel == Cancel::NotRequested => {
                let state = self.state;
                Self {
                    cancel: Cancel::Requested,
                    ..self.moved(state, now, &because("asked to cancel", &reason))
                }
            }
            Event::Started { cancel_refused } if self.state == State::Paid => {
                let order = self.moved(State::Preparing, now, "first drink started");
                if cancel_refused {
                    order.cancel_refused()
                } else {
                    order
                }
            }
            Event::Started {
                cancel_refused: true,
            } if !refused => self.too_late(now),
            // From PAID too: the event that reports the start may have been overtaken. What is
            // made cannot be cancelled, whether or not the barista has got round to say so.
            Event::Made { cancel_refused } => {
                let asked = cancel_refused || self.cancel == Cancel::Requested;
                let order = self.moved(State::Ready, now, "last drink booked");
                let order = Self {
                    ready_time: Some(now),
                    ..order
                };
                if asked { order.cancel_refused() } else { order }
            }
            Event::CancelAccepted => Self {
                cancel: Cancel::Accepted,
                refund: Refund::Pending,
                ..self.moved(State::Cancelled, now, "cancelled before it was begun")
            },
            // The refund is owed from the same transaction on: whoever has paid and gets no
            // coffee is never forgotten.
            Event::CannotBeMade { reason } => Self {
                refund: Refund::Pending,
                cancel: match self.cancel {
                    // Nothing is made: so much of the wish came true.
                    Cancel::Requested => Cancel::Accepted,
                    decided => decided,
                },
                ..self.moved(State::Failed, now, &because("cannot be made", &reason))
            },
            // PlaceOrder and the sweeper may both report the one charge.
            Event::Charged { .. } | Event::Started { .. } | Event::CancelRequested { .. } => {
                return Transition::Absorbed(self, Why::Repeated);
            }
            Event::WindowOver => return Transition::Absorbed(self, Why::Late),
            event @ (Event::Declined { .. }
            | Event::PaymentCancelled
            | Event::Refunded { .. }
            | Event::Collected) => return self.refused(event),
        })
    }

    fn made(self, event: Event, now: DateTime<Utc>) -> Transition {
        let wished = self.cancel != Cancel::NotRequested;
        match event {
            Event::Collected if self.state == State::Ready => {
                Transition::Applied(self.moved(State::Collected, now, "handed over"))
            }
            Event::Started { cancel_refused } | Event::Made { cancel_refused }
                if cancel_refused && self.cancel != Cancel::Refused =>
            {
                Transition::Applied(self.too_late(now))
            }
            Event::Collected | Event::Charged { .. } => Transition::Absorbed(self, Why::Repeated),
            Event::CancelRequested { .. } if wished => Transition::Absorbed(self, Why::Repeated),
            Event::Started { .. } | Event::Made { .. } | Event::WindowOver => {
                Transition::Absorbed(self, Why::Late)
            }
            // What is made cannot have been impossible to make, nor cancelled in time, and its
            // money stays where it is.
            event @ (Event::Declined { .. }
            | Event::PaymentCancelled
            | Event::Refunded { .. }
            | Event::CancelRequested { .. }
            | Event::CancelAccepted
            | Event::CannotBeMade { .. }) => self.refused(event),
        }
    }

    fn declined(self, event: Event) -> Transition {
        match event {
            Event::Declined { .. } => Transition::Absorbed(self, Why::Repeated),
            Event::WindowOver => Transition::Absorbed(self, Why::Over),
            // The provider decides a key once.
            event => self.refused(event),
        }
    }

    /// Only the money still moves.
    fn given_up(self, event: Event, now: DateTime<Utc>) -> Transition {
        let owed = self.refund == Refund::Pending;
        let unknown = self.payment == Payment::Pending;
        let state = self.state;
        match event {
            Event::Refunded { payment_id } if owed => Transition::Applied(Self {
                payment: Payment::Charged { payment_id },
                refund: Refund::Done,
                ..self.moved(state, now, "refunded")
            }),
            Event::PaymentCancelled if owed && unknown => Transition::Applied(Self {
                payment: Payment::Cancelled,
                refund: Refund::NotNeeded,
                ..self.moved(state, now, "nothing was charged")
            }),
            Event::Declined { reason } if owed && unknown => {
                let order = self.moved(state, now, &format!("nothing was charged: {reason}"));
                Transition::Applied(Self {
                    payment: Payment::Declined { reason },
                    refund: Refund::NotNeeded,
                    ..order
                })
            }
            event @ Event::CancelRequested { .. }
                if state == State::Failed && self.cancel == Cancel::NotRequested =>
            {
                self.refused(event)
            }
            event @ Event::Collected => self.refused(event),
            // A charge that was in flight, too: closing the key, which is owed, gives it back.
            _ => Transition::Absorbed(self, Why::Over),
        }
    }

    /// Whether the provider says that it has charged what it has declined or closed, or what it
    /// has charged under another id: it decides a key once. Absorbed, it would be money that
    /// nobody gives back.
    fn is_contradicted_by(&self, event: &Event) -> bool {
        let Event::Charged {
            payment_id: charged,
        } = event
        else {
            return false;
        };
        match &self.payment {
            Payment::Pending => false,
            Payment::Charged { payment_id } => payment_id != charged,
            Payment::Declined { .. } | Payment::Cancelled => true,
        }
    }

    fn refused(self, event: Event) -> Transition {
        Transition::Refused(IllegalTransition {
            order_id: self.order_id,
            state: self.state,
            event,
        })
    }

    /// The barista has refused to cancel it; nothing else is new.
    fn too_late(self, now: DateTime<Utc>) -> Self {
        let state = self.state;
        self.moved(state, now, "too late to cancel")
            .cancel_refused()
    }

    fn cancel_refused(self) -> Self {
        Self {
            cancel: Cancel::Refused,
            ..self
        }
    }

    fn moved(mut self, state: State, now: DateTime<Utc>, detail: &str) -> Self {
        self.revision += 1;
        self.history.push(super::HistoryEntry {
            state,
            time: now,
            revision: self.revision,
            detail: detail.to_owned(),
        });
        Self {
            state,
            update_time: now,
            ..self
        }
    }
}

fn because(what: &str, reason: &str) -> String {
    if reason.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {reason}")
    }
}
