//! `DeadLettersService`: wire to domain, errors to statuses, and nothing else.

// Messages of `DeadLettersService`, to and from the domain.
mod message;

use messaging::dead_letters::{DeadLetters, Error, GiveUp, Replayed};
use proto::operations::v1::{
    DropDeadLetterRequest, DropDeadLetterResponse, GetDeadLetterRequest, GetDeadLetterResponse,
    ListDeadLettersRequest, ListDeadLettersResponse, ReplayDeadLetterRequest,
    ReplayDeadLetterResponse, ReplayResult,
    dead_letters_service_server::{DeadLettersService, DeadLettersServiceServer},
};
use rpc::{
    server::MAX_REQUEST_BYTES,
    status::{self, Reason},
};
use std::time::Duration;
use tonic::{Code, Request, Response, Status};

/// When to replay again what its handler could not do now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `DeadLettersService`, to be added to a server.
pub fn service<H: GiveUp>(
    letters: DeadLetters<H>,
) -> DeadLettersServiceServer<impl DeadLettersService> {
    DeadLettersServiceServer::new(Letters(letters)).max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Letters<H>(DeadLetters<H>);

#[tonic::async_trait]
impl<H: GiveUp> DeadLettersService for Letters<H> {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let page = message::list(&request.into_inner())?;
        let letters = self.0.list(page.order_id, page.after, page.limit()).await;
        let letters = letters.map_err(|error| refusal(&error))?;
        Ok(Response::new(message::listed(letters, &page)))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        let id = message::id(request.into_inner().dead_letter_id)?;
        let letter = self.0.get(id).await.map_err(|error| refusal(&error))?;
        Ok(Response::new(GetDeadLetterResponse {
            dead_letter: Some(message::whole(letter)),
        }))
    }

    async fn replay_dead_letter(
        &self,
        request: Request<ReplayDeadLetterRequest>,
    ) -> Result<Response<ReplayDeadLetterResponse>, Status> {
        let id = message::id(request.into_inner().dead_letter_id)?;
        let result = match self.0.replay(id).await.map_err(|error| refusal(&error))? {
            Replayed::Handled => ReplayResult::Handled,
            Replayed::Absorbed => ReplayResult::Absorbed,
            Replayed::Requeued => ReplayResult::Requeued,
            Replayed::StillDead(reason) => return Err(still_dead(id, &reason)),
            Replayed::NotNow(reason) => {
                return Err(status::aborted(Reason::NotNow, reason, RETRY_AFTER));
            }
        };
        let result = result.into();
        Ok(Response::new(ReplayDeadLetterResponse { result }))
    }

    async fn drop_dead_letter(
        &self,
        request: Request<DropDeadLetterRequest>,
    ) -> Result<Response<DropDeadLetterResponse>, Status> {
        let (id, reason) = message::drop(request.into_inner())?;
        let consequence = self.0.give_up(id, &reason).await;
        let consequence = consequence.map_err(|error| refusal(&error))?;
        Ok(Response::new(message::dropped(consequence)))
    }
}

/// Why nothing was done:
/// - `NOT_FOUND`: there is no such dead letter, perhaps not any more.
/// - `UNAVAILABLE`: the database is away. If it went during the COMMIT, what was asked may
///   have been done; asked again, the answer is then `NOT_FOUND`.
fn refusal(error: &Error) -> Status {
    match error {
        Error::NotFound(id) => {
            let kind = "coffeeshop.operations.v1.DeadLetter";
            status::not_found(Reason::DeadLetterNotFound, kind, &id.to_string())
        }
        Error::Database(_) | Error::Handling(_) => status::from_sqlx(error),
    }
}

fn still_dead(id: i64, reason: &str) -> Status {
    let message = format!("it cannot be handled today either, and stays: {reason}");
    let (id, code) = (id.to_string(), Code::FailedPrecondition);
    let metadata = [
        ("dead_letter_id", id.as_str()),
        ("dead_letter_reason", reason),
    ];
    status::error(code, Reason::StillDead, message, &metadata)
}
