//! The promises of the whole shop, a file each, against a real Postgres and a real Kafka.
//!
//! Each test opens a shop of its own and closes it, and closing checks the books: whatever a test is
//! about, no acknowledged order may be lost, made twice or charged twice in it. A machine that is slow
//! needs `SHOP_PATIENCE`; to see what services log, set `RUST_LOG` and `--nocapture`.

// Dashboards show something, and alerts fire and clear.
mod alerts;
// What is wrong with a request is said in one answer.
mod bad_input;
// The books see what is wrong.
mod books;
// Drinks are leased, and booked once.
mod brewing;
// A barista whose every step the test calls.
mod by_hand;
// Whoever asks to cancel learns the truth, whatever races with it.
mod cancel;
// A provider that fails is not asked for a while, and everybody can see it.
mod circuits;
// Programs in other languages order coffee.
mod clients;
// docker-compose.yml says what the programs and the launcher do.
mod containers;
// docs/api.md is what the contracts say.
mod contract;
// What services say to each other, once, twice, or broken.
mod delivery;
// What an operator does about dead letters.
mod dlq;
// Whatever waits is committed together, and each caller is told the truth about its own.
mod guarantee_batching;
// A COMMIT whose outcome nobody knows is found out, or owned up to.
mod guarantee_commit;
// What could not be handled is replayed once, or given up with a word to whoever waits.
mod guarantee_dead_letters;
// What is sent and what is remembered long enough leaves, while traffic runs.
mod guarantee_housekeeping;
// An event has its effect once, however often it is delivered.
mod guarantee_inbox;
// A network that breaks, and a process that is asked to leave, cost nobody an order.
mod guarantee_lifecycle;
// What runs into a time limit costs nobody a message.
mod guarantee_limits;
// Every committed event is published, whatever happens to the relay.
mod guarantee_outbox;
// Handled, put back, or parked with its reason; poison blocks nobody.
mod guarantee_outcomes;
// Too much at a time is refused at once, and what is refused was not begun.
mod guarantee_overload;
// Connections that broke are made again, however many ask for them meanwhile.
mod guarantee_pool;
// Whatever is lost on the way or restored from an old copy, every paid order is made once.
mod guarantee_reconciliation;
// Several relays share one outbox.
mod guarantee_relays;
// A replay takes effect once, or not at all.
mod guarantee_replay;
// Events of one order in any order end in the same state.
mod guarantee_revisions;
// Today's consumer understands tomorrow's publisher.
mod guarantee_schema;
// A consumer that delivers nothing is replaced.
mod guarantee_watchdog;
// The services' own handlers, one step at a time.
mod handlers;
// What the test's own thread logs.
mod heard;
// A request that is repeated is the same order.
mod idempotency;
// Traces as a real Jaeger shows them.
mod jaeger;
// A message as a relay writes it, to be spoiled.
mod letter;
// A process says when it is ready, and leaves without losing anything.
mod lifecycle;
// Lists come in pages.
mod listing;
// What is on the wire.
mod log;
// The provider misbehaves as it is told, by gRPC or by `shop payments`.
mod misbehavior;
// Whoever paid and gets no coffee gets the money back, once.
mod money_back;
// From PlaceOrder to READY, and all that can be asked on the way.
mod order_journey;
// Too many calls are refused at the door.
mod overload;
// Charged, declined or closed: whoever comes first decides a key.
mod payment_keys;
// An order that is not paid in time is cancelled, and nobody is charged for it.
mod payment_window;
// A key is decided once, whatever the provider is told to do.
mod payments;
// A database, a topic, and a handler whose effect is a row.
mod post;
// Names and payment tokens are nowhere but where they must be.
mod privacy;
// Whatever dies, every acknowledged order is made once and charged once.
mod processes;
// A Prometheus that hears the shop.
mod prometheus;
// Messages that no client of ours would write.
mod raw_produce;
// Every reason of an error is documented, and is given as documented.
mod reasons;
// Money goes back once, and all of it.
mod refunds;
// An undecided charge is settled later, once.
mod settlement;
// Who is at work.
mod shift;
// Watchers who do not read, or are gone, make room.
mod slow_watchers;
// What is measured is what the docs say.
mod telemetry_metrics;
// Every name that is exported is listed, and the other way round.
mod telemetry_names;
// One order is one trace, whatever breaks.
mod traces;
// The README shows what grpcurl prints.
mod transcript;
// An order that cannot be made fails, and its money is owed.
mod unmakeable;
// Versions come and go under load, and so do their schemas.
mod upgrade;
// An order that is over ends its stream.
mod watch_ends;
// A watcher misses nothing and sees nothing twice, wherever it goes on.
mod watching;
// What is down, what the caller is told, and what becomes of the order: a row each.
mod what_is_down;
// A wish to cancel overtakes, is overtaken, and meets a drink that is being taken.
mod wishes;

use shop::harness::{Hosted, Options, Shop};
use sqlx::PgPool;
use std::sync::Once;
use tonic::Status;
use tonic_types::StatusExt as _;
use tracing_subscriber::EnvFilter;

/// A whole shop that shares its servers with the other tests.
async fn open() -> Shop {
    open_with(Options::default()).await
}

/// A shop with options.
async fn open_with(options: Options) -> Shop {
    static LOGS: Once = Once::new();
    LOGS.call_once(|| {
        let filter = EnvFilter::from_default_env();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .init();
    });
    Shop::open(options)
        .await
        .unwrap_or_else(|error| panic!("the shop does not open: {error:#}"))
}

/// Another instance of a service, beside the first.
async fn second(first: &Hosted) -> Hosted {
    let second = first.second().expect("there is a free port");
    second.start().await.expect("it starts beside the first");
    second
}

/// What a `select count(*)` counts.
async fn count(pool: &PgPool, question: &'static str) -> i64 {
    sqlx::query_scalar(question)
        .fetch_one(pool)
        .await
        .expect("the database is up")
}

/// The reason of an error, for programs.
fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"))
        .reason
}
