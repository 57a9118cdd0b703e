//! The wire's side of the barista: requests in, tickets and baristas out.

use crate::{
    announce::timestamp,
    store::list::{self, TicketDrink},
};
use futures::stream;
use proto::barista::v1::{self as wire, barista_service_server::BaristaService};
use rpc::{
    page,
    status::{self, Violations},
};
use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

/// Answers from the tables.
pub struct Service {
    /// The barista's database.
    pub pool: PgPool,
}

/// Why a call is not answered.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// INVALID_ARGUMENT, INVALID_REQUEST: see the violations.
    #[error(transparent)]
    Invalid(#[from] Status),
    /// UNAVAILABLE, STORE_UNAVAILABLE: the database did not answer. A read may always
    /// be repeated.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(status) => status,
            Error::Store(error) => status::from_sqlx(&error),
        }
    }
}

#[tonic::async_trait]
impl BaristaService for Service {
    async fn list_tickets(
        &self,
        request: Request<wire::ListTicketsRequest>,
    ) -> Result<Response<wire::ListTicketsResponse>, Status> {
        Ok(Response::new(self.tickets(&request.into_inner()).await?))
    }

    type WatchTicketsStream = stream::Empty<Result<wire::WatchTicketsResponse, Status>>;

    async fn watch_tickets(
        &self,
        _request: Request<wire::WatchTicketsRequest>,
    ) -> Result<Response<Self::WatchTicketsStream>, Status> {
        let message = "WatchTickets is not built yet; list them instead";
        Err(status::error(Code::Unimplemented, "NOT_IMPLEMENTED", message, &[]))
    }

    async fn list_baristas(
        &self,
        request: Request<wire::ListBaristasRequest>,
    ) -> Result<Response<wire::ListBaristasResponse>, Status> {
        Ok(Response::new(self.baristas(&request.into_inner()).await?))
    }
}

impl Service {
    async fn tickets(
        &self,
        request: &wire::ListTicketsRequest,
    ) -> Result<wire::ListTicketsResponse, Error> {
        let mut violations = Violations::new();
        let state = state_filter(&mut violations, request.state);
        let filter = format!("ListTickets state={}", state.unwrap_or_default());
        let (size, before) =
            page::<Uuid>(&mut violations, &filter, request.page_size, &request.page_token);
        violations.into_result()?;
        let rows = list::tickets(&mut *self.connection().await?, state, before, size + 1).await?;
        let of_one = |a: &TicketDrink, b: &TicketDrink| a.ticket.order_id == b.ticket.order_id;
        let mut tickets: Vec<_> = rows.chunk_by(of_one).filter_map(ticket).collect();
        let next = cut(&mut tickets, size).map(|last| page::encode(&filter, &last.order_id));
        Ok(wire::ListTicketsResponse {
            tickets,
            next_page_token: next.unwrap_or_default(),
        })
    }
}
