use super::{Admission, Ledger, Watched};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    Layer,
    layer::{self, SubscriberExt as _},
};

const ROOM: usize = 10;

/// Takes spans, or refuses them, or neither, as it is told.
#[derive(Clone, Debug, Default)]
struct Collector {
    taken: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        while self.hangs.load(Relaxed) {
            thread::yield_now();
        }
        if self.refuses.load(Relaxed) {
            return Err(OTelSdkError::InternalFailure("nobody is there".into()));
        }
        self.taken.fetch_add(batch.len(), Relaxed);
        Ok(())
    }
}

struct Scene {
    collector: Collector,
    ledger: Arc<Ledger>,
    provider: SdkTracerProvider,
}

impl Scene {
    fn open() -> Self {
        let (collector, ledger) = (Collector::default(), Arc::new(Ledger::default()));
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(ROOM)
            .with_max_export_batch_size(ROOM)
            .with_scheduled_delay(Duration::from_secs(3600))
            .build();
        let queue = BatchSpanProcessor::builder(Watched::new(collector.clone(), ledger.clone()))
            .with_batch_config(config)
            .build();
        let processor = Admission::new(queue, ROOM, ledger.clone());
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        Self {
            collector,
            ledger,
            provider,
        }
    }

    fn spans(&self, count: usize) {
        let tracer = self.provider.tracer("test");
        for _ in 0..count {
            tracer.start("brew").end();
        }
    }

    fn taken(&self) -> usize {
        self.collector.taken.load(Relaxed)
    }
}

#[test]
fn what_the_collector_takes_is_not_counted() {
    let scene = Scene::open();
    scene.spans(3);
    scene.provider.force_flush().expect("it takes them");
    assert_eq!((scene.taken(), scene.ledger.dropped()), (3, 0));
    assert_eq!(scene.ledger.give_up(), 0, "nothing is left");
}

#[test]
fn a_batch_that_the_collector_refuses_is_counted_whole() {
    let scene = Scene::open();
    scene.collector.refuses.store(true, Relaxed);
    scene.spans(4);
    scene.provider.force_flush().expect_err("it refuses them");
    assert_eq!(scene.ledger.export_failed.load(Relaxed), 4);
    scene.collector.refuses.store(false, Relaxed);
    scene.spans(2);
    scene.provider.force_flush().expect("it takes them");
    assert_eq!((scene.taken(), scene.ledger.dropped()), (2, 4));
}

#[test]
fn a_line_says_when_it_begins_and_one_when_it_is_over() {
    let watched = Watched::new(Collector::default(), Arc::new(Ledger::default()));
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let _heard = tracing::subscriber::set_default(subscriber);
    for taken in [true, false, false, false, true, true] {
        watched.note(1, taken);
    }
    assert_eq!(
        *lines.0.lock().expect("nobody panics here"),
        [Level::WARN, Level::INFO]
    );
}

/// How serious what was logged is.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Level>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let mut lines = self.0.lock().expect("nobody panics here");
        lines.push(*event.metadata().level());
    }
}

#[test]
fn while_the_collector_hangs_every_span_waits_or_is_counted() {
    let scene = Scene::open();
    scene.collector.hangs.store(true, Relaxed);
    // The first batch leaves the queue and hangs; the next fills it.
    scene.spans(ROOM);
    while scene.ledger.waiting.load(Relaxed) > 0 {
        thread::yield_now();
    }
    scene.spans(3 * ROOM);
    assert_eq!(scene.ledger.waiting.load(Relaxed), ROOM);
    assert_eq!(scene.ledger.queue_full.load(Relaxed), 2 * ROOM as u64);
    scene.collector.hangs.store(false, Relaxed);
    scene.provider.force_flush().expect("it takes them");
    assert_eq!(scene.taken(), 2 * ROOM, "and all that had room arrives");
}

#[test]
fn what_the_last_flush_leaves_is_counted_once() {
    let scene = Scene::open();
    scene.collector.hangs.store(true, Relaxed);
    scene.spans(ROOM);
    while scene.ledger.waiting.load(Relaxed) > 0 {
        thread::yield_now();
    }
    scene.spans(3);
    let flushed = scene
        .provider
        .shutdown_with_timeout(Duration::from_millis(10));
    flushed.expect_err("the collector hangs");
    assert_eq!(scene.ledger.give_up(), ROOM as u64 + 3, "one batch in hand");
    // Both batches are refused now, and were counted.
    scene.collector.refuses.store(true, Relaxed);
    scene.collector.hangs.store(false, Relaxed);
    // The queue's thread ends with all that it was asked to send.
    while Arc::strong_count(&scene.collector.hangs) > 1 {
        thread::yield_now();
    }
    assert_eq!(scene.ledger.dropped(), ROOM as u64 + 3);
}
