//! Faults that more than one drill injects.

use std::time::Duration;

use anyhow::{Context as _, Result};
use proto::payments::v1::{BehaviorKind, BehaviorRule, SetBehaviorRequest};
use rand::{Rng as _, seq::IteratorRandom as _};
use tokio::time::sleep;

use super::{BROKEN, Calls, Scene};
use crate::{drill::clocks, fault::Proxy, services::Service};

/// How long the provider may take to hear how it is to behave.
const PATIENCE: Duration = Duration::from_secs(5);

/// The provider does what it is asked, and a share of its replies is lost on the way.
pub(crate) fn loses_replies(share: f64) -> BehaviorRule {
    BehaviorRule {
        kind: BehaviorKind::LoseReply.into(),
        share,
        ..BehaviorRule::default()
    }
}

impl Scene {
    /// Sets the clock of a service that was opened with one.
    pub(crate) fn sets_clock(&self, service: Service, to: &str) -> Result<()> {
        clocks::set(&self.logs, service, to)
    }

    /// Tells the provider how to misbehave, in place of what it was told before; nothing: to behave.
    pub(crate) async fn tell_payments(
        &self,
        rules: impl IntoIterator<Item = BehaviorRule>,
    ) -> Result<()> {
        let rules = rules.into_iter().collect();
        let request = rpc::client::request(SetBehaviorRequest { rules }, PATIENCE);
        let mut admin = self.shop.payments_admin_client();
        let told = admin.set_behavior(request).await;
        told.context("payments does not listen")?;
        Ok(())
    }

    /// A line swallows everything while a fault lasts, and nobody is told: customers notice nothing.
    pub(crate) async fn falls_silent(&self, kind: &str, line: &Proxy) -> Result<()> {
        let silent = async {
            line.black_hole();
            Ok(())
        };
        self.breaks(kind, silent).await?;
        self.lasts().await;
        let calls = self.calls_since_break();
        self.claim_of(&calls, "every call is answered OK", Calls::all_ok);
        self.bites("chunks that the line swallowed", line.counts().held);
        Ok(())
    }

    /// The line passes on what it has swallowed, and everything else.
    pub(crate) async fn sounds_again(&self, line: &Proxy) -> Result<()> {
        let sounds = async {
            line.heal();
            Ok(())
        };
        self.heals(sounds).await
    }

    /// Kills instances of a service with SIGKILL and starts each again, so many times while a fault
    /// lasts. Whom, when and for how long is drawn.
    pub(crate) async fn kills_in_a_loop(&self, service: Service, times: u32) -> Result<()> {
        let kind = format!("{} killed", service.name());
        let slot = self.share(BROKEN) / times;
        for _ in 0..times {
            let victim = self.draw(|dice| self.all(service).choose(dice));
            let victim = victim.context("there is one instance at least")?;
            let (up, down) = self.draw(|dice| {
                let up = slot.mul_f64(dice.random_range(0.2..0.5));
                (up, slot.mul_f64(dice.random_range(0.1..0.4)))
            });
            sleep(up).await;
            self.breaks(&kind, victim.kill9()).await?;
            sleep(down).await;
            self.heals(victim.start()).await?;
        }
        Ok(())
    }
}
