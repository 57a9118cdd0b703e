//! Calls of `BaristaService`: wire to domain, errors to statuses, and nothing else.

// Messages of `BaristaService`, to and from the domain.
mod message;
// One `WatchTickets` stream.
mod watching;

use crate::store::list;
use futures::{Stream, StreamExt as _};
use lifecycle::postgres::acquire;
use proto::barista::v1::{
    ListBaristasRequest, ListBaristasResponse, ListTicketsRequest, ListTicketsResponse,
    WatchTicketsRequest, WatchTicketsResponse,
    barista_service_server::{BaristaService, BaristaServiceServer},
};
use rpc::{admission::Admission, server::MAX_REQUEST_BYTES, status, stream::Streams, turns::Turns};
use sqlx::{PgConnection, PgPool};
use std::{io, pin::Pin, time::Duration};
use tokio::{sync::watch, time};
use tonic::{Request, Response, Status};
use watching::{Source, Watch};

/// What the database gets to answer: more than the limit of a statement on the server,
/// which says more. sqlx itself would wait until TCP gives up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Each reads for itself: they are screens behind the counter, not customers.
const MAX_WATCHING: u16 = 64;

/// `BaristaService`, to be added to a server. Those who watch are woken by `changes`, and can
/// resume for as long as the outbox keeps what was sent.
pub fn service(
    pool: PgPool,
    changes: watch::Sender<()>,
    retention: Duration,
    streams: Streams,
) -> BaristaServiceServer<impl BaristaService> {
    let door = Admission::new(MAX_WATCHING);
    let tickets = Source {
        pool: pool.clone(),
        turns: Turns::default(),
        retention,
        heartbeat: streams.heartbeat,
    };
    BaristaServiceServer::new(Barista {
        pool,
        changes,
        tickets,
        door,
        streams,
    })
    .max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Barista {
    pool: PgPool,
    changes: watch::Sender<()>,
    /// What `WatchTickets` reads.
    tickets: Source,
    /// Of `WatchTickets`.
    door: Admission,
    streams: Streams,
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

    type WatchTicketsStream =
        Pin<Box<dyn Stream<Item = Result<WatchTicketsResponse, Status>> + Send>>;

    async fn watch_tickets(
        &self,
        request: Request<WatchTicketsRequest>,
    ) -> Result<Response<Self::WatchTicketsStream>, Status> {
        let inside = self.door.admit()?;
        let token = request.into_inner().resume_token;
        let changes = self.changes.subscribe();
        let watch = Watch::begin(self.tickets.clone(), changes, &token, inside);
        let watch = self.streams.begin(watch).await?;
        let updates = self.streams.until_stop(watch.updates());
        Ok(Response::new(updates.boxed()))
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
