//! Dead letters as an operator meets them: `shop dlq`, the program, and its exit codes.

use crate::{
    count,
    guarantee_dead_letters::{mend, only_letter, park_an_order},
    money_back::until_money_is,
};
use proto::reception::v1::{OrderState, RefundState};
use shop::{binaries, harness::Shop};
use tokio::process::Command;

/// What a program said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

#[tokio::test]
async fn what_an_operator_replays_twice_takes_effect_once() {
    let shop = crate::open().await;
    let order = park_an_order(&shop).await;
    let id = format!(
        "barista/{}",
        only_letter(&shop.barista).await.dead_letter_id
    );
    let listed = dlq(&shop, &["list"]).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let line = listed.out.lines().find(|line| line.starts_with(&id));
    let line = line.unwrap_or_else(|| panic!("{listed:?}"));
    let refused_by = "violates check constraint \"not_today\"";
    assert!(
        ["OrderPaid", &order.order_id, refused_by]
            .iter()
            .all(|word| line.contains(word)),
        "{line}"
    );

    let shown = dlq(&shop, &["show", &id]).await;
    let payload = "drink: \"latte\"";
    let words = [refused_by, &order.order_id, "ce_type", "trace", payload];
    assert!(
        words.iter().all(|word| shown.out.contains(word)),
        "{shown:?}"
    );

    let refused = dlq(&shop, &["replay", &id]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains(refused_by) && refused.err.contains("Mend what"),
        "{refused:?}"
    );
    mend(&shop).await;

    let twice = dlq(&shop, &["replay", &id, &id]).await;
    assert_eq!(twice.out, format!("{id}: handled, and gone\n"));
    assert!(twice.err.contains("not replayed: 1 of 2"), "{twice:?}");
    assert_eq!(twice.code, Some(1), "{twice:?}");
    shop.until_ready(&order).await;
    assert_eq!(
        count(&shop.barista_pool(), "select count(*) from drinks").await,
        1
    );
    let left = dlq(&shop, &["list"]).await;
    assert_eq!(
        (left.code, left.out.as_str()),
        (Some(0), "there are no dead letters\n")
    );
    shop.close().await;
}

#[tokio::test]
async fn what_an_operator_drops_says_what_becomes_of_the_order() {
    let shop = crate::open().await;
    let order = park_an_order(&shop).await;
    let id = format!(
        "barista/{}",
        only_letter(&shop.barista).await.dead_letter_id
    );
    let silent = dlq(&shop, &["drop", &id]).await;
    assert_eq!(silent.code, Some(2), "a reason is owed: {silent:?}");

    let dropped = dlq(&shop, &["drop", &id, "--reason", "out of milk"]).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    let fails = format!("{id}: dropped. Order {} ends FAILED", order.order_id);
    assert!(dropped.out.starts_with(&fails), "{dropped:?}");
    let refunded = until_money_is(&shop, &order, RefundState::Done).await;
    assert_eq!(refunded.state(), OrderState::Failed);
    let gone = dlq(&shop, &["show", &id]).await;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(
        gone.err.contains("replayed or dropped meanwhile"),
        "{gone:?}"
    );
    shop.close().await;
}

#[tokio::test]
async fn a_list_from_which_a_service_is_missing_is_no_success() {
    let shop = crate::open().await;
    let order = park_an_order(&shop).await;
    only_letter(&shop.barista).await;
    shop.reception.stop().await.expect("it ends well");
    let listed = dlq(&shop, &["list"]).await;
    assert!(listed.out.contains(&order.order_id), "{listed:?}");
    assert!(
        listed.err.contains("reception was not listed"),
        "{listed:?}"
    );
    assert_eq!(listed.code, Some(1), "{listed:?}");
    shop.reception.start().await.expect("it starts again");
    mend(&shop).await;
    assert_eq!(dlq(&shop, &["replay", "barista/1"]).await.code, Some(0));
    shop.close().await;
}

/// Runs `shop dlq` against this shop.
async fn dlq(shop: &Shop, args: &[&str]) -> Said {
    let mut program = Command::new(binaries::shop().expect("it is built"));
    let (reception, barista) = (shop.reception.url(), shop.barista.url());
    program
        .arg("dlq")
        .args(args)
        .args(["--reception", &reception, "--barista", &barista]);
    let output = program.output().await.expect("it can be run");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
