use super::*;
use rpc::status::{self, Reason};

const ID: Uuid = Uuid::nil();

fn payment(state: PaymentState) -> Payment {
    Payment {
        payment_id: ID.to_string(),
        state: state.into(),
        decline_reason: "insufficient_funds".to_owned(),
        ..Payment::default()
    }
}

fn refused(code: Code, reason: Reason) -> Status {
    status::error(code, reason, "", &[])
}

/// What became of it, in a word.
fn word(answer: Result<Event, Error>) -> &'static str {
    match answer {
        Ok(Event::Charged { payment_id: ID }) => "charged",
        Ok(Event::Declined { reason }) if reason == "insufficient_funds" => "declined",
        Ok(Event::PaymentCancelled) => "closed",
        Ok(Event::Refunded { payment_id: ID }) => "refunded",
        Err(Error::Undecided(_)) => "undecided",
        Err(Error::Senseless(_)) => "senseless",
        Ok(other) => panic!("no answer means {other:?}"),
    }
}

#[test]
fn the_state_of_a_payment_is_the_decision_whatever_was_asked() {
    let table = [
        (PaymentState::Charged, "charged", "senseless"),
        (PaymentState::Declined, "declined", "declined"),
        (PaymentState::Cancelled, "closed", "closed"),
        (PaymentState::Refunded, "refunded", "refunded"),
        (PaymentState::Unspecified, "senseless", "senseless"),
    ];
    for (state, charged, cancelled) in table {
        assert_eq!(word(charge(Ok(payment(state)))), charged, "{state:?}");
        assert_eq!(word(cancel(Ok(payment(state)))), cancelled, "{state:?}");
    }
}

#[test]
fn a_refusal_that_says_what_was_decided_is_a_decision() {
    let closed = || refused(Code::FailedPrecondition, Reason::PaymentCancelled);
    assert_eq!(word(charge(Err(closed()))), "closed");
    let back = || refused(Code::FailedPrecondition, Reason::PaymentAlreadyRefunded);
    assert_eq!(word(refund(ID, Err(back()))), "refunded");
    // Of another call it is none.
    assert_eq!(word(refund(ID, Err(closed()))), "senseless");
    assert_eq!(word(charge(Err(back()))), "senseless");
}

#[test]
fn a_refund_of_another_payment_is_none_of_ours() {
    let of = |id: Uuid| Refund {
        payment_id: id.to_string(),
        ..Refund::default()
    };
    assert_eq!(word(refund(ID, Ok(of(ID)))), "refunded");
    assert_eq!(word(refund(ID, Ok(of(Uuid::max())))), "senseless");
}

#[test]
fn a_provider_that_is_ill_has_not_decided_and_one_that_refuses_makes_no_sense() {
    for code in 1..=16 {
        let code = Code::from_i32(code);
        let ill = matches!(
            code,
            Code::Cancelled
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        );
        let expected = if ill { "undecided" } else { "senseless" };
        let answer = || refused(code, Reason::InjectedFault);
        assert_eq!(word(charge(Err(answer()))), expected, "{code:?}");
        assert_eq!(word(cancel(Err(answer()))), expected, "{code:?}");
        assert_eq!(word(refund(ID, Err(answer()))), expected, "{code:?}");
    }
}
