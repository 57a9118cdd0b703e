//! Clients that place orders: one after the other, or at a rate.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use hdrhistogram::Histogram;
use lifecycle::Stop;
use tokio::{
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior},
};
use tonic::Code;

use crate::customers::{Customer, History, order};

/// What they order in turn: one drink each, of every skill.
const ORDERS: [(&str, &str); 4] = [
    ("latte", "large"),
    ("espresso", "single"),
    ("filter", "small"),
    ("tea", "small"),
];

/// An answer, and how long it took.
type Answered = (Result<(), Code>, Duration);

/// What the clients of a run were answered.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Answered OK.
    pub(crate) acknowledged: u64,
    /// Microseconds from call to OK.
    pub(crate) latency_us: Histogram<u64>,
    /// Other answers.
    pub(crate) errors: BTreeMap<&'static str, u64>,
}

impl Placed {
    fn new() -> Result<Self> {
        // Up to a minute, to three digits.
        let latency_us = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self {
            acknowledged: 0,
            latency_us,
            errors: BTreeMap::new(),
        })
    }

    fn note(&mut self, (answer, latency): Answered) {
        match answer {
            Ok(()) => {
                self.acknowledged += 1;
                let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                self.latency_us.saturating_record(micros);
            }
            Err(code) => *self.errors.entry(code.description()).or_default() += 1,
        }
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.acknowledged += other.acknowledged;
        self.latency_us.add(&other.latency_us)?;
        for (code, count) in &other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        Ok(())
    }
}

/// Lets clients order until `stop`; each finishes the order it is at.
pub(super) async fn run(url: &str, clients: u32, history: History, stop: Stop) -> Result<Placed> {
    let mut running = JoinSet::new();
    for index in 0..clients {
        let customer = Customer::new(url, history.clone())?;
        running.spawn(client(customer, index as usize, stop.clone()));
    }
    let mut total = Placed::new()?;
    while let Some(placed) = running.join_next().await {
        total.add(&placed??)?;
    }
    Ok(total)
}

/// Lets customers come at a rate until `stop`, whether or not those before them were answered, over
/// `clients` connections in turn. A latency counts from the moment at which its customer was to
/// come: one that the generator itself was late for is not made to look quick.
pub(super) async fn at_rate(
    url: &str,
    clients: u32,
    rate: u32,
    history: History,
    stop: Stop,
) -> Result<Placed> {
    let customers: Vec<Customer> = (0..clients)
        .map(|_| Customer::new(url, history.clone()))
        .collect::<Result<_>>()?;
    let mut turn = customers.iter().cycle().zip(ORDERS.iter().cycle());
    let mut arrivals = time::interval(Duration::from_secs(1) / rate);
    arrivals.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut waiting, mut total) = (JoinSet::new(), Placed::new()?);
    while let Some(came) = stop.run_until_cancelled(arrivals.tick()).await {
        let Some((customer, (drink, size))) = turn.next() else {
            break;
        };
        // Each is answered within its deadline: so many wait at most.
        waiting.spawn(place(customer.clone(), drink, size, came));
        while let Some(answered) = waiting.try_join_next() {
            total.note(answered?);
        }
    }
    while let Some(answered) = waiting.join_next().await {
        total.note(answered?);
    }
    Ok(total)
}

async fn client(customer: Customer, index: usize, stop: Stop) -> Result<Placed> {
    let mut placed = Placed::new()?;
    let mut turn = ORDERS.iter().cycle().skip(index % ORDERS.len());
    while !stop.is_cancelled() {
        let Some((drink, size)) = turn.next() else {
            break;
        };
        placed.note(place(customer.clone(), drink, size, Instant::now()).await);
    }
    Ok(placed)
}

async fn place(customer: Customer, drink: &str, size: &str, came: Instant) -> Answered {
    let answer = customer.place_as_of(order(drink, size, 1), came).await;
    let answer = answer.map(|_| ()).map_err(|status| status.code());
    (answer, came.elapsed())
}
