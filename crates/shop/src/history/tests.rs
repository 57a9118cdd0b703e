use std::{fs, io::Write as _};

use proto::reception::v1::Order;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::{History, Outcome, read};
use crate::customers::latte;

#[test]
fn what_was_told_is_in_the_file_when_it_is_in_the_history() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("history.jsonl");
    let history = History::recorded(&path).expect("the folder can be written");
    let order_id = Uuid::now_v7();

    let [one, two, three] = [(); 3].map(|()| history.asks(&latte(), Instant::now()));
    history.answered(&two, &Ok(order(order_id)));
    history.answered(&one, &Err(Status::unavailable("the connection broke")));

    let recorded = read(&path).expect("it is whole");
    assert_eq!(recorded.acknowledged(), [order_id]);
    let outcomes: Vec<Outcome> = recorded.calls.iter().map(super::Call::outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown, Outcome::Ok, Outcome::Unknown]);
    assert_eq!(recorded.calls, history.calls());
    drop(three);
}

#[test]
fn a_history_whose_writer_was_killed_over_a_line_is_read_up_to_there() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("history.jsonl");
    let history = History::recorded(&path).expect("the folder can be written");
    let asked = history.asks(&latte(), Instant::now());
    history.answered(&asked, &Ok(order(Uuid::now_v7())));
    let mut file = fs::File::options()
        .append(true)
        .open(&path)
        .expect("it is there");
    file.write_all(b"{\"asked\":{\"ca")
        .expect("the file can be written");

    let recorded = read(&path).expect("only the end is torn");

    assert_eq!(recorded.acknowledged(), history.acknowledged());
}

fn order(order_id: Uuid) -> Order {
    Order {
        order_id: order_id.to_string(),
        ..Order::default()
    }
}
