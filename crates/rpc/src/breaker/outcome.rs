//! What an answer says about the service that gave it.

use super::Outcome;
use tonic::Code;

/// A service that refuses a request is well. It is ill if it does not answer, or cannot do its work.
pub(crate) fn outcome(code: Code) -> Outcome {
    match code {
        Code::Ok
        // The request is wrong; the next one need not be.
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::AlreadyExists
        // The state of one thing is in the way: a card is declined, a key is closed.
        | Code::FailedPrecondition
        | Code::Aborted
        // We are wrong, with every request: not asking would not mend it, and hide it.
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::Unimplemented => Outcome::Success,
        // It is away, or not reached.
        Code::Unavailable
        // It is too slow.
        | Code::DeadlineExceeded
        // It has too much to do, and asks for a pause.
        | Code::ResourceExhausted
        // It is broken; UNKNOWN is also what a broken connection looks like.
        | Code::Unknown
        | Code::Internal
        | Code::DataLoss => Outcome::Failure,
        // Somebody wanted the call to end. What tonic calls so on a timeout has become
        // DEADLINE_EXCEEDED before (`client::normalize`).
        Code::Cancelled => Outcome::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row per code of gRPC.
    #[test]
    fn every_code_says_what_the_table_says() {
        use Outcome::{Failure, Neutral, Success};
        let table = [
            (Code::Ok, Success),
            (Code::Cancelled, Neutral),
            (Code::Unknown, Failure),
            (Code::InvalidArgument, Success),
            (Code::DeadlineExceeded, Failure),
            (Code::NotFound, Success),
            (Code::AlreadyExists, Success),
            (Code::PermissionDenied, Success),
            (Code::ResourceExhausted, Failure),
            (Code::FailedPrecondition, Success),
            (Code::Aborted, Success),
            (Code::OutOfRange, Success),
            (Code::Unimplemented, Success),
            (Code::Internal, Failure),
            (Code::Unavailable, Failure),
            (Code::DataLoss, Failure),
            (Code::Unauthenticated, Success),
        ];
        for (number, (code, expected)) in (0_i32..).zip(table) {
            assert_eq!(code, Code::from_i32(number), "the table has a row per code");
            assert_eq!(outcome(code), expected, "{code:?}");
        }
        assert_eq!(Code::from_i32(17), Code::Unknown, "there are no more");
    }
}
