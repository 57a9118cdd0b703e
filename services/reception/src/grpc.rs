//! Wire to domain, errors to statuses; nothing else.

/// From the domain to the wire.
mod answer;
/// Errors to statuses.
mod error;
/// From the wire to the domain: every violation of a request at once.
mod request;
/// One `WatchOrder` stream.
mod watching;
/// Errors of `CancelOrder` and `CollectOrder`.
mod wishing;

use crate::{
    counter::Counter,
    order::OrderId,
    place_order::{self, place_order},
    store::read,
    watch::Watchers,
    wish,
};
use futures::{Stream, StreamExt as _};
use lifecycle::postgres::{acquire, bounded};
use proto::reception::v1::{
    self as wire,
    reception_service_server::{ReceptionService, ReceptionServiceServer},
};
use rpc::{admission::Admission, page, server::MAX_REQUEST_BYTES, status::Reason, stream::Streams};
use std::{pin::Pin, time::Duration};
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};
use watching::Watch;

/// What a caller that sets no deadline is granted.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);
/// What the sweeper leaves to a call beyond its charge, to record the outcome.
const RECORDING: Duration = Duration::from_secs(3);
/// When to ask again what could not be answered.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The service, to be added to a server.
pub fn service(
    counter: Counter,
    doors: Doors,
    watchers: Watchers,
    streams: Streams,
) -> ReceptionServiceServer<impl ReceptionService> {
    ReceptionServiceServer::new(Reception {
        counter,
        doors,
        watchers,
        streams,
    })
    .max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// How many may be inside.
pub struct Doors {
    /// Of PlaceOrder: all else is a read, or as short as one.
    placing: Admission,
    /// Of WatchOrder: each is a read, and then stays.
    watching: Admission,
}

impl Doors {
    /// At most so many at a time.
    pub fn new(placing: u16, watching: u16) -> Self {
        Self {
            placing: Admission::new(placing),
            watching: Admission::new(watching),
        }
    }
}

struct Reception {
    counter: Counter,
    doors: Doors,
    watchers: Watchers,
    streams: Streams,
}

#[tonic::async_trait]
impl ReceptionService for Reception {
    async fn list_menu_items(
        &self,
        request: Request<wire::ListMenuItemsRequest>,
    ) -> Result<Response<wire::ListMenuItemsResponse>, Status> {
        let (after, limit) = request::list_menu_items(&request.into_inner())?;
        let mut conn = self.connection().await?;
        let mut items = bounded(read::menu(&mut conn, after.as_ref(), limit + 1))
            .await
            .map_err(error::store)?;
        let next_page_token = next_page(&mut items, limit, request::MENU_PAGES, request::menu_key);
        let menu_items = items.into_iter().map(answer::menu_item).collect();
        Ok(Response::new(wire::ListMenuItemsResponse {
            menu_items,
            next_page_token,
        }))
    }

    async fn place_order(
        &self,
        request: Request<wire::PlaceOrderRequest>,
    ) -> Result<Response<wire::PlaceOrderResponse>, Status> {
        let _inside = self.doors.placing.admit()?;
        let left = rpc::deadline::remaining(&request).unwrap_or(DEFAULT_DEADLINE);
        let deadline = Instant::now() + left;
        let request = request.into_inner();
        let repeatable = !request.request_id.is_empty();
        // Until then the call charges, so that the two seldom meet. If they do, the key makes it
        // one charge.
        let settle_after = left.min(self.counter.payments.longest_call() + RECORDING);
        let pricing = &self.counter.pricing;
        let new = match request::place_order(pricing, &request, settle_after).await {
            Ok(new) => new,
            Err(refusal) if refusal.code() == Code::InvalidArgument => {
                return self.placed_before(&request).await?.ok_or(refusal);
            }
            // The database is away: to ask it once more would take another half a second.
            Err(unavailable) => return Err(unavailable),
        };
        about(new.order.order_id);
        let order = place_order(&self.counter, new, deadline)
            .await
            .map_err(|error| error::place_order(&error, repeatable))?;
        Ok(Response::new(wire::PlaceOrderResponse {
            order: Some(answer::order(order)),
        }))
    }

    async fn get_order(
        &self,
        request: Request<wire::GetOrderRequest>,
    ) -> Result<Response<wire::GetOrderResponse>, Status> {
        let by = request::get_order(request.into_inner())?;
        let mut conn = self.connection().await?;
        let (name, order) = match by {
            request::By::OrderId(id) => (
                id.to_string(),
                bounded(read::by_id(&mut conn, id))
                    .await
                    .map_err(error::store)?,
            ),
            request::By::RequestId(id) => {
                let found = bounded(read::by_request_id(&mut conn, id))
                    .await
                    .map_err(error::store)?;
                (id.to_string(), found.map(|(order, _)| order))
            }
        };
        let order = order.ok_or_else(|| error::not_found(&name))?;
        Ok(Response::new(wire::GetOrderResponse {
            order: Some(answer::order(order)),
        }))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Result<Response<wire::ListOrdersResponse>, Status> {
        let list = request::list_orders(&request.into_inner())?;
        let mut conn = self.connection().await?;
        let mut orders = bounded(read::list(
            &mut conn,
            &list.filter,
            list.before,
            list.limit + 1,
        ))
        .await
        .map_err(error::store)?;
        let next_page_token = next_page(&mut orders, list.limit, &list.pages, |order| {
            order.order_id.to_string()
        });
        let orders = orders.into_iter().map(answer::order).collect();
        Ok(Response::new(wire::ListOrdersResponse {
            orders,
            next_page_token,
        }))
    }

    type WatchOrderStream =
        Pin<Box<dyn Stream<Item = Result<wire::WatchOrderResponse, Status>> + Send>>;

    async fn watch_order(
        &self,
        request: Request<wire::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let (order_id, after) = request::watch_order(&request.into_inner())?;
        about(order_id);
        let inside = self.doors.watching.admit()?;
        let (pool, watchers) = (self.counter.pool.clone(), self.watchers.clone());
        let heartbeat = self.streams.heartbeat;
        let watch = Watch::begin(pool, watchers, (order_id, after), heartbeat, inside);
        let watch = self.streams.begin(watch).await?;
        let updates = self.streams.until_stop(watch.updates());
        Ok(Response::new(updates.boxed()))
    }

    async fn cancel_order(
        &self,
        request: Request<wire::CancelOrderRequest>,
    ) -> Result<Response<wire::CancelOrderResponse>, Status> {
        let patience = rpc::deadline::remaining(&request).unwrap_or(DEFAULT_DEADLINE);
        let (order_id, reason) = request::cancel_order(request.into_inner())?;
        about(order_id);
        let order = wish::cancel(&self.counter, order_id, reason, patience)
            .await
            .map_err(|error| wishing::error(&error, Reason::OrderNotCancellable))?;
        Ok(Response::new(wire::CancelOrderResponse {
            order: Some(answer::order(order)),
        }))
    }

    async fn collect_order(
        &self,
        request: Request<wire::CollectOrderRequest>,
    ) -> Result<Response<wire::CollectOrderResponse>, Status> {
        let patience = rpc::deadline::remaining(&request).unwrap_or(DEFAULT_DEADLINE);
        let order_id = request::collect_order(&request.into_inner())?;
        about(order_id);
        let order = wish::collect(&self.counter, order_id, patience)
            .await
            .map_err(|error| wishing::error(&error, Reason::OrderNotReady))?;
        Ok(Response::new(wire::CollectOrderResponse {
            order: Some(answer::order(order)),
        }))
    }
}

impl Reception {
    /// The answer to a repeat whose drinks have left the menu since: to what was placed
    /// before, today's menu does not matter.
    async fn placed_before(
        &self,
        request: &wire::PlaceOrderRequest,
    ) -> Result<Option<Response<wire::PlaceOrderResponse>>, Status> {
        let Ok(request_id) = request.request_id.parse() else {
            return Ok(None);
        };
        let mut conn = self.connection().await?;
        let known = bounded(read::by_request_id(&mut conn, request_id))
            .await
            .map_err(error::store)?;
        let Some((order, hash)) = known else {
            return Ok(None);
        };
        if hash != request::hash(request) {
            return Ok(None);
        }
        let order = place_order::answer(order).map_err(|error| error::place_order(&error, true))?;
        Ok(Some(Response::new(wire::PlaceOrderResponse {
            order: Some(answer::order(order)),
        })))
    }

    async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, Status> {
        acquire(&self.counter.pool).await.map_err(error::store)
    }
}

/// Says in the call's span which order it is about.
fn about(order_id: OrderId) {
    tracing::Span::current().record("coffeeshop.order.id", tracing::field::display(order_id));
}

/// Takes the one row that was read beyond the page, and gives out a token if it was
/// there.
fn next_page<R>(
    rows: &mut Vec<R>,
    limit: i64,
    pages: &str,
    key: impl FnOnce(&R) -> String,
) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if rows.len() <= limit {
        return String::new();
    }
    rows.truncate(limit);
    rows.last()
        .map(|last| page::encode(pages, &key(last)))
        .unwrap_or_default()
}
