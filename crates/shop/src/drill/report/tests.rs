//! A drill that cannot fail proves nothing.

use uuid::Uuid;

use super::{Claim, Figures, Noted, verdict};
use crate::{
    books::{Finding, Rule},
    drill::notes::Bite,
};

#[test]
fn a_drill_passes_that_bit_and_held_and_whose_books_are_right() {
    assert_eq!(verdict(&bitten(3), &Figures::default(), &[]), [""; 0]);
}

#[test]
fn a_drill_fails_whose_fault_was_never_met() {
    let none = Noted::default();
    assert_eq!(verdict(&none, &Figures::default(), &[]).len(), 1);
    assert_eq!(verdict(&bitten(0), &Figures::default(), &[]).len(), 1);
}

#[test]
fn a_drill_fails_for_what_did_not_hold_was_lost_or_was_not_answered() {
    let mut noted = bitten(1);
    noted.claims.push(Claim {
        claim: "every call is answered OK".to_owned(),
        holds: false,
        seen: "one was not".to_owned(),
    });
    let figures = Figures {
        unanswered: 1,
        ..Figures::default()
    };
    let lost = Finding {
        rule: Rule::Lost,
        order_id: Uuid::nil(),
        detail: "no such order".to_owned(),
    };
    assert_eq!(verdict(&noted, &figures, &[lost]).len(), 3);
}

fn bitten(count: u64) -> Noted {
    Noted {
        bites: vec![Bite {
            what: "calls not answered OK".to_owned(),
            count,
        }],
        ..Noted::default()
    }
}
