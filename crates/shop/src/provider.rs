//! `shop payments`: how the mocked provider is told to misbehave, and what it was told.
//!
//! A rule replaces those before it, unless it is to come on top of them. The provider forgets
//! its rules when it is restarted, and never a payment.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use proto::payments::v1::{
    BehaviorKind, BehaviorRule, GetBehaviorRequest, SetBehaviorRequest,
    payments_admin_service_client::PaymentsAdminServiceClient,
};
use tonic::{Code, Request, Status, transport::Channel};

use crate::{dir, order::explain, part::Part, state};

/// The rules, for people.
mod text;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How payments behaves: without a word, the rules in force
#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    /// A payments elsewhere than the shop on this machine
    #[arg(long, env = "SHOP_PAYMENTS", value_name = "URL", global = true)]
    payments: Option<String>,
}

/// How it is to behave from now on, in calls that move money.
#[derive(clap::Subcommand, Clone, Debug)]
enum Action {
    /// Let every call go well: ends all rules. With --also, shield calls from the rules in
    /// force
    Ok {
        #[command(flatten)]
        calls: Calls,
    },
    /// Answer with an error, and decide nothing
    Fail {
        #[command(flatten)]
        error: Error,
        #[command(flatten)]
        calls: Calls,
    },
    /// Answer late
    Slow {
        /// How late: over 0, at most 60s
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        latency: Duration,
        #[command(flatten)]
        calls: Calls,
    },
    /// Fail for half a period, go well for the other half, and so forth
    Flap {
        /// Both halves together: 10ms to 10min
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        period: Duration,
        #[command(flatten)]
        error: Error,
        #[command(flatten)]
        calls: Calls,
    },
    /// Do what is asked, and answer UNAVAILABLE as if the reply had been lost
    LoseReply {
        #[command(flatten)]
        calls: Calls,
    },
    /// Decline the card; concerns charges only
    Decline {
        #[command(flatten)]
        calls: Calls,
    },
}

/// Which calls it befalls.
#[derive(clap::Args, Clone, Copy, Debug)]
struct Calls {
    /// The share of calls that it befalls: over 0, at most 1 [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    share: Option<f64>,
    /// How many calls it befalls, and then ends; without it there is no end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    next: Option<i64>,
    /// On top of the rules in force, which are asked after it, instead of in their place
    #[arg(long)]
    also: bool,
}

/// What a call that fails is answered with.
#[derive(clap::Args, Clone, Copy, Debug)]
struct Error {
    /// A gRPC status code, by name or number
    #[arg(long, default_value = "UNAVAILABLE", value_parser = text::code)]
    code: Code,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    share
        .filter(|share| *share > 0.0 && *share <= 1.0)
        .ok_or_else(|| "must be over 0 and at most 1, as in 0.3".to_owned())
}

/// Does what the command line says, and prints what is in force now.
pub async fn run(options: Options, dir: &dir::Options) -> Result<()> {
    let url = state::url(options.payments.as_deref(), Part::Payments, dir)?;
    let mut client = PaymentsAdminServiceClient::new(rpc::client::channel(&url)?);
    let rules = match options.action {
        None => in_force(&mut client).await?,
        Some(action) => tell(&mut client, &action).await?,
    };
    text::print(&rules);
    Ok(())
}

async fn tell(
    client: &mut PaymentsAdminServiceClient<Channel>,
    action: &Action,
) -> Result<Vec<BehaviorRule>> {
    let mut rules: Vec<BehaviorRule> = rule(action)?.into_iter().collect();
    if action.calls().also {
        // Whoever else tells it something in this moment is overruled.
        rules.extend(in_force(client).await?);
    }
    let answer = client
        .set_behavior(patient(SetBehaviorRequest { rules }))
        .await;
    Ok(answer
        .map_err(|status| explained(&status))?
        .into_inner()
        .rules)
}

async fn in_force(client: &mut PaymentsAdminServiceClient<Channel>) -> Result<Vec<BehaviorRule>> {
    let answer = client.get_behavior(patient(GetBehaviorRequest {})).await;
    Ok(answer
        .map_err(|status| explained(&status))?
        .into_inner()
        .rules)
}

/// None: no rule at all.
fn rule(action: &Action) -> Result<Option<BehaviorRule>> {
    let Calls { share, next, also } = action.calls();
    let (kind, mut rule) = (action.kind(), BehaviorRule::default());
    match action {
        Action::Ok { .. } if !also && share.is_none() && next.is_none() => return Ok(None),
        Action::Ok { .. } if !also => bail!(
            "`ok` shields some calls from other rules, and there would be none: add --also to keep \
             those in force, or leave --share and --next out to end them"
        ),
        Action::Fail { error, .. } => rule.code = error.code.into(),
        Action::Slow { latency, .. } => rule.latency = Some((*latency).try_into()?),
        Action::Flap { period, error, .. } => {
            rule.code = error.code.into();
            rule.period = Some((*period).try_into()?);
        }
        Action::Ok { .. } | Action::LoseReply { .. } | Action::Decline { .. } => {}
    }
    Ok(Some(BehaviorRule {
        kind: kind.into(),
        share: share.unwrap_or(1.0),
        remaining_calls: next.unwrap_or_default(),
        ..rule
    }))
}

impl Action {
    fn calls(&self) -> Calls {
        match self {
            Self::Ok { calls }
            | Self::Fail { calls, .. }
            | Self::Slow { calls, .. }
            | Self::Flap { calls, .. }
            | Self::LoseReply { calls }
            | Self::Decline { calls } => *calls,
        }
    }

    fn kind(&self) -> BehaviorKind {
        match self {
            Self::Ok { .. } => BehaviorKind::Ok,
            Self::Fail { .. } => BehaviorKind::Fail,
            Self::Slow { .. } => BehaviorKind::Latency,
            Self::Flap { .. } => BehaviorKind::Flap,
            Self::LoseReply { .. } => BehaviorKind::LoseReply,
            Self::Decline { .. } => BehaviorKind::Decline,
        }
    }
}

fn patient<T>(message: T) -> Request<T> {
    rpc::client::request(message, PATIENCE)
}

/// What is wrong, and what to do about it.
fn explained(status: &Status) -> anyhow::Error {
    let advice = match explain::reason(status).as_str() {
        "INVALID_REQUEST" => "`shop payments help` says what is expected.",
        _ => "`shop status` shows what is ill, `shop logs payments` what it says.",
    };
    anyhow!("{}\n{advice}", explain::details(status))
}
