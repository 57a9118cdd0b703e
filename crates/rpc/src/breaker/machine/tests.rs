//! The whole machine, a row per state and event.
//!
//! A row is a story. Calls have letters: they `pass` or are refused (`stop`), and those that passed
//! `succeed`, `fail`, or their callers `leave`. `wait` is in milliseconds.

use super::*;
use std::collections::HashMap;

const FAILURES: u32 = 3;
const PROBES: u32 = 2;
const PAUSE: Duration = Duration::from_millis(1_000);
const PROBE_TIMEOUT: Duration = Duration::from_millis(4_000);

const CLOSED: &str = "";
/// Call o began before.
const OPEN: &str = "pass o, pass x, fail x, pass x, fail x, pass x, fail x";
/// The same, and a is the first probe.
const HALF_OPEN: &str = "pass o, pass x, fail x, pass x, fail x, pass x, fail x, wait 1000, pass a";

/// The claim, what came before, what happens then, and where that leads.
type Row = (&'static str, &'static str, &'static str, State);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("calls pass", CLOSED, "pass a, pass b, pass c, pass d", State::Closed),
    ("success is well", CLOSED, "pass a, succeed a", State::Closed),
    ("few failures are borne", CLOSED, "pass a, fail a, pass a, fail a, pass a", State::Closed),
    ("a success between failures begins the count anew", CLOSED,
        "pass a, fail a, pass a, fail a, pass a, succeed a, pass a, fail a, pass a, fail a", State::Closed),
    ("a caller who leaves between failures does not", CLOSED,
        "pass a, fail a, pass a, fail a, pass a, leave a, pass a, fail a", State::Open),
    ("callers who leave never open it", CLOSED,
        "pass a, leave a, pass a, leave a, pass a, leave a, pass a, leave a", State::Closed),

    ("enough failures in a row open it", OPEN, "", State::Open),
    ("no call passes", OPEN, "stop, stop", State::Open),
    ("nor just before its time", OPEN, "wait 999, stop", State::Open),
    ("it stays open until somebody calls", OPEN, "wait 5000", State::Open),
    ("a late success says nothing", OPEN, "succeed o, stop", State::Open),
    ("nor does a late failure", OPEN, "wait 500, fail o, wait 500, pass a", State::HalfOpen),
    ("nor a caller who leaves late", OPEN, "leave o, stop", State::Open),

    ("the first call after its time probes", HALF_OPEN, "", State::HalfOpen),
    ("no more probe than may", HALF_OPEN, "pass b, stop, stop", State::HalfOpen),
    ("one success is not enough", HALF_OPEN, "succeed a", State::HalfOpen),
    ("a success makes no room for more probes", HALF_OPEN, "succeed a, pass b, stop", State::HalfOpen),
    ("if all probes succeed it closes", HALF_OPEN,
        "pass b, succeed b, succeed a, pass c, pass d, pass e", State::Closed),
    ("one failure opens it", HALF_OPEN, "fail a, stop", State::Open),
    ("also after a success", HALF_OPEN, "pass b, succeed a, fail b, stop", State::Open),
    ("for twice as long", HALF_OPEN, "fail a, wait 1999, stop, wait 1, pass b", State::HalfOpen),
    ("and so if a success came between", HALF_OPEN, "succeed a, pass b, fail b, wait 1999, stop", State::Open),
    ("but not for ever longer", HALF_OPEN,
        "fail a, wait 2000, pass a, fail a, wait 4000, pass a, fail a, wait 4000, pass a", State::HalfOpen),
    ("whoever leaves gives the place back", HALF_OPEN, "pass b, stop, leave a, pass c, stop", State::HalfOpen),
    ("and does not close it", HALF_OPEN, "leave a, pass b, leave b, pass c, leave c", State::HalfOpen),
    ("a success of a call from before says nothing", HALF_OPEN, "succeed a, succeed o", State::HalfOpen),
    ("nor does its failure", HALF_OPEN, "fail o", State::HalfOpen),
    ("nor its caller who leaves: no place becomes free", HALF_OPEN, "pass b, leave o, stop", State::HalfOpen),
    ("a probe from before says nothing about the next ones", HALF_OPEN,
        "pass b, fail a, wait 2000, pass c, fail b, pass d, stop", State::HalfOpen),
    ("silent probes are waited for", HALF_OPEN, "pass b, wait 3999, stop", State::HalfOpen),
    ("and given up", HALF_OPEN, "pass b, wait 4000, pass c, pass d, stop", State::HalfOpen),
    ("what they say after that says nothing", HALF_OPEN,
        "pass b, wait 4000, pass c, succeed a, fail b, pass d, stop", State::HalfOpen),
    ("closed again, failures are counted anew", HALF_OPEN,
        "pass b, succeed a, succeed b, pass c, fail c, pass c, fail c", State::Closed),
    ("and the first pause is short again", HALF_OPEN,
        "fail a, wait 2000, pass a, pass b, succeed a, succeed b, \
         pass c, fail c, pass c, fail c, pass c, fail c, wait 1000, pass d", State::HalfOpen),
];

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    for (claim, before, then, state) in TABLE {
        let mut story = Story::new(claim);
        let events = before.split(", ").chain(then.split(", "));
        events
            .filter(|event| !event.is_empty())
            .for_each(|event| story.happens(event));
        assert_eq!(story.machine.state(), *state, "{claim}");
    }
}

struct Story {
    claim: &'static str,
    machine: Machine,
    now: Instant,
    calls: HashMap<String, u64>,
}

impl Story {
    fn new(claim: &'static str) -> Self {
        let options = Options {
            circuit_failures: FAILURES,
            circuit_probes: PROBES,
            circuit_pause: PAUSE,
            circuit_longest_pause: 4 * PAUSE,
        };
        let mut machine = Machine::new(&options, PROBE_TIMEOUT);
        // Whole pauses, so that a row can say when they are over.
        let pauses = Backoff::without_jitter(PAUSE, 4 * PAUSE);
        machine.policy = failure_policy::consecutive_failures(FAILURES, pauses);
        Self {
            claim,
            machine,
            now: Instant::now(),
            calls: HashMap::new(),
        }
    }

    fn happens(&mut self, event: &str) {
        match event.split_once(' ').unwrap_or((event, "")) {
            ("wait", time) => {
                self.now += Duration::from_millis(time.parse().expect("it is a number"));
            }
            ("pass", call) => self.pass(call),
            ("stop", _) => self.stop(),
            ("succeed", call) => self.end(call, Outcome::Success),
            ("fail", call) => self.end(call, Outcome::Failure),
            ("leave", call) => self.end(call, Outcome::Neutral),
            other => panic!("{other:?} is no event"),
        }
    }

    fn pass(&mut self, call: &str) {
        let claim = self.claim;
        assert!(
            self.machine.room(self.now) > 0,
            "{claim}: no room for {call}"
        );
        let admitted = self.machine.admit(self.now);
        let generation = admitted.unwrap_or_else(|_| panic!("{claim}: {call} is refused"));
        self.calls.insert(call.to_owned(), generation);
    }

    fn stop(&mut self) {
        assert_eq!(self.machine.room(self.now), 0, "{}", self.claim);
        let refused = self.machine.admit(self.now).expect_err(self.claim);
        assert!(!refused.is_zero(), "{}", self.claim);
    }

    fn end(&mut self, call: &str, outcome: Outcome) {
        let generation = self.calls.remove(call).expect("the call has begun");
        self.machine.report(generation, outcome, self.now);
    }
}
