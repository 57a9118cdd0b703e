//! `shop dlq`: dead letters of all services, looked at, replayed and dropped.
//!
//! Each service keeps its own, in its own database, and is asked by gRPC: nobody but the service can
//! run its handler. An id says whose it is: `barista/3`.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use proto::operations::v1::{
    DeadLetter, DropConsequence, DropDeadLetterRequest, GetDeadLetterRequest,
    ListDeadLettersRequest, ReplayDeadLetterRequest, ReplayResult,
    dead_letters_service_client::DeadLettersServiceClient,
};
use tonic::{Code, Request, Status, transport::Channel};

use crate::{dir, order::explain, part::Part, state};

/// Which dead letter, of which service.
mod id;
/// For programs.
mod json;
/// One dead letter, with all that it holds.
mod show;
/// The list.
mod table;
/// Text of strangers, for a terminal.
mod text;

use id::Id;

/// Who keeps dead letters: whoever consumes.
const KEEPERS: [Part; 2] = [Part::Reception, Part::Barista];
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Answers hold a whole message: as much as Kafka takes, and its headers.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Dead letters: what a service could not handle, or Kafka did not take.
#[derive(clap::Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    /// A reception elsewhere than the shop on this machine
    #[arg(long, env = "SHOP_RECEPTION", value_name = "URL", global = true)]
    reception: Option<String>,
    /// A barista elsewhere than the shop on this machine
    #[arg(long, env = "SHOP_BARISTA", value_name = "URL", global = true)]
    barista: Option<String>,
}

