use super::Tasks;
use crate::Stop;
use anyhow::bail;
use std::{future, time::Duration};
use tokio::time;

const GRACE: Duration = Duration::from_secs(10);

/// A set with one task that behaves, and what became of it.
fn tasks() -> (Tasks, Stop) {
    let stop = Stop::new();
    let mut tasks = Tasks::new(stop.clone());
    let stopped = stop.clone();
    tasks.spawn("the steady one", async move {
        stopped.cancelled().await;
        Ok(())
    });
    (tasks, stop)
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_after_the_stop_end_well() {
    let (tasks, stop) = tasks();
    stop.cancel();
    tasks.join(GRACE).await.expect("nothing failed");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_stops_the_rest_and_has_its_tasks_name() {
    let (mut tasks, stop) = tasks();
    tasks.spawn("relay", async {
        time::sleep(Duration::from_secs(1)).await;
        bail!("the broker is on fire")
    });
    let error = tasks.join(GRACE).await.expect_err("relay failed");
    assert_eq!(format!("{error:#}"), "relay failed: the broker is on fire");
    assert!(stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_stopping_is_an_error() {
    let (mut tasks, stop) = tasks();
    let stopped = stop.clone();
    tasks.spawn("relay", async move {
        stopped.cancelled().await;
        bail!("the last batch was not published")
    });
    stop.cancel();
    let error = tasks.join(GRACE).await.expect_err("relay failed");
    assert!(
        format!("{error:#}").starts_with("relay failed"),
        "{error:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error() {
    let (mut tasks, stop) = tasks();
    tasks.spawn("inbox", async { panic!("a thing that cannot happen") });
    let error = tasks.join(GRACE).await.expect_err("inbox panicked");
    let text = format!("{error:#}");
    assert!(text.starts_with("inbox panicked"), "{text}");
    assert!(text.contains("a thing that cannot happen"), "{text}");
    assert!(stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_just_ends_is_an_error() {
    let (mut tasks, stop) = tasks();
    tasks.spawn("sweeper", future::ready(Ok(())));
    let error = tasks.join(GRACE).await.expect_err("sweeper ended");
    assert_eq!(
        error.to_string(),
        "sweeper ended although nobody asked it to"
    );
    assert!(stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ignores_the_stop_is_aborted_after_the_grace() {
    let (mut tasks, stop) = tasks();
    tasks.spawn("brewing", future::pending());
    stop.cancel();
    let begin = time::Instant::now();
    let error = tasks.join(GRACE).await.expect_err("brewing never ends");
    assert_eq!(error.to_string(), "brewing did not stop within 10s");
    assert_eq!(begin.elapsed().as_secs(), GRACE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_first_of_two_failures_is_the_one_returned() {
    let (mut tasks, _stop) = tasks();
    tasks.spawn("relay", async { bail!("the cause") });
    tasks.spawn("brewing", future::pending());
    let error = tasks.join(GRACE).await.expect_err("both failed");
    assert_eq!(format!("{error:#}"), "relay failed: the cause");
}
