//! Which drill has to notice what, and by what.

use ::planted::Bug;

/// Bugs that are planted together, and the drill that is run then.
pub(super) struct Row {
    pub(super) bugs: &'static [Bug],
    pub(super) drill: &'static str,
    pub(super) caught: Caught,
}

/// How it has to end.
pub(super) enum Caught {
    /// Red, and each of these is among the reasons.
    Red(&'static [&'static str]),
    /// Green, because another layer has stopped it: its count is not zero.
    By {
        layer: &'static str,
        count: &'static str,
    },
    /// Green, although events came again, more than were ever published, and the inbox knew none of
    /// them. This layer, behind the inbox, has left it at that.
    Again { layer: &'static str },
}

impl Row {
    /// As the environment variable names it.
    pub(super) fn name(&self) -> String {
        let names: Vec<&str> = self.bugs.iter().map(|bug| bug.name()).collect();
        names.join("+")
    }
}

pub(super) const DUPLICATES: &str = "coffeeshop.inbox.duplicates";
const INBOX: Caught = Caught::By {
    layer: "the inbox",
    count: DUPLICATES,
};

/// The table.
pub(super) const ROWS: &[Row] = &[
    // An event that comes twice meets the inbox, then its revision, then what is there already.
    Row {
        bugs: &[Bug::NoInbox],
        drill: "duplicate-delivery",
        caught: Caught::Again { layer: "revisions" },
    },
    Row {
        bugs: &[Bug::NoRevision],
        drill: "duplicate-delivery",
        caught: INBOX,
    },
    Row {
        bugs: &[Bug::NoUnique],
        drill: "duplicate-delivery",
        caught: INBOX,
    },
    Row {
        bugs: &[Bug::NoStateMachine],
        drill: "duplicate-delivery",
        caught: INBOX,
    },
    Row {
        bugs: &[Bug::NoInbox, Bug::NoRevision],
        drill: "duplicate-delivery",
        caught: Caught::Again {
            layer: "the ticket that is there, and the order's state machine",
        },
    },
    Row {
        bugs: &[
            Bug::NoInbox,
            Bug::NoRevision,
            Bug::NoUnique,
            Bug::NoStateMachine,
        ],
        drill: "duplicate-delivery",
        caught: Caught::Red(&[
            "not each unit booked once",
            "history of the order has a gap or went backwards",
        ]),
    },
    Row {
        bugs: &[Bug::CursorBeforeAcks],
        drill: "relay-kill",
        caught: Caught::Red(&["it happened, and was not published"]),
    },
    Row {
        bugs: &[Bug::SerialCursor],
        drill: "commit-race",
        caught: Caught::Red(&["it happened, and was not published"]),
    },
    Row {
        bugs: &[Bug::OffsetBeforeCommit],
        drill: "inbox-kill",
        caught: Caught::Red(&["this is still in flight"]),
    },
    Row {
        bugs: &[Bug::NoLeaseEpoch],
        drill: "zombie-relay",
        caught: Caught::Red(&["no cursor moves back"]),
    },
    Row {
        bugs: &[Bug::ChargeKeyPerAttempt],
        drill: "payments-reply-lost",
        caught: Caught::Red(&["charged more than once"]),
    },
    Row {
        bugs: &[Bug::UnconditionalBooking],
        drill: "zombie-barista",
        caught: Caught::Red(&["no order is READY before its drinks are made"]),
    },
    Row {
        bugs: &[Bug::NoCancelPayment],
        drill: "payment-window",
        caught: Caught::Red(&["charged, and no coffee"]),
    },
    // A refund that is asked for twice meets its key, then the payment that is given back already.
    Row {
        bugs: &[Bug::RefundWithoutKey],
        drill: "refund-reply-lost",
        caught: Caught::By {
            layer: "the provider, which gives a payment back once",
            count: "refunds asked for again",
        },
    },
    Row {
        bugs: &[Bug::RefundTwice],
        drill: "refund-reply-lost",
        caught: Caught::By {
            layer: "the key",
            count: "refunds asked for again",
        },
    },
    Row {
        bugs: &[Bug::RefundWithoutKey, Bug::RefundTwice],
        drill: "refund-reply-lost",
        caught: Caught::Red(&["not given back once and in full"]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::catalog::DRILLS;

    #[test]
    fn every_bug_is_planted_alone() {
        for bug in Bug::ALL {
            let alone = ROWS.iter().any(|row| row.bugs == [bug]);
            assert!(alone, "{} is in no row of its own", bug.name());
        }
    }

    #[test]
    fn every_row_names_a_drill() {
        for row in ROWS {
            let known = DRILLS.iter().any(|drill| drill.name == row.drill);
            assert!(known, "there is no drill {}", row.drill);
        }
    }
}
