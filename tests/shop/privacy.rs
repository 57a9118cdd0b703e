//! Who the customer is and how they pay is told to nobody who need not know.
//!
//! The name is kept in reception's order and nowhere else, the payment token there until the payment
//! is settled. Everything that leaves a process is searched: log lines at debug level, spans, metrics,
//! Kafka messages; and every column of every table.

use crate::{log, open_with};
use proto::reception::v1::{Order, OrderState, PlaceOrderRequest};
use rdkafka::{
    Message as _,
    message::{Headers as _, OwnedMessage},
};
use shop::{
    customers::{item, latte},
    dir::{self, ShopDir},
    harness::{Collector, Options, Shop},
    services::Service,
};
use sqlx::{AssertSqlSafe, PgPool};
use std::fs;
use tonic::Code;

/// Words that nothing else in a shop holds. Plain, so that no encoding for text changes them.
const NAME: &str = "Zerlina-Quux";
const TOKEN: &str = "tok_zq4929quux";
/// More calls than the test makes.
const MANY: i64 = 1_000_000;

#[tokio::test]
async fn names_and_payment_tokens_are_nowhere_but_where_they_must_be() {
    let collector = Collector::open().await;
    let shop = open(&collector).await;
    let made = place_all_ways(&shop).await;
    shop.provider.fail_next(MANY).await;
    let undecided = shop.place(marked()).await;
    assert_eq!(undecided.state(), OrderState::AwaitingPayment);
    assert_eq!(
        stored(&shop, TOKEN).await,
        ["reception.orders.payment_token"]
    );

    shop.provider.recover().await;
    shop.until_ready(&undecided).await;
    shop.until_idle().await;
    assert_eq!(stored(&shop, TOKEN).await, Vec::<String>::new());
    assert_eq!(
        stored(&shop, NAME).await,
        ["reception.orders.customer_name"]
    );

    let told = told(&shop, &collector).await;
    for marker in [NAME, TOKEN] {
        let found = told.iter().filter(|told| told.says(marker));
        let found: Vec<String> = found.map(|told| told.around(marker)).collect();
        assert!(found.is_empty(), "{marker} was told: {found:#?}");
    }
    seen_everywhere(&told, &made);
    shop.close().await;
}

#[tokio::test]
async fn no_table_has_a_column_for_card_data() {
    let shop = crate::open().await;
    for (service, pool) in databases(&shop) {
        let columns = columns(&pool).await;
        assert!(!columns.is_empty(), "{service} has tables");
        let of_a_card = columns.iter().filter(|column| {
            let mut words = column.name.split('_');
            words.any(|word| CARD_WORDS.contains(&word))
        });
        assert_eq!(of_a_card.count(), 0, "{service}: {columns:?}");
    }
    shop.close().await;
}

const CARD_WORDS: [&str; 9] = [
    "card",
    "pan",
    "cvc",
    "cvv",
    "iban",
    "holder",
    "cardholder",
    "expiry",
    "track",
];

/// A shop of processes that tell all they have to tell.
async fn open(collector: &Collector) -> Shop {
    let mut options = Options {
        processes: true,
        ..Options::default()
    };
    for service in Service::ALL {
        options = options
            .with(service, "RUST_LOG", "debug")
            .with(service, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
            .with(service, "OTEL_METRIC_EXPORT_INTERVAL", "500");
    }
    open_with(options).await
}

/// Orders that end well, badly, late, or before they begin. Returns one that was made.
async fn place_all_ways(shop: &Shop) -> Order {
    let good = marked();
    let order = shop.place(good.clone()).await;
    shop.until_ready(&order).await;
    let other = PlaceOrderRequest {
        items: vec![item("tea", "small", 1)],
        ..good
    };
    refused(shop, other, Code::AlreadyExists).await;
    shop.provider.decline_next(1).await;
    refused(shop, marked(), Code::FailedPrecondition).await;
    shop.provider.lose_next_replies(1).await;
    shop.place(marked()).await;
    for invalid in invalid() {
        refused(shop, invalid, Code::InvalidArgument).await;
    }
    order
}

fn marked() -> PlaceOrderRequest {
    PlaceOrderRequest {
        customer_name: NAME.to_owned(),
        payment_token: TOKEN.to_owned(),
        ..latte()
    }
}

/// What a careless validation would quote.
fn invalid() -> [PlaceOrderRequest; 5] {
    let valid = marked;
    [
        PlaceOrderRequest {
            customer_name: NAME.repeat(20),
            ..valid()
        },
        PlaceOrderRequest {
            customer_name: format!("{NAME}\u{7}"),
            ..valid()
        },
        PlaceOrderRequest {
            payment_token: format!("{TOKEN} {TOKEN}"),
            ..valid()
        },
        PlaceOrderRequest {
            payment_token: TOKEN.repeat(50),
            ..valid()
        },
        PlaceOrderRequest {
            items: vec![item("petrol", "large", 0)],
            ..valid()
        },
    ]
}

async fn refused(shop: &Shop, order: PlaceOrderRequest, code: Code) {
    let refused = shop.try_place(order).await.expect_err("it is refused");
    assert_eq!(refused.code(), code, "{refused:?}");
}

/// Something that left a process.
struct Told {
    by: String,
    bytes: Vec<u8>,
}

impl Told {
    fn says(&self, word: &str) -> bool {
        let mut windows = self.bytes.windows(word.len());
        windows.any(|window| window == word.as_bytes())
    }

    /// Enough of it to find out who says so.
    fn around(&self, word: &str) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let at = text.find(word).unwrap_or_default();
        let before: String = text[..at].chars().rev().take(300).collect();
        let before: String = before.chars().rev().collect();
        let after: String = text[at..].chars().take(100).collect();
        format!("{}: …{before}{after}…", self.by)
    }
}

