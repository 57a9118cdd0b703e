//! More customers than usual, for a while.

use lifecycle::Stop;

use super::Scene;
use crate::{drill::crowd::Crowd, harness::Hosted, services::Service};

impl Scene {
    /// So many more customers a second come until `stop`, or until all leave.
    pub(crate) async fn more_come(&self, rate: u32) -> Stop {
        let (crowd, stop) = (self.crowd(rate), self.leave.child_token());
        let coming = crowd.come(stop.clone());
        self.customers.lock().await.spawn(coming);
        stop
    }

    /// Customers who know every instance that was opened.
    pub(super) fn crowd(&self, rate: u32) -> Crowd {
        Crowd {
            urls: self.all(Service::Reception).map(Hosted::url).collect(),
            rate,
            seed: self.settings.seed,
            history: self.history.clone(),
        }
    }
}
