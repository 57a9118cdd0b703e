//! The stack around a service that does as it is told, on a clock that the tests move.

use super::*;
use crate::breaker::State;
use futures::FutureExt as _;
use std::{
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
};
use tonic_types::StatusExt as _;

const FAILURES: u32 = 5;
const PROBES: u32 = 2;
const ATTEMPT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

fn outbound(attempts: u32, concurrency: u32, attempt_timeout: Duration) -> Outbound {
    let options = Options {
        call_attempts: attempts,
        call_concurrency: concurrency,
        breaker: breaker::Options {
            circuit_failures: FAILURES,
            circuit_probes: PROBES,
            // So short that a rejection could be waited for.
            circuit_pause: PAUSE,
            circuit_longest_pause: PAUSE,
        },
    };
    Outbound::new("payments", "http://localhost:1", attempt_timeout, &options)
        .expect("they are possible")
}

#[test]
fn the_longest_call_is_every_try_and_pause_and_within_the_longest_budget() {
    let longest = |attempts, timeout| outbound(attempts, 1, timeout).longest_call();
    assert_eq!(longest(1, ATTEMPT), ATTEMPT);
    assert_eq!(longest(3, ATTEMPT), 3 * ATTEMPT + Duration::from_secs(2));
    assert_eq!(longest(10, LONGEST_BUDGET), LONGEST_BUDGET);
}

/// A service behind its stack: how often it was asked, and with which request last.
struct Service {
    outbound: Outbound,
    asked: AtomicU32,
}

impl Service {
    fn new(attempts: u32, concurrency: u32) -> Self {
        Self {
            outbound: outbound(attempts, concurrency, ATTEMPT),
            asked: AtomicU32::new(0),
        }
    }

    /// A call that it answers so.
    async fn call<F>(
        &self,
        budget: Duration,
        answer: impl Fn(Request<()>, u32) -> F,
    ) -> Result<(), Status>
    where
        F: Future<Output = Result<(), Status>>,
    {
        let send = |request| {
            let nth = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
            answer(request, nth).map(|answer| answer.map(Response::new))
        };
        self.outbound
            .call("test.Service/Method", (), budget, send)
            .await
    }

    async fn fail(&self, code: Code) -> Status {
        let answer = self
            .call(LONG, async |_, _| Err(Status::new(code, "told to")))
            .await;
        answer.expect_err("it was told to fail")
    }

    async fn hang(&self, budget: Duration) -> Status {
        let answer = self.call(budget, async |_, _| pending().await).await;
        answer.expect_err("it does not answer")
    }

    async fn open(&self) {
        for _ in 0..FAILURES {
            self.fail(Code::Internal).await;
        }
        assert_eq!(self.state(), State::Open);
    }