/// All that was told, once everybody has ended: what they held back is out then.
async fn told(shop: &Shop, collector: &Collector) -> Vec<Told> {
    let mut told = Vec::new();
    for topic in [shop.orders_topic(), shop.tickets_topic()] {
        let messages = log::read(shop, &topic).await;
        told.extend(messages.iter().map(|message| Told {
            by: topic.clone(),
            bytes: bytes(message),
        }));
    }
    for service in Service::ALL {
        shop.service(service).stop().await.expect("it ends well");
        told.push(Told {
            by: format!("{}'s log", service.name()),
            bytes: log_of(shop, service),
        });
    }
    let exports = [
        ("spans", collector.spans()),
        ("metrics", collector.metrics()),
        ("logs", collector.logs()),
    ];
    for (by, exports) in exports {
        let by = by.to_owned();
        told.extend(exports.into_iter().map(|bytes| Told {
            by: by.clone(),
            bytes,
        }));
    }
    told
}

/// Whoever looks in the wrong place finds nothing either: what is told of every order is there.
fn seen_everywhere(told: &[Told], order: &Order) {
    let found = |by: &str, word: &str| {
        let mut of = told.iter().filter(|told| told.by.starts_with(by));
        of.any(|told| told.says(word))
    };
    for by in ["orders.", "tickets.", "spans", "reception's log"] {
        assert!(found(by, &order.order_id), "nothing is heard of {by}");
    }
    for by in ["barista's log", "payments's log"] {
        assert!(found(by, "\"level\":\"DEBUG\""), "nothing is heard of {by}");
    }
    assert!(found("metrics", "coffeeshop."), "nothing is measured");
    assert!(found("logs", "DEBUG"), "no line is exported");
}

/// Key, value and headers.
fn bytes(message: &OwnedMessage) -> Vec<u8> {
    let mut bytes = [message.key(), message.payload()]
        .map(Option::unwrap_or_default)
        .concat();
    for header in message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter())
    {
        bytes.extend_from_slice(header.key.as_bytes());
        bytes.extend_from_slice(header.value.unwrap_or_default());
    }
    bytes
}

/// What a service has printed.
pub fn log_of(shop: &Shop, service: Service) -> Vec<u8> {
    let dir = ShopDir::find(&dir::Options::default()).expect("services log there");
    let port = shop.service(service).address().port();
    let name = format!("{}-{port}.log", service.name());
    let log = dir.logs().join("tests").join(&shop.name).join(name);
    fs::read(log).expect("it logs")
}

fn databases(shop: &Shop) -> [(&'static str, PgPool); 3] {
    [
        (Service::Reception.name(), shop.reception_pool()),
        (Service::Barista.name(), shop.barista_pool()),
        (Service::Payments.name(), shop.payments_pool()),
    ]
}

/// A column, quoted for SQL.
#[derive(Debug, sqlx::FromRow)]
struct Column {
    table: String,
    name: String,
}

async fn columns(pool: &PgPool) -> Vec<Column> {
    let columns = "select format('%I', table_name) as table, format('%I', column_name) as name \
        from information_schema.columns join information_schema.tables \
        using (table_schema, table_name) \
        where table_type = 'BASE TABLE' and table_schema = 'public' order by 1, 2";
    let columns = sqlx::query_as(columns).fetch_all(pool);
    columns.await.expect("the database is up")
}

/// `database.table.column` wherever the word is stored, as text or in bytes, which SQL writes in
/// hexadecimal.
async fn stored(shop: &Shop, word: &str) -> Vec<String> {
    let hex: String = word.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    for (service, pool) in databases(shop) {
        for Column { table, name } in columns(&pool).await {
            let question = format!(
                "select exists (select from {table} \
                 where strpos({name}::text, $1) > 0 or strpos({name}::text, $2) > 0)"
            );
            let question = sqlx::query_scalar(AssertSqlSafe(question));
            let answer = question.bind(word).bind(&hex).fetch_one(&pool).await;
            if answer.expect("the database is up") {
                found.push(format!("{service}.{table}.{name}"));
            }
        }
    }
    found
}
