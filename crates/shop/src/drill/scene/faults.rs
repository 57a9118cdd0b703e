//! Faults that more than one drill injects.

use std::time::Duration;

use anyhow::{Context as _, Result};
use proto::payments::v1::{BehaviorRule, SetBehaviorRequest};
use rand::{Rng as _, seq::IteratorRandom as _};
use tokio::time::sleep;

use super::{BROKEN, Scene};
use crate::{drill::clocks, services::Service};

/// How long the provider may take to hear how it is to behave.
const PATIENCE: Duration = Duration::from_secs(5);

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
