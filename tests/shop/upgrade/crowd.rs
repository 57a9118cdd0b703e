//! Customers who order at one of several instances, and watch at another until it is READY.

use lifecycle::Stop;
use proto::reception::v1::{
    Order, OrderState, WatchOrderRequest, reception_service_client::ReceptionServiceClient,
    watch_order_response::Update,
};
use shop::{
    customers::{Customer, item, latte},
    harness::{Hosted, Shop, patience},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Status};

const CUSTOMERS: usize = 4;
/// What a customer takes before the next order, or before asking elsewhere.
const PAUSE: Duration = Duration::from_millis(50);

/// Customers who order until they are sent home.
pub struct Crowd {
    closing: Stop,
    customers: JoinSet<()>,
}

impl Crowd {
    /// They come, and choose among the doors in turn.
    pub fn come(shop: &Shop, doors: &[&Hosted]) -> Self {
        let open = |door: &&Hosted| Customer::new(&door.url(), shop.history.clone());
        let doors: Result<Arc<[Customer]>, _> = doors.iter().map(open).collect();
        let doors = doors.expect("the URLs are our own");
        let (closing, mut customers) = (Stop::new(), JoinSet::new());
        for first in 0..CUSTOMERS {
            let (doors, closing) = (doors.clone(), closing.clone());
            customers.spawn(async move {
                let mut next = first;
                while !closing.is_cancelled() {
                    let order = placed(&doors, next).await;
                    let ready = timeout(patience(), until_ready(&doors, next + 1, &order)).await;
                    ready.unwrap_or_else(|_| panic!("{} is not made", order.order_id));
                    sleep(PAUSE).await;
                    next += 1;
                }
            });
        }
        Self { closing, customers }
    }

    /// They leave when they have what they ordered.
    pub async fn leave(self) {
        self.closing.cancel();
        self.customers.join_all().await;
    }
}

/// Asks at one door after the other, with the same `request_id`. What each answered is in the
/// history.
async fn placed(doors: &[Customer], first: usize) -> Order {
    let mut order = latte();
    order.items.push(item("tea", "small", 1));
    let mut next = first;
    loop {
        match doors[next % doors.len()].place(order.clone()).await {
            Ok(order) => return order,
            Err(status) => again(&status).await,
        }
        next += 1;
    }
}

/// Watches at one door after the other, from the last revision that was seen.
async fn until_ready(doors: &[Customer], first: usize, order: &Order) {
    let mut seen = 0;
    for door in doors.iter().cycle().skip(first) {
        match watch(door, &order.order_id, &mut seen).await {
            Ok(()) => return,
            Err(status) => again(&rpc::client::normalize(status)).await,
        }
    }
}

async fn watch(door: &Customer, order_id: &str, seen: &mut i64) -> Result<(), Status> {
    let request = WatchOrderRequest {
        order_id: order_id.to_owned(),
        after_revision: *seen,
    };
    let mut client = ReceptionServiceClient::new(door.channel());
    let mut watching = client.watch_order(request).await?.into_inner();
    while let Some(update) = watching.message().await? {
        if let Some(Update::Order(order)) = update.update {
            assert!(order.revision > *seen, "{} went back", order.order_id);
            *seen = order.revision;
            if order.state() == OrderState::Ready {
                return Ok(());
            }
        }
    }
    Err(Status::internal("the watch ended before it was READY"))
}

async fn again(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    sleep(PAUSE).await;
}