    fn state(&self) -> State {
        self.outbound.breaker().circuit().state
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_circuit_is_open_the_answer_comes_at_once_and_nobody_is_asked() {
    let service = Service::new(3, 8);
    service.open().await;
    let (asked, begun) = (service.asked(), Instant::now());
    for _ in 0..10 {
        let refused = service.fail(Code::Unavailable).await;
        assert_eq!(reason(&refused), "CIRCUIT_OPEN");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "no time passes");
    assert_eq!(service.asked(), asked);
    let circuit = service.outbound.breaker().circuit();
    assert_eq!(
        circuit.rejected, 10,
        "each was refused once, not again and again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_in_passing_is_sent_again_and_says_so() {
    let service = Service::new(3, 8);
    let answer = service.call(LONG, async |request, nth| {
        let retries = request.metadata().get("grpc-previous-rpc-attempts");
        let retries = retries.map(|n| n.to_str().expect("it is a number").to_owned());
        match nth {
            1 => assert_eq!(retries, None),
            _ => assert_eq!(retries, Some((nth - 1).to_string())),
        }
        if nth < 3 {
            Err(Status::unavailable("not yet"))
        } else {
            Ok(())
        }
    });
    answer.await.expect("the third try is well");
    assert_eq!(service.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_failing_is_given_up_with_what_the_service_said() {
    let service = Service::new(3, 8);
    assert_eq!(service.fail(Code::Unavailable).await.message(), "told to");
    assert_eq!(service.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_retry_finds_the_circuit_open_ends_with_what_the_service_said() {
    let service = Service::new(3, 8);
    for _ in 0..FAILURES - 1 {
        service.fail(Code::Internal).await;
    }
    // That nobody was asked the second time is not the truth about this call.
    assert_eq!(service.fail(Code::Unavailable).await.message(), "told to");
    assert_eq!((service.state(), service.asked()), (State::Open, FAILURES));
    assert_eq!(service.outbound.breaker().circuit().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_again_after_the_deadline() {
    let service = Service::new(10, 8);
    let (begun, budget) = (Instant::now(), Duration::from_millis(60));
    let answer = service.call(budget, async |_, _| Err(Status::unavailable("")));
    answer.await.expect_err("it fails always");
    // A timer rounds up to a millisecond: a pause that just fits may end as late as that.
    let late = budget + Duration::from_millis(1);
    assert!(begun.elapsed() <= late, "{:?}", begun.elapsed());
    // Two pauses may fit, the shortest three (12.5 + 25 + 50 ms) do not.
    assert!(service.asked() < 4, "{}", service.asked());
}

#[tokio::test(start_paused = true)]
async fn the_service_is_told_how_long_it_is_waited_for() {
    let service = Service::new(1, 8);
    for (budget, told) in [(LONG, "2000000u"), (Duration::from_millis(300), "300000u")] {
        let answer = service.call(budget, async |request, _| {
            assert_eq!(
                request.metadata().get("grpc-timeout").expect("it is there"),
                told
            );
            Ok(())
        });
        answer.await.expect("it is well");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_costs_an_attempt_each_until_the_circuit_opens() {
    let service = Service::new(3, 8);
    for _ in 0..FAILURES {
        let begun = Instant::now();
        assert_eq!(service.hang(LONG).await.code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed(), ATTEMPT, "a timeout is not tried again");
    }
    assert_eq!(reason(&service.hang(LONG).await), "CIRCUIT_OPEN");
}

#[tokio::test(start_paused = true)]
async fn callers_with_less_time_than_an_attempt_takes_open_nothing() {
    let service = Service::new(3, 8);
    for _ in 0..3 * FAILURES {
        let hung = service.hang(ATTEMPT / 2).await;
        assert_eq!(hung.code(), Code::DeadlineExceeded);
    }
    assert_eq!(service.state(), State::Closed);
    assert_eq!(service.asked(), 3 * FAILURES);
    assert_eq!(
        service.hang(Duration::ZERO).await.code(),
        Code::DeadlineExceeded
    );
    assert_eq!(service.asked(), 3 * FAILURES, "for no time nobody is asked");
}

#[tokio::test(start_paused = true)]
async fn callers_who_leave_open_nothing_and_hold_no_place() {
    let service = Service::new(3, 1);
    for _ in 0..3 * FAILURES {
        let leaving = time::timeout(ATTEMPT / 2, service.hang(LONG));
        leaving.await.expect_err("the caller leaves");
    }
    assert_eq!(
        (service.state(), service.asked()),
        (State::Closed, 3 * FAILURES)
    );
}

#[tokio::test(start_paused = true)]
async fn probes_whose_callers_leave_do_not_wedge_the_circuit() {
    let service = Service::new(3, 8);
    service.open().await;
    time::advance(PAUSE).await;
    for _ in 0..3 * PROBES {
        let leaving = time::timeout(ATTEMPT / 2, service.hang(LONG));
        leaving.await.expect_err("the caller leaves");
        assert_eq!(service.state(), State::HalfOpen);
    }
    for _ in 0..PROBES {
        service
            .call(LONG, async |_, _| Ok(()))
            .await
            .expect("it is well");
    }
    assert_eq!(service.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn too_many_calls_at_once_are_refused_at_once_and_open_nothing() {
    let service = Service::new(3, 1);
    let hanging = service.hang(LONG);
    let others = async {
        for _ in 0..3 * FAILURES {
            let refused = service.fail(Code::Internal).await;
            assert_eq!(refused.code(), Code::ResourceExhausted);
            assert_eq!(reason(&refused), "OVERLOADED");
        }
        assert_eq!((service.state(), service.asked()), (State::Closed, 1));
    };
    let begun = Instant::now();
    tokio::join!(hanging, async {
        others.await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_a_healthy_answer_and_is_not_sent_again() {
    let service = Service::new(3, 8);
    for asked in 1..=3 * FAILURES {
        service.fail(Code::FailedPrecondition).await;
        assert_eq!(service.asked(), asked);
    }
    assert_eq!(service.state(), State::Closed);
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}
