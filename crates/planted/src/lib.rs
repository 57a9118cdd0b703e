//! Bugs on purpose: who checks that the drills would notice?
//!
//! Problem: a drill that is green may be green because it looks at nothing.
//! Guarantee: every guard of the promise has a [`Bug`] that takes it out, where the guard stands:
//! `if planted::bug(Bug::NoInbox) { … }`. Without the feature `planted` that is the constant `false`,
//! and the compiler leaves nothing of it. With it, `COFFEESHOP_PLANTED=no-inbox+no-revision` says which
//! guards are out; a shop without that variable is sound.
//! `shop drill planted` runs, for each bug, the drill that has to notice.
//!
//! Not possible: to plant a bug in a build without debug assertions.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("bugs can be planted in debug builds only: this is no way to sell coffee");

/// Whether guards can be taken out in this build.
pub const POSSIBLE: bool = cfg!(feature = "planted");

/// Names the guards that are out, with `+` between them.
pub const VARIABLE: &str = "COFFEESHOP_PLANTED";

/// A guard that is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// An event whose id is known has its effect again. Behind it stand revisions.
    NoInbox,
    /// A snapshot is applied although a later one was. Before it stands the inbox, behind it the
    /// ticket that is there already, and the order's state machine.
    NoRevision,
    /// An order gets a second ticket's drinks, under keys of their own. Before it stand the inbox
    /// and revisions.
    NoUnique,
    /// What is heard of a ticket is believed wherever its order stands. Before it stand the inbox
    /// and revisions.
    NoStateMachine,
    /// The relay moves its cursor before Kafka has the events. Alone.
    CursorBeforeAcks,
    /// The relay reads by the serial number, without a horizon. Alone.
    SerialCursor,
    /// The offset is stored before the effect is committed. Behind it stands only the question
    /// after silent orders, minutes later.
    OffsetBeforeCommit,
    /// A relay whose lease is gone moves the cursor all the same: back. What is published again
    /// meets the inbox.
    NoLeaseEpoch,
    /// Every call of the provider charges under a key of its own. Alone.
    ChargeKeyPerAttempt,
    /// A drink is booked by whoever brewed it, also after another has taken it over. Behind it stands
    /// the ticket's state machine, once every drink is made.
    UnconditionalBooking,
    /// An unpaid order that ends is believed not to be charged, because nobody has heard of a
    /// charge. Alone.
    NoCancelPayment,
    /// Every call of the provider gives money back under a key of its own. Behind it stands the
    /// provider's book: a payment is given back once.
    RefundWithoutKey,
    /// The provider does not look whether a payment was given back. Before it stands the key.
    RefundTwice,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NoInbox,
        Self::NoRevision,
        Self::NoUnique,
        Self::NoStateMachine,
        Self::CursorBeforeAcks,
        Self::SerialCursor,
        Self::OffsetBeforeCommit,
        Self::NoLeaseEpoch,
        Self::ChargeKeyPerAttempt,
        Self::UnconditionalBooking,
        Self::NoCancelPayment,
        Self::RefundWithoutKey,
        Self::RefundTwice,
    ];

    /// What the environment variable calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoInbox => "no-inbox",
            Self::NoRevision => "no-revision",
            Self::NoUnique => "no-unique",
            Self::NoStateMachine => "no-state-machine",
            Self::CursorBeforeAcks => "cursor-before-acks",
            Self::SerialCursor => "serial-cursor",
            Self::OffsetBeforeCommit => "offset-before-commit",
            Self::NoLeaseEpoch => "no-lease-epoch",
            Self::ChargeKeyPerAttempt => "charge-key-per-attempt",
            Self::UnconditionalBooking => "unconditional-booking",
            Self::NoCancelPayment => "no-cancel-payment",
            Self::RefundWithoutKey => "refund-without-key",
            Self::RefundTwice => "refund-twice",
        }
    }
}

#[cfg(not(feature = "planted"))]
pub use sound::{bug, swap};

/// A build in which nothing can be planted.
#[cfg(not(feature = "planted"))]
mod sound;

#[cfg(feature = "planted")]
pub use rotten::{bug, swap};

/// A build in which the environment decides.
#[cfg(feature = "planted")]
mod rotten;
