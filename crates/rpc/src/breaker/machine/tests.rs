//! The whole machine, a row per state and event. A row is a story: calls by letter, in small ones
//! when they begin and in capital ones when they end.

use super::*;

const FAILURES: u32 = 3;
const PROBES: u32 = 2;
const PAUSE: Duration = Duration::from_secs(1);
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A call asks to pass, and does.
    Pass(char),
    /// A call asks to pass, and does not.
    Stop,
    /// A call that has passed ends.
    End(char, Outcome),
    /// So long nothing happens.
    Wait(Duration),
}
use Event::{End, Pass, Stop, Wait};
use Outcome::{Failure, Neutral, Success};

/// What happened before, to come into the state that a row is about.
const CLOSED: &[Event] = &[];
const OPEN: &[Event] = &[
    Pass('o'),
    Pass('x'),
    End('x', Failure),
    Pass('x'),
    End('x', Failure),
    Pass('x'),
    End('x', Failure),
];
const HALF_OPEN: &[Event] = &[
    Pass('o'),
    Pass('x'),
    End('x', Failure),
    Pass('x'),
    End('x', Failure),
    Pass('x'),
    End('x', Failure),
    Wait(PAUSE),
    Pass('a'),
];

/// The claim, what came before, what happens then, and where that leads.
type Row = (&'static str, &'static [Event], &'static [Event], State);

const TABLE: &[Row] = &[
    // Closed.
    ("calls pass", CLOSED, &[Pass('a'), Pass('b')], State::Closed),
    (
        "success is well",
        CLOSED,
        &[Pass('a'), End('a', Success)],
        State::Closed,
    ),
    (
        "too few failures are borne",
        CLOSED,
        &[
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Failure),
            Pass('a'),
        ],
        State::Closed,
    ),
    (
        "a success between failures begins the count anew",
        CLOSED,
        &[
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Success),
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Failure),
            Pass('a'),
        ],
        State::Closed,
    ),
    (
        "a neutral end between failures does not",
        CLOSED,
        &[
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Failure),
            Pass('a'),
            End('a', Neutral),
            Pass('a'),
            End('a', Failure),
        ],
        State::Open,
    ),
    (
        "neutral ends never open it",
        CLOSED,
        &[
            Pass('a'),
            End('a', Neutral),
            Pass('a'),
            End('a', Neutral),
            Pass('a'),
            End('a', Neutral),
        ],
        State::Closed,
    ),
    // Open.
    ("enough failures in a row open it", OPEN, &[], State::Open),
    ("no call passes", OPEN, &[Stop, Stop], State::Open),
    (
        "nor just before its time",
        OPEN,
        &[Wait(PAUSE.saturating_sub(MOMENT)), Stop],
        State::Open,
    ),
    (
        "it stays open until somebody calls",
        OPEN,
        &[Wait(PAUSE)],
        State::Open,
    ),
    (
        "a late success says nothing",
        OPEN,
        &[End('o', Success), Stop],
        State::Open,
    ),
    (
        "nor a late failure",
        OPEN,
        &[End('o', Failure), Wait(PAUSE), Pass('a')],
        State::HalfOpen,
    ),
    (
        "nor a caller who leaves late",
        OPEN,
        &[End('o', Neutral), Stop],
        State::Open,
    ),
    // Half-open.
    (
        "the first call after its time probes",
        HALF_OPEN,
        &[],
        State::HalfOpen,
    ),
    (
        "as many probe as may",
        HALF_OPEN,
        &[Pass('b'), Stop, Stop],
        State::HalfOpen,
    ),
    (
        "one success is not enough",
        HALF_OPEN,
        &[End('a', Success)],
        State::HalfOpen,
    ),
    (
        "a success does not make room for more probes",
        HALF_OPEN,
        &[End('a', Success), Pass('b'), Stop],
        State::HalfOpen,
    ),
    (
        "if all probes succeed it closes",
        HALF_OPEN,
        &[
            Pass('b'),
            End('b', Success),
            End('a', Success),
            Pass('c'),
            Pass('d'),
            Pass('e'),
        ],
        State::Closed,
    ),
    (
        "one failure opens it",
        HALF_OPEN,
        &[End('a', Failure), Stop],
        State::Open,
    ),
    (
        "also after a success",
        HALF_OPEN,
        &[Pass('b'), End('a', Success), End('b', Failure), Stop],
        State::Open,
    ),
    (
        "for twice as long",
        HALF_OPEN,
        &[End('a', Failure), Wait(PAUSE), Stop, Wait(PAUSE), Pass('b')],
        State::HalfOpen,
    ),
    (
        "and still so if a success came between",
        HALF_OPEN,
        &[
            End('a', Success),
            Pass('b'),
            End('b', Failure),
            Wait(PAUSE),
            Stop,
        ],
        State::Open,
    ),
    (
        "a neutral probe gives its place back",
        HALF_OPEN,
        &[Pass('b'), Stop, End('a', Neutral), Pass('c'), Stop],
        State::HalfOpen,
    ),
    (
        "and does not close it",
        HALF_OPEN,
        &[
            End('a', Neutral),
            Pass('b'),
            End('b', Neutral),
            Pass('c'),
            End('c', Neutral),
        ],
        State::HalfOpen,
    ),
    (
        "a success from before it opened says nothing",
        HALF_OPEN,
        &[End('a', Success), End('o', Success)],
        State::HalfOpen,
    ),
    (
        "nor does a failure",
        HALF_OPEN,
        &[End('o', Failure)],
        State::HalfOpen,
    ),
    (
        "nor does a caller who leaves: no place is given back twice",
        HALF_OPEN,
        &[Pass('b'), End('o', Neutral), Stop],
        State::HalfOpen,
    ),
    (
        "a probe of an earlier half-open state says nothing in a later one",
        HALF_OPEN,
        &[
            Pass('b'),
            End('a', Failure),
            Wait(PAUSE),
            Wait(PAUSE),
            Pass('c'),
            End('b', Failure),
        ],
        State::HalfOpen,
    ),
    (
        "probes of which nothing is heard are waited for",
        HALF_OPEN,
        &[Pass('b'), Wait(PROBE_TIMEOUT.saturating_sub(MOMENT)), Stop],
        State::HalfOpen,
    ),
    (
        "and given up",
        HALF_OPEN,
        &[Pass('b'), Wait(PROBE_TIMEOUT), Pass('c'), Pass('d'), Stop],
        State::HalfOpen,
    ),
    (
        "what they say after that says nothing",
        HALF_OPEN,
        &[
            Pass('b'),
            Wait(PROBE_TIMEOUT),
            Pass('c'),
            End('a', Success),
            End('b', Failure),
            Pass('d'),
            Stop,
        ],
        State::HalfOpen,
    ),
    (
        "closed again, failures are counted anew",
        HALF_OPEN,
        &[
            Pass('b'),
            End('a', Success),
            End('b', Success),
            Pass('c'),
            End('c', Failure),
            Pass('c'),
            End('c', Failure),
            Pass('c'),
        ],
        State::Closed,
    ),
    (
        "and the first pause is short again",
        HALF_OPEN,
        &[
            End('a', Failure),
            Wait(PAUSE),
            Wait(PAUSE),
            Pass('a'),
            Pass('b'),
            End('a', Success),
            End('b', Success),
            Pass('c'),
            End('c', Failure),
            Pass('c'),
            End('c', Failure),
            Pass('c'),
            End('c', Failure),
            Wait(PAUSE),
            Pass('d'),
        ],
        State::HalfOpen,
    ),
];
const MOMENT: Duration = Duration::from_millis(1);

