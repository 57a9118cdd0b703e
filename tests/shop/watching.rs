//! A watcher goes on at another instance, or after a restart, and neither misses a change nor sees
//! one twice.

use crate::{reason, second};
use proto::{
    barista::v1::{
        Ticket, TicketState, WatchTicketsRequest, WatchTicketsResponse,
        barista_service_client::BaristaServiceClient,
        watch_tickets_response::Update as TicketUpdate,
    },
    reception::v1::{
        CollectOrderRequest, Order, OrderState, WatchOrderRequest, WatchOrderResponse,
        reception_service_client::ReceptionServiceClient, watch_order_response::Update,
    },
};
use shop::{
    customers::{espresso, latte},
    harness::{Hosted, Shop, patience},
};
use std::collections::{HashMap, HashSet};
use tokio::time::timeout;
use tonic::{Status, Streaming};

#[tokio::test]
async fn a_watcher_of_tickets_goes_on_elsewhere_without_a_gap_or_a_repeat() {
    let shop = crate::open().await;
    let second = second(&shop.barista).await;
    let mut seen = Seen::default();
    let mut watching = watch(&shop.barista, &seen.token).await.expect("it runs");
    seen.take(&mut watching).await.expect("the first heartbeat");
    place(&shop, 3).await;
    seen.until_ready(&mut watching, 3).await;

    // Some of these are seen here; the rest is missed, but for the token.
    place(&shop, 3).await;
    seen.take(&mut watching).await.expect("there are changes");
    shop.barista.stop().await.expect("it ends well");
    let draining = seen.until_it_ends(&mut watching).await;
    assert_eq!(reason(&draining), "DRAINING");
    place(&shop, 3).await;
    shop.until_idle().await;

    let mut watching = watch(&second, &seen.token).await.expect("it runs");
    seen.until_ready(&mut watching, 9).await;
    shop.barista.start().await.expect("it starts again");
    let mut watching = watch(&shop.barista, &seen.token).await.expect("it runs");
    place(&shop, 1).await;
    seen.until_ready(&mut watching, 10).await;
    assert_eq!(seen.repeats, 0);
    second.stop().await.expect("it ends well");
    shop.close().await;
}

#[tokio::test]
async fn a_token_that_is_forged_or_too_old_is_refused_with_a_word() {
    let shop = crate::open().await;
    let forged = watch(&shop.barista, "forged").await;
    assert_eq!(
        reason(&forged.expect_err("nobody gave it out")),
        "INVALID_REQUEST"
    );
    assert_eq!(reason(&from_long_ago(&shop).await), "RESUME_TOKEN_EXPIRED");
    // Of a database that had come further before it was restored.
    let now = chrono::Utc::now().timestamp_millis();
    let ahead = rpc::page::encode("WatchTickets", &format!("{} 0 {now}", i64::MAX));
    let ahead = watch(&shop.barista, &ahead).await;
    assert_eq!(
        reason(&ahead.expect_err("it lies ahead")),
        "RESUME_TOKEN_EXPIRED"
    );
    shop.close().await;
}

#[tokio::test]
async fn a_watcher_of_an_order_goes_on_at_another_reception_until_the_order_is_over() {
    let shop = crate::open().await;
    let second = second(&shop.reception).await;
    // Without a barista it stays PAID.
    shop.barista.stop().await.expect("it ends well");
    let order = shop.place(latte()).await;
    let mut watching = watch_order(&shop.reception, &order.order_id, 0).await;
    let paid = next(&mut watching)
        .await
        .expect("it is well")
        .expect("it goes on");
    assert_eq!(paid.state(), OrderState::Paid);
    shop.reception.stop().await.expect("it ends well");
    let draining = next(&mut watching).await.expect_err("it stops");
    assert_eq!(reason(&draining), "DRAINING");
    shop.barista.start().await.expect("it starts again");

    // What happens meanwhile is told by the other one, and what happens there.
    let mut watching = watch_order(&second, &order.order_id, paid.revision).await;
    let mut revisions = vec![paid.revision];
    loop {
        let update = next(&mut watching).await.expect("it is well");
        let Some(update) = update else { break };
        revisions.push(update.revision);
        if update.state() == OrderState::Ready {
            collect(&second, &order).await;
        }
    }
    assert!(
        revisions.is_sorted_by(|earlier, later| earlier < later),
        "{revisions:?}"
    );
    shop.reception.start().await.expect("it starts again");
    let over = shop.until(&order, OrderState::Collected).await;
    assert_eq!(revisions.last(), Some(&over.revision), "the end was told");
    second.stop().await.expect("it ends well");
    shop.close().await;
}

