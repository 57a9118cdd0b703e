//! What can be broken, so that it can be drawn.

use std::{fmt, time::Duration};

use anyhow::Result;
use proto::payments::v1::{BehaviorKind, BehaviorRule};
use rand::{
    Rng as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};

use super::Scene;
use crate::{fault::Proxy, harness::Line, services::Service};

/// Something that is broken until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// SIGKILL of an instance of a service: which one.
    Killed(Service, usize),
    /// SIGSTOP of it.
    Paused(Service, usize),
    /// SIGKILL.
    KafkaKilled,
    /// SIGSTOP.
    KafkaPaused,
    /// SIGKILL.
    PostgresKilled,
    /// The line of all services to Kafka.
    KafkaLine(Way),
    /// The line of a service to its database.
    DatabaseLine(Service, Way),
    /// The line of reception to payments.
    PaymentsLine(Way),
    /// The provider misbehaves.
    Provider(BehaviorKind),
}

/// How a line breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All connections are reset, and new ones refused.
    Cut,
    /// All connections are reset, and new ones pass.
    Reset,
    /// Connections are closed in one direction.
    HalfClosed,
    /// Nothing passes, and nobody is told.
    Silent,
    /// Everything comes late.
    Late,
    /// Little passes at a time.
    Narrow,
}

const WAYS: [Way; 6] = [
    Way::Cut,
    Way::Reset,
    Way::HalfClosed,
    Way::Silent,
    Way::Late,
    Way::Narrow,
];
const MISBEHAVIOR: [BehaviorKind; 3] = [
    BehaviorKind::Flap,
    BehaviorKind::LoseReply,
    BehaviorKind::Latency,
];
const LATE: Duration = Duration::from_millis(50);
/// Bytes a second.
const NARROW: u32 = 32 * 1024;
const FLAP: Duration = Duration::from_millis(330);
/// Longer than reception waits for a charge.
const LATENCY: Duration = Duration::from_secs(3);

impl Trouble {
    /// One or two of them, in different parts of the shop, in the sequence in which they are mended.
    pub(crate) fn draw(dice: &mut StdRng) -> Vec<Self> {
        let mut parts: Vec<fn(&mut StdRng) -> Self> = vec![service, kafka, postgres, payments];
        parts.shuffle(dice);
        let count = dice.random_range(1..=2);
        let mut drawn: Vec<Self> = parts.iter().take(count).map(|part| part(dice)).collect();
        // A provider that does not run cannot be told to misbehave.
        if drawn.iter().any(|t| t.is_of_payments()) && drawn.iter().any(|t| t.is_told()) {
            drawn.truncate(1);
        }
        drawn.sort_by_key(|trouble| trouble.turn());
        drawn
    }

    fn is_of_payments(self) -> bool {
        matches!(
            self,
            Self::Killed(Service::Payments, _) | Self::Paused(Service::Payments, _)
        )
    }

    fn is_told(self) -> bool {
        matches!(self, Self::Provider(_))
    }

    /// When it is to be mended, among others: a service that starts waits until it reaches its
    /// database, and the provider is told by a call.
    fn turn(self) -> u8 {
        match self {
            Self::PostgresKilled => 0,
            Self::KafkaLine(_) | Self::DatabaseLine(..) | Self::PaymentsLine(_) => 1,
            Self::KafkaKilled | Self::KafkaPaused => 2,
            Self::Killed(..) | Self::Paused(..) => 3,
            Self::Provider(_) => 4,
        }
    }
}

fn service(dice: &mut StdRng) -> Trouble {
    let service = *Service::ALL.choose(dice).unwrap_or(&Service::Reception);
    let instance = match service {
        Service::Payments => 0,
        _ => dice.random_range(0..2),
    };
    match dice.random_bool(0.5) {
        true => Trouble::Killed(service, instance),
        false => Trouble::Paused(service, instance),
    }
}

fn kafka(dice: &mut StdRng) -> Trouble {
    match dice.random_range(0..4) {
        0 => Trouble::KafkaKilled,
        1 => Trouble::KafkaPaused,
        _ => Trouble::KafkaLine(way(dice)),
    }
}

fn postgres(dice: &mut StdRng) -> Trouble {
    let service = *Service::ALL.choose(dice).unwrap_or(&Service::Reception);
    match dice.random_range(0..3) {
        0 => Trouble::PostgresKilled,
        _ => Trouble::DatabaseLine(service, way(dice)),
    }
}

