//! A drill that cannot fail proves nothing.

use uuid::Uuid;

use super::{Claim, Figures, Noted, SHOWN, SHOWN_TORN, Seeds, Traces, shown, verdict};
use crate::{
    books::{Finding, Rule},
    drill::{notes::Bite, timeline::Story},
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

#[test]
fn what_is_wrong_is_shown_before_what_is_torn_and_that_before_what_is_slow() {
    let stories: Vec<Story> = (0..20).map(story).collect();
    let wrong = Finding {
        rule: Rule::ChargedTwice,
        order_id: id(3),
        detail: String::new(),
    };
    let traces = Traces {
        count: 20,
        torn: (0..20).filter(|nth| nth % 2 == 0).map(id).collect(),
    };
    let shown = shown(&stories, &[wrong], &traces);
    let shown: Vec<_> = shown.iter().map(|story| story.order_id).collect();
    let wanted = [3, 18, 16, 19, 17, 15, 13, 11].map(id);
    assert_eq!(shown, wanted);
    assert_eq!((shown.len(), SHOWN_TORN), (SHOWN, 2));
}

#[test]
fn seeds_are_told_if_there_are_several() {
    let mut seeds = Seeds::default();
    seeds.add(1, true);
    assert_eq!(seeds.to_string(), "");
    seeds.add(2, true);
    assert_eq!(seeds.to_string(), "2 seeds");
    seeds.add(3, false);
    assert_eq!(seeds.to_string(), "3 seeds, red: 3");
}

fn id(nth: u64) -> Uuid {
    Uuid::from_u128(nth.into())
}

/// The higher its number, the longer it lasted.
fn story(nth: u64) -> Story {
    Story {
        order_id: id(nth),
        state: "READY".to_owned(),
        placed_us: 0,
        over_us: Some(nth),
        path: Vec::new(),
        trace: None,
        traced: None,
    }
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