/// Why a watcher cannot go on whose token is older than the outbox.
pub async fn from_long_ago(shop: &Shop) -> Status {
    let token = rpc::page::encode("WatchTickets", "0 0 0");
    let refused = watch(&shop.barista, &token).await;
    refused.expect_err("nothing is kept for so long")
}

/// What a watcher of tickets has seen.
#[derive(Default)]
pub struct Seen {
    pub token: String,
    revisions: HashSet<(String, i64)>,
    ready: HashMap<String, Ticket>,
    pub repeats: usize,
}

impl Seen {
    async fn take(&mut self, watching: &mut Streaming<WatchTicketsResponse>) -> Result<(), Status> {
        let update = timeout(patience(), watching.message());
        let update = update
            .await
            .expect("something comes, if only a heartbeat")?;
        let update = update.expect("it has no end of its own");
        self.token = update.resume_token;
        let Some(TicketUpdate::Ticket(ticket)) = update.update else {
            return Ok(());
        };
        let is_new = self
            .revisions
            .insert((ticket.order_id.clone(), ticket.revision));
        self.repeats += usize::from(!is_new);
        if ticket.state() == TicketState::Ready {
            self.ready.insert(ticket.order_id.clone(), ticket);
        }
        Ok(())
    }

    pub async fn until_ready(
        &mut self,
        watching: &mut Streaming<WatchTicketsResponse>,
        tickets: usize,
    ) {
        let all = async {
            while self.ready.len() < tickets {
                self.take(watching).await.expect("it is well");
            }
        };
        // Heartbeats go on whatever was missed.
        let all = timeout(patience(), all).await;
        all.unwrap_or_else(|_| panic!("a gap: {} of {tickets} tickets", self.ready.len()));
    }

    pub async fn until_it_ends(
        &mut self,
        watching: &mut Streaming<WatchTicketsResponse>,
    ) -> Status {
        loop {
            if let Err(status) = self.take(watching).await {
                return status;
            }
        }
    }
}

async fn place(shop: &Shop, orders: usize) {
    for _ in 0..orders {
        shop.place(espresso()).await;
    }
}

pub async fn watch(
    barista: &Hosted,
    resume_token: &str,
) -> Result<Streaming<WatchTicketsResponse>, Status> {
    let channel = barista.channel().expect("the URL is our own");
    let request = WatchTicketsRequest {
        resume_token: resume_token.to_owned(),
    };
    let mut client = BaristaServiceClient::new(channel);
    Ok(client.watch_tickets(request).await?.into_inner())
}

pub async fn watch_order(
    reception: &Hosted,
    order_id: &str,
    after_revision: i64,
) -> Streaming<WatchOrderResponse> {
    let channel = reception.channel().expect("the URL is our own");
    let order_id = order_id.to_owned();
    let request = WatchOrderRequest {
        order_id,
        after_revision,
    };
    let watching = ReceptionServiceClient::new(channel)
        .watch_order(request)
        .await;
    watching.expect("the order exists").into_inner()
}

/// The next order, or none when the stream is over.
pub async fn next(watching: &mut Streaming<WatchOrderResponse>) -> Result<Option<Order>, Status> {
    let next = async {
        loop {
            match watching.message().await?.map(|update| update.update) {
                None => return Ok(None),
                Some(Some(Update::Order(order))) => return Ok(Some(order)),
                Some(_) => {}
            }
        }
    };
    let next = timeout(patience(), next).await;
    next.expect("a change, or the end; not heartbeats for ever")
}

async fn collect(reception: &Hosted, order: &Order) {
    let channel = reception.channel().expect("the URL is our own");
    let order_id = order.order_id.clone();
    let mut client = ReceptionServiceClient::new(channel);
    let collected = client.collect_order(CollectOrderRequest { order_id }).await;
    collected.expect("it is READY");
}
