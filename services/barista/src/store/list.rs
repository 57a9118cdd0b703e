//! Reading for people: tickets and baristas. States are as they are stored.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A drink, and its ticket; or a ticket without drinks, which was given up before one was
/// made: the others of its drinks are gone then.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TicketDrink {
    /// The ticket.
    #[sqlx(flatten)]
    pub ticket: TicketHead,
    /// The order's line. If it is there, so is the rest.
    pub line: Option<i32>,
    /// The unit within the line.
    pub unit: Option<i32>,
    /// Id of the drink.
    pub drink: Option<String>,
    /// Id of the size.
    pub size: Option<String>,
    /// Where the drink stands.
    pub drink_state: Option<String>,
    /// Who makes or made it.
    pub barista_id: Option<String>,
    /// How often it was taken.
    pub attempt: Option<i32>,
    /// When it was booked.
    pub made_time: Option<DateTime<Utc>>,
}

/// A ticket without its drinks.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TicketHead {
    /// The order.
    pub order_id: Uuid,
    /// Where the ticket stands.
    pub state: String,
    /// Its revision.
    pub revision: i64,
    /// Why it cannot be made, if it cannot.
    pub fail_reason: Option<String>,
    /// Whether a wish to cancel came too late.
    pub cancel_refused: bool,
    /// When it was queued.
    pub create_time: DateTime<Utc>,
    /// When it last changed.
    pub update_time: DateTime<Utc>,
}

/// Lists the drinks of at most `limit` tickets older than `before`, newest ticket
/// first. Stable under inserts: order ids rise with time.
///
/// One statement, so that a ticket and its drinks are of the same moment.
pub async fn tickets(
    conn: &mut PgConnection,
    state: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<TicketDrink>> {
    sqlx::query_as(
        "select t.order_id, t.state, t.revision, t.fail_reason, t.cancel_refused, t.create_time, \
             t.update_time, d.line, d.unit, d.drink, d.size, d.state as drink_state, d.barista_id, \
             d.attempt, d.made_time \
         from (select * from tickets \
               where ($1::text is null or state = $1) and ($2::uuid is null or order_id < $2) \
               order by order_id desc limit $3) as t \
         left join drinks d on d.order_id = t.order_id \
         order by t.order_id desc, d.line, d.unit",
    )
    .bind(state)
    .bind(before)
    .bind(limit)
    // Planned anew for these parameters: a plan for any parameters could use neither
    // index, because every filter may be absent.
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// Somebody who makes drinks.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Barista {
    /// "ada".
    pub barista_id: String,
    /// For people.
    pub display_name: String,
    /// What this barista can do.
    pub skills: Vec<String>,
    /// The order of the drink in hand, if there is one; then the rest is there too.
    pub order_id: Option<Uuid>,
    /// Id of the drink.
    pub drink: Option<String>,
    /// Id of the size.
    pub size: Option<String>,
    /// When it was begun.
    pub start_time: Option<DateTime<Utc>>,
}

/// Lists baristas after the given id, sorted by id.
pub async fn baristas(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Barista>> {
    sqlx::query_as(
        "select b.barista_id, b.display_name, b.skills, d.order_id, d.drink, d.size, d.start_time \
         from baristas b \
         left join drinks d on d.barista_id = b.barista_id and d.state = 'BREWING' \
         where $1::text is null or b.barista_id > $1 \
         order by b.barista_id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Counts drinks that nobody has begun, no more than `limit`: by the index that holds only them.
pub async fn count_waiting(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from (select from drinks where state = 'WAITING' \
             order by skill, order_id, line, unit limit $1) as waiting",
    )
    .bind(limit)
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(waiting).unwrap_or_default())
}
