//! Who is at work: baristas are given something else to do, so that orders wait for as long as a test
//! wants.

use shop::harness::Shop;

/// Keeps everybody who has this skill busy, until they are released.
///
/// As if each had a drink in hand: whoever left instead, or lost the skill, would let the orders fail.
pub async fn occupy(shop: &Shop, skill: &str) {
    let occupied = sqlx::query(
        "insert into drinks (order_id, line, unit, drink, size, skill, brew_time_ms, state, \
             barista_id, lease_owner, lease_expire_time) \
         select gen_random_uuid(), 0, 0, 'small talk', 'long', 'patience', 0, 'BREWING', \
             barista_id, gen_random_uuid(), now() + interval '1 hour' \
         from baristas where $1 = any(skills)",
    )
    .bind(skill)
    .execute(&shop.barista_pool())
    .await;
    occupied.expect("nobody brews yet");
}

/// Lets them all go back to work.
pub async fn release(shop: &Shop) {
    let released = sqlx::query("delete from drinks where drink = 'small talk'")
        .execute(&shop.barista_pool())
        .await;
    released.expect("the database is up");
}
