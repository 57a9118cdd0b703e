//! How the provider behaves, in the words of a test.

use proto::payments::v1::{
    BehaviorKind, BehaviorRule, GetBehaviorRequest, SetBehaviorRequest,
    payments_admin_service_client::PaymentsAdminServiceClient,
};
use std::time::Duration;
use tonic::transport::Channel;

/// Tells payments how to behave. Each call replaces what was told before.
#[derive(Clone, Debug)]
pub struct Provider(Channel);

impl Provider {
    pub(super) fn new(channel: Channel) -> Self {
        Self(channel)
    }

    pub(super) fn channel(&self) -> Channel {
        self.0.clone()
    }

    /// The next charges are declined.
    pub async fn decline_next(&self, calls: i64) {
        self.next(BehaviorKind::Decline, calls).await;
    }

    /// The next charges are answered with UNAVAILABLE, and nothing is decided.
    pub async fn fail_next(&self, calls: i64) {
        self.next(BehaviorKind::Fail, calls).await;
    }

    /// The next charges are decided, and their replies are lost.
    pub async fn lose_next_replies(&self, calls: i64) {
        self.next(BehaviorKind::LoseReply, calls).await;
    }

    /// The next charges take this long.
    pub async fn delay_next(&self, calls: i64, latency: Duration) {
        let latency =
            prost_types::Duration::try_from(latency).expect("no test waits for centuries");
        let kind = BehaviorKind::Latency.into();
        let rule = BehaviorRule {
            kind,
            latency: Some(latency),
            remaining_calls: calls,
            ..Default::default()
        };
        self.set(vec![rule]).await;
    }

    /// From now on charges go well.
    pub async fn recover(&self) {
        self.set(Vec::new()).await;
    }

    /// How many calls the rule still takes that it was told last.
    pub async fn calls_left(&self) -> i64 {
        let mut client = PaymentsAdminServiceClient::new(self.0.clone());
        let told = client.get_behavior(GetBehaviorRequest {}).await;
        let told = told.unwrap_or_else(|status| panic!("payments does not answer: {status:?}"));
        let rules = told.into_inner().rules;
        rules.first().map_or(0, |rule| rule.remaining_calls)
    }

    async fn next(&self, kind: BehaviorKind, calls: i64) {
        self.set(vec![BehaviorRule {
            kind: kind.into(),
            remaining_calls: calls,
            ..Default::default()
        }])
        .await;
    }

    async fn set(&self, rules: Vec<BehaviorRule>) {
        let mut client = PaymentsAdminServiceClient::new(self.0.clone());
        let told = client.set_behavior(SetBehaviorRequest { rules }).await;
        told.unwrap_or_else(|status| panic!("payments cannot be told how to behave: {status:?}"));
    }
}
