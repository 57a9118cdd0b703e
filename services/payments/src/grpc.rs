//! Calls of `PaymentsService`: wire to domain, errors to statuses, and nothing else.

// Calls of `PaymentsAdminService`.
mod admin;
// Messages of `PaymentsService`, to and from the domain.
mod message;

pub use admin::admin;

use crate::{
    behavior::Behavior,
    charge::{self, Deciding, charge},
    payment::Payment,
    store,
};
use batching::Batcher;
use message::{Page, PaymentName};
use proto::payments::v1::{
    self as wire,
    payments_service_server::{PaymentsService, PaymentsServiceServer},
};
use rpc::{server::MAX_REQUEST_BYTES, status};
use sqlx::PgPool;
use tonic::{Code, Request, Response, Status};
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
        let wanted = message::charge(request.into_inner())?;
        Span::current().record("order.id", display(wanted.order_id));
        let payment = charge(&self.ledger, wanted, self.behavior.draw()).await?;
        Ok(Response::new(wire::ChargeResponse {
            payment: Some(payment.into()),
        }))
    }

    async fn cancel_payment(
        &self,
        _: Request<wire::CancelPaymentRequest>,
    ) -> Result<Response<wire::CancelPaymentResponse>, Status> {
        Err(not_implemented("this provider cannot cancel payments yet"))
    }

    async fn refund(
        &self,
        _: Request<wire::RefundRequest>,
    ) -> Result<Response<wire::RefundResponse>, Status> {
        Err(not_implemented("this provider cannot give money back yet"))
    }

    async fn get_payment(
        &self,
        request: Request<wire::GetPaymentRequest>,
    ) -> Result<Response<wire::GetPaymentResponse>, Status> {
        let name = message::payment_name(request.into_inner())?;
        let payment = find(&self.pool, &name).await.map_err(store_unavailable)?;
        let payment = payment.ok_or_else(|| not_found(&name))?;
        Span::current().record("order.id", display(payment.charge.order_id));
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
        let mut conn = pool.acquire().await?;
        match name {
            PaymentName::Id(id) => store::by_id(&mut conn, *id).await,
            PaymentName::Key(key) => Ok(store::by_keys(&mut conn, &[key]).await?.pop()),
        }
    })
    .await
}

async fn list(pool: &PgPool, page: &Page) -> sqlx::Result<Vec<Payment>> {
    store::bounded(async {
        let mut conn = pool.acquire().await?;
        store::list(&mut conn, page.before, page.limit()).await
    })
    .await
}

impl From<charge::Error> for Status {
    fn from(error: charge::Error) -> Self {
        let message = error.to_string();
        match error {
            // ALREADY_EXISTS: the key has a decision, and this is not the charge it is for.
            charge::Error::KeyReused => {
                status::error(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", message, &[])
            }
            // Any code: what a rule says.
            charge::Error::ToldToFail(code) => injected_fault(code, message),
            // UNAVAILABLE without RetryInfo: a caller whose reply was lost is promised nothing.
            charge::Error::ToldToLoseReply => injected_fault(Code::Unavailable, message),
            // UNAVAILABLE with RetryInfo: decided or not, asking again is safe with the key.
            // RESOURCE_EXHAUSTED: nothing was decided.
            charge::Error::Ledger(batching::Error::Busy) => status::overloaded(message),
            charge::Error::Ledger(
                batching::Error::NotCommitted(cause) | batching::Error::Unknown(cause),
            ) => status::from_sqlx(cause.as_ref()),
        }
    }
}

fn injected_fault(code: Code, message: String) -> Status {
    status::error(code, "INJECTED_FAULT", message, &[])
}

fn store_unavailable(error: sqlx::Error) -> Status {
    status::from_sqlx(&error)
}

fn not_found(name: &PaymentName) -> Status {
    const TYPE: &str = "coffeeshop.payments.v1.Payment";
    status::not_found("PAYMENT_NOT_FOUND", TYPE, &name.to_string())
}

fn not_implemented(sentence: &str) -> Status {
    status::error(Code::Unimplemented, "NOT_IMPLEMENTED", sentence, &[])
}