/// What to do with them.
#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List them, oldest first: whose, how old, from where, about which order, and why
    List {
        /// Only those about this order
        #[arg(long, value_name = "ORDER_ID")]
        order: Option<String>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Show all that one holds: origin, headers, trace, and the message
    Show {
        /// As the list shows it: barista/3
        id: Id,
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Handle it once more, after what stood in the way is mended. It takes effect once,
    /// however often it is replayed, and is gone afterwards; what still cannot be handled
    /// stays
    Replay {
        /// As the list shows them: barista/3 barista/4
        #[arg(required = true)]
        ids: Vec<Id>,
    },
    /// Give it up. An order that can never be made because of it ends FAILED, and what was
    /// charged is owed. There is no way back
    Drop {
        /// As the list shows it: barista/3
        id: Id,
        /// Why; the customer is shown it with the order
        #[arg(long)]
        reason: String,
    },
}

/// Does what the command line says.
pub async fn run(options: Options, dir: &dir::Options) -> Result<()> {
    let keepers = Keepers {
        dir: dir.clone(),
        reception: options.reception,
        barista: options.barista,
    };
    match options.action {
        Action::List { order, json } => keepers.list(order, json).await,
        Action::Show { id, json } => keepers.show(id, json).await,
        Action::Replay { ids } => keepers.replay_all(&ids).await,
        Action::Drop { id, reason } => keepers.drop(id, reason).await,
    }
}

/// The services that keep dead letters.
struct Keepers {
    dir: dir::Options,
    reception: Option<String>,
    barista: Option<String>,
}

impl Keepers {
    /// One that does not answer hides only its own.
    async fn list(&self, order: Option<String>, json: bool) -> Result<()> {
        let (mut letters, mut silent) = (Vec::new(), Vec::new());
        for keeper in KEEPERS {
            match self.all_of(keeper, order.clone().unwrap_or_default()).await {
                Ok(found) => letters.extend(found.into_iter().map(|letter| (keeper, letter))),
                Err(error) => silent.push(error.context(format!("{keeper} was not listed"))),
            }
        }
        match json {
            true => json::print(&letters)?,
            false => table::print(&letters),
        }
        silent.into_iter().next().map_or(Ok(()), Err)
    }

    async fn all_of(&self, keeper: Part, order_id: String) -> Result<Vec<DeadLetter>> {
        let (mut client, mut letters) = (self.client(keeper)?, Vec::new());
        let mut request = ListDeadLettersRequest {
            page_size: 100,
            page_token: String::new(),
            order_id,
        };
        loop {
            let answer = client.list_dead_letters(patient(request.clone())).await;
            let answer = answer.map_err(|status| explained(&status))?.into_inner();
            letters.extend(answer.dead_letters);
            if answer.next_page_token.is_empty() {
                return Ok(letters);
            }
            request.page_token = answer.next_page_token;
        }
    }

    async fn show(&self, id: Id, json: bool) -> Result<()> {
        let Id {
            keeper,
            dead_letter_id,
        } = id;
        let request = patient(GetDeadLetterRequest { dead_letter_id });
        let answer = self.client(keeper)?.get_dead_letter(request).await;
        let answer = answer.map_err(|status| explained(&status))?.into_inner();
        let letter = answer.dead_letter.context("the answer holds no letter")?;
        match json {
            true => json::print(&[(keeper, letter)]),
            false => {
                show::print(id, &letter);
                Ok(())
            }
        }
    }

    /// One that cannot be handled does not keep the others from being so.
    async fn replay_all(&self, ids: &[Id]) -> Result<()> {
        let mut failed = 0;
        for id in ids {
            match self.replay(*id).await {
                Ok(what) => anstream::println!("{id}: {what}"),
                Err(error) => {
                    failed += 1;
                    anstream::eprintln!("{id}: {error:#}");
                }
            }
        }
        match failed {
            0 => Ok(()),
            failed => bail!("not replayed: {failed} of {}", ids.len()),
        }
    }

    async fn replay(&self, id: Id) -> Result<&'static str> {
        let dead_letter_id = id.dead_letter_id;
        let request = patient(ReplayDeadLetterRequest { dead_letter_id });
        let answer = self.client(id.keeper)?.replay_dead_letter(request).await;
        let answer = answer.map_err(|status| explained(&status))?;
        Ok(match answer.into_inner().result() {
            ReplayResult::Handled => "handled, and gone",
            ReplayResult::Absorbed => "needed no effect any more, and is gone",
            ReplayResult::Requeued => "back in the outbox, to be published again",
            ReplayResult::Unspecified => "gone; this program is older than the service",
        })
    }

    async fn drop(&self, id: Id, reason: String) -> Result<()> {
        let dead_letter_id = id.dead_letter_id;
        let request = patient(DropDeadLetterRequest {
            dead_letter_id,
            reason,
        });
        let answer = self.client(id.keeper)?.drop_dead_letter(request).await;
        let answer = answer.map_err(|status| explained(&status))?.into_inner();
        anstream::println!("{id}: dropped. {}", text::clean(&answer.detail));
        if answer.consequence() == DropConsequence::OrderMayWait {
            let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
            anstream::eprintln!("{yellow}an order may wait for what was dropped{yellow:#}");
        }
        Ok(())
    }

    fn client(&self, keeper: Part) -> Result<DeadLettersServiceClient<Channel>> {
        let channel = rpc::client::channel(&self.url(keeper)?)?;
        Ok(DeadLettersServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES))
    }

    fn url(&self, keeper: Part) -> Result<String> {
        let elsewhere = match keeper {
            Part::Reception => &self.reception,
            _ => &self.barista,
        };
        state::url(elsewhere.as_deref(), keeper, &self.dir)
    }
}

fn patient<T>(message: T) -> Request<T> {
    rpc::client::request(message, PATIENCE)
}

/// What is wrong, and what to do about it.
fn explained(status: &Status) -> anyhow::Error {
    let advice = match explain::reason(status).as_str() {
        "DEAD_LETTER_NOT_FOUND" => {
            "It may have been replayed or dropped meanwhile: `shop dlq list` shows what is left."
        }
        "STILL_DEAD" => "Mend what the reason names, and replay it again; or drop it.",
        "NOT_NOW" => "Nothing has changed: replay it again in a moment.",
        "INVALID_REQUEST" => "`shop dlq --help` says what is expected.",
        _ => "`shop status` shows what is ill, `shop logs` what it says.",
    };
    // What is known says all in its message; the rest is shown with its details.
    let said = match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::Aborted => status.message().to_owned(),
        _ => explain::details(status),
    };
    anyhow!("{}\n{advice}", text::clean_lines(&said))
}