fn payments(dice: &mut StdRng) -> Trouble {
    match dice.random_bool(0.5) {
        true => Trouble::PaymentsLine(way(dice)),
        false => Trouble::Provider(*MISBEHAVIOR.choose(dice).unwrap_or(&BehaviorKind::Flap)),
    }
}

fn way(dice: &mut StdRng) -> Way {
    *WAYS.choose(dice).unwrap_or(&Way::Cut)
}

impl Scene {
    /// Breaks it.
    pub(crate) async fn troubles(&self, trouble: Trouble) -> Result<()> {
        let servers = &self.shop.servers;
        match trouble {
            Trouble::Killed(service, at) => self.instance(service, at)?.kill9().await,
            Trouble::Paused(service, at) => self.instance(service, at)?.pause().await,
            Trouble::KafkaKilled => servers.kafka.kill9().await,
            Trouble::KafkaPaused => servers.kafka.pause().await,
            Trouble::PostgresKilled => servers.postgres.kill9().await,
            Trouble::Provider(kind) => self.tell_payments([rule(kind)]).await,
            Trouble::KafkaLine(way)
            | Trouble::DatabaseLine(_, way)
            | Trouble::PaymentsLine(way) => {
                self.line_of(trouble)
                    .into_iter()
                    .for_each(|line| way.breaks(line));
                Ok(())
            }
        }
    }

    /// Mends it.
    pub(crate) async fn mends(&self, trouble: Trouble) -> Result<()> {
        let servers = &self.shop.servers;
        match trouble {
            Trouble::Killed(service, at) => self.instance(service, at)?.start().await,
            Trouble::Paused(service, at) => self.instance(service, at)?.resume().await,
            Trouble::KafkaKilled => servers.kafka.restart().await,
            Trouble::KafkaPaused => servers.kafka.resume().await,
            Trouble::PostgresKilled => servers.postgres.restart().await,
            Trouble::Provider(_) => self.tell_payments([]).await,
            Trouble::KafkaLine(_) | Trouble::DatabaseLine(..) | Trouble::PaymentsLine(_) => {
                self.line_of(trouble).into_iter().for_each(Proxy::heal);
                Ok(())
            }
        }
    }

    /// What the faults of its line have hit so far; nothing if it has none.
    pub(super) fn hits(&self, trouble: Trouble) -> u64 {
        let counts = self.line_of(trouble).map(Proxy::counts);
        counts.map_or(0, |c| c.broken + c.half_closed + c.held + c.delayed)
    }

    fn line_of(&self, trouble: Trouble) -> Option<&Proxy> {
        match trouble {
            Trouble::KafkaLine(_) => Some(self.shop.servers.kafka_proxy()),
            Trouble::DatabaseLine(service, _) => Some(self.shop.line(Line::Database(service))),
            Trouble::PaymentsLine(_) => Some(self.shop.line(Line::Payments)),
            _ => None,
        }
    }
}

impl Way {
    fn breaks(self, line: &Proxy) {
        match self {
            Self::Cut => line.cut(),
            Self::Reset => line.reset(),
            Self::HalfClosed => line.half_close(),
            Self::Silent => line.black_hole(),
            Self::Late => line.delay(LATE),
            Self::Narrow => line.throttle(NARROW),
        }
    }
}

fn rule(kind: BehaviorKind) -> BehaviorRule {
    let is = |wanted, time: Duration| (kind == wanted).then(|| time.try_into().ok()).flatten();
    BehaviorRule {
        kind: kind.into(),
        latency: is(BehaviorKind::Latency, LATENCY),
        period: is(BehaviorKind::Flap, FLAP),
        ..BehaviorRule::default()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(service, _) => write!(f, "{} killed", service.name()),
            Self::Paused(service, _) => write!(f, "{} paused", service.name()),
            Self::KafkaKilled => f.write_str("Kafka killed"),
            Self::KafkaPaused => f.write_str("Kafka paused"),
            Self::PostgresKilled => f.write_str("Postgres killed"),
            Self::KafkaLine(way) => write!(f, "line to Kafka {way}"),
            Self::DatabaseLine(service, way) => {
                write!(f, "line of {} to its database {way}", service.name())
            }
            Self::PaymentsLine(way) => write!(f, "line to payments {way}"),
            Self::Provider(BehaviorKind::LoseReply) => f.write_str("replies lost"),
            Self::Provider(BehaviorKind::Flap) => f.write_str("payments flaps"),
            Self::Provider(_) => f.write_str("payments slow"),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::HalfClosed => "half closed",
            Self::Silent => "silent",
            Self::Late => "late",
            Self::Narrow => "narrow",
        })
    }
}