#[test]
fn every_state_meets_every_event_as_the_table_says() {
    for (claim, before, then, state) in TABLE {
        let mut story = Story::new();
        before.iter().for_each(|event| story.happen(claim, *event));
        then.iter().for_each(|event| story.happen(claim, *event));
        assert_eq!(story.machine.state(), *state, "{claim}");
    }
}

struct Story {
    machine: Machine,
    now: Instant,
    calls: std::collections::HashMap<char, u64>,
}

impl Story {
    fn new() -> Self {
        let options = Options {
            circuit_failures: FAILURES,
            circuit_probes: PROBES,
            circuit_pause: PAUSE,
            circuit_longest_pause: 8 * PAUSE,
        };
        let mut machine = Machine::new(&options, PROBE_TIMEOUT);
        // Whole pauses, so that a row can say when they are over.
        machine.policy = failure_policy::consecutive_failures(
            FAILURES,
            Backoff::without_jitter(PAUSE, 8 * PAUSE),
        );
        Self {
            machine,
            now: Instant::now(),
            calls: std::collections::HashMap::new(),
        }
    }

    fn happen(&mut self, claim: &str, event: Event) {
        match event {
            Wait(time) => self.now += time,
            End(call, outcome) => {
                let generation = self.calls.remove(&call).expect("the call has begun");
                self.machine.report(generation, outcome, self.now);
            }
            Pass(call) => {
                assert!(self.machine.room(self.now) > 0, "{claim}: {event:?}");
                let admitted = self.machine.admit(self.now);
                let generation = admitted.unwrap_or_else(|_| panic!("{claim}: {event:?}"));
                self.calls.insert(call, generation);
            }
            Stop => {
                assert_eq!(self.machine.room(self.now), 0, "{claim}");
                let refused = self.machine.admit(self.now);
                let retry_after = refused.expect_err(claim);
                assert!(!retry_after.is_zero(), "{claim}");
            }
        }
    }
}
