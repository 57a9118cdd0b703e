//! Some transactions take long to commit, after they have got the serial numbers of their events. Later
//! numbers are read and sent meanwhile. Those that come late are sent, too: the horizon waits for
//! them.

use super::prelude::*;

pub(super) const DRILL: Drill = Drill {
    name: "commit-race",
    source: include_str!("commit_race.rs"),
    // Soon asked after: what an outbox has lost is to be missed on its topic, not by an order.
    opening: || Opening::default().with(Service::Reception, "RECONCILE_AFTER", "5s"),
    acts: |scene| acts(scene).boxed_local(),
};

/// A deferred trigger runs in the COMMIT, where a slow disk or a standby would be waited for: all rows
/// are written, and nobody sees them yet.
const SLOW_COMMITS: &str = "create sequence slow_commits; \
    create function commit_slowly() returns trigger language plpgsql as $$ begin \
        perform nextval('slow_commits'), pg_sleep(0.15); return null; end $$; \
    create constraint trigger commit_slowly after insert on order_history \
        deferrable initially deferred for each row \
        when (new.revision = 2 and hashtext(new.order_id::text) % 5 = 0) \
        execute function commit_slowly()";
const QUICK_COMMITS: &str = "drop trigger commit_slowly on order_history";
const HOW_MANY: &str = "select case when is_called then last_value else 0 end from slow_commits";

async fn acts(scene: &Scene) -> Result<()> {
    let reception = scene.shop.reception_pool();
    let run = async |statements| {
        sqlx::raw_sql(statements).execute(&reception).await?;
        Ok(())
    };
    scene.steady().await?;

    scene.breaks("slow commits", run(SLOW_COMMITS)).await?;
    scene.lasts().await;
    let slow = scene.count(Service::Reception, HOW_MANY).await?;
    scene.bites("transactions that committed late", slow);

    scene.heals(run(QUICK_COMMITS)).await
}
