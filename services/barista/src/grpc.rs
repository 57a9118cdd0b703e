//! Calls of `BaristaService`: wire to domain, errors to statuses, and nothing else.

// Messages of `BaristaService`, to and from the domain.
mod message;

use crate::store::list;
use futures::stream;
use lifecycle::postgres::acquire;
use proto::barista::v1::{
    ListBaristasRequest, ListBaristasResponse, ListTicketsRequest, ListTicketsResponse,
    WatchTicketsRequest, WatchTicketsResponse,
    barista_service_server::{BaristaService, BaristaServiceServer},
};
use rpc::{server::MAX_REQUEST_BYTES, status};
use sqlx::{PgConnection, PgPool};
use std::{io, time::Duration};
use tokio::time;
use tonic::{Code, Request, Response, Status};

/// What the database gets to answer: more than the limit of a statement on the server,
/// which says more. sqlx itself would wait until TCP gives up.
const PATIENCE: Duration = Duration::from_secs(3);

/// `BaristaService`, to be added to a server.
pub fn service(pool: PgPool) -> BaristaServiceServer<impl BaristaService> {
    BaristaServiceServer::new(Barista { pool }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Barista {
    pool: PgPool,
}

#[tonic::async_trait]
impl BaristaService for Barista {
    async fn list_tickets(
        &self,
        request: Request<ListTicketsRequest>,
    ) -> Result<Response<ListTicketsResponse>, Status> {
        let (state, page) = message::list_tickets(&request.into_inner())?;
        let listing = async |conn: &mut PgConnection| {
            list::tickets(conn, state, page.after, page.limit()).await
        };
        let drinks = self.read(listing).await?;
        Ok(Response::new(message::tickets(&drinks, &page)))
    }

    type WatchTicketsStream = stream::Empty<Result<WatchTicketsResponse, Status>>;

    async fn watch_tickets(
        &self,
        _: Request<WatchTicketsRequest>,
    ) -> Result<Response<Self::WatchTicketsStream>, Status> {
        let message = "this barista cannot be watched yet; list the tickets";
        Err(status::error(
            Code::Unimplemented,
            status::Reason::Unimplemented,
            message,
            &[],
        ))
    }

    async fn list_baristas(
        &self,
        request: Request<ListBaristasRequest>,
    ) -> Result<Response<ListBaristasResponse>, Status> {
        let page = message::list_baristas(&request.into_inner())?;
        let after = page.after.as_deref();
        let listing =
            async |conn: &mut PgConnection| list::baristas(conn, after, page.limit()).await;
        let baristas = self.read(listing).await?;
        Ok(Response::new(message::baristas(baristas, &page)))
    }
}

impl Barista {
    /// Reads within bounds. A read that failed changed nothing: UNAVAILABLE with
    /// `RetryInfo`, whatever it was.
    async fn read<T>(
        &self,
        listing: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<T, Status> {
        let reading = async { listing(&mut *acquire(&self.pool).await?).await };
        time::timeout(PATIENCE, reading)
            .await
            .unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
            .map_err(|error| status::from_sqlx(&error))
    }
}
