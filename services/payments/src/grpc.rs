//! Calls of `PaymentsService`: wire to domain, errors to statuses, and nothing else.

// Calls of `PaymentsAdminService`.
mod admin;
// Errors to statuses.
mod error;
// Messages of `PaymentsService`, to and from the domain.
mod message;

pub use admin::admin;

use crate::{
    behavior::{Behavior, Call},
    cancel::cancel,
    charge::{Deciding, charge},
    payment::Payment,
    refund::refund,
    store,
};
use batching::Batcher;
use lifecycle::postgres::acquire;
use message::{Page, PaymentName};
use proto::payments::v1::{
    self as wire,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use rpc::{server::MAX_REQUEST_BYTES, status};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use tracing::{Span, field::display};

/// `PaymentsService`, to be added to a server.
pub fn payments(
    pool: PgPool,
    ledger: Batcher<Deciding>,
    behavior: Behavior,
) -> PaymentsServiceServer<impl PaymentsService> {
    PaymentsServiceServer::new(Payments {
        pool,
        ledger,
        behavior,
    })
    .max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Payments {
    pool: PgPool,
    ledger: Batcher<Deciding>,
    behavior: Behavior,
}

#[tonic::async_trait]
impl PaymentsService for Payments {
    async fn charge(
        &self,
        request: Request<wire::ChargeRequest>,
    ) -> Result<Response<wire::ChargeResponse>, Status> {
        let (key, wanted) = message::charge(request.into_inner())?;
        Span::current().record("coffeeshop.order.id", display(wanted.order_id));
        let fate = self.behavior.draw(Call::Charge);
        let payment = charge(&self.ledger, key, wanted, fate).await?;
        Ok(Response::new(wire::ChargeResponse {
            payment: Some(payment.into()),
        }))
    }

    async fn cancel_payment(
        &self,
        request: Request<wire::CancelPaymentRequest>,
    ) -> Result<Response<wire::CancelPaymentResponse>, Status> {
        let key = message::cancelled_key(request.into_inner())?;
        let payment = cancel(&self.pool, &key, self.behavior.draw(Call::Undo)).await?;
        record_order(&payment);
        Ok(Response::new(wire::CancelPaymentResponse {
            payment: Some(payment.into()),
        }))
    }

    async fn refund(
        &self,
        request: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        let wanted = message::refund(request.into_inner())?;
        let refund = refund(&self.pool, &wanted, self.behavior.draw(Call::Undo)).await?;
        Ok(Response::new(wire::RefundResponse {
            refund: Some(refund.into()),
        }))
    }

    async fn get_payment(
        &self,
        request: Request<wire::GetPaymentRequest>,
    ) -> Result<Response<wire::GetPaymentResponse>, Status> {
        let name = message::payment_name(request.into_inner())?;
        let payment = find(&self.pool, &name).await.map_err(store_unavailable)?;
        let payment = payment.ok_or_else(|| not_found(&name))?;
        record_order(&payment);
        Ok(Response::new(wire::GetPaymentResponse {
            payment: Some(payment.into()),
        }))
    }

    async fn list_payments(
        &self,
        request: Request<wire::ListPaymentsRequest>,
    ) -> Result<Response<wire::ListPaymentsResponse>, Status> {
        let page = message::page(&request.into_inner())?;
        let payments = list(&self.pool, &page).await.map_err(store_unavailable)?;
        Ok(Response::new(page.response(payments)))
    }
}

async fn find(pool: &PgPool, name: &PaymentName) -> sqlx::Result<Option<Payment>> {
    store::bounded(async {
        let mut conn = acquire(pool).await?;
        match name {
            PaymentName::Id(id) => store::by_id(&mut conn, *id).await,
            PaymentName::Key(key) => Ok(store::by_keys(&mut conn, &[key]).await?.pop()),
        }
    })
    .await
}

async fn list(pool: &PgPool, page: &Page) -> sqlx::Result<Vec<Payment>> {
    store::bounded(async {
        let mut conn = acquire(pool).await?;
        store::list(&mut conn, page.before, page.limit()).await
    })
    .await
}

/// A tombstone knows of no order.
fn record_order(payment: &Payment) {
    if let Some(charge) = payment.decision.charge() {
        Span::current().record("coffeeshop.order.id", display(charge.order_id));
    }
}

fn store_unavailable(error: sqlx::Error) -> Status {
    status::from_sqlx(&error)
}

fn not_found(name: &impl ToString) -> Status {
    const TYPE: &str = "coffeeshop.payments.v1.Payment";
    status::not_found(status::Reason::PaymentNotFound, TYPE, &name.to_string())
}
