//! What the README shows of grpcurl is what grpcurl prints: the section "By hand", command by command.
//!
//! Ids, times and page tokens are other ones each time, and so is who brews; spaces too, because
//! protobuf's JSON for Go varies them on purpose. All else has to be as it stands there.

use proto::reception::v1::{GetOrderRequest, OrderState, get_order_request::By};
use shop::{
    customers::espresso,
    harness::{Options, Shop, eventually},
    services::Service,
};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What is another one each time.
const VARYING: [&str; 8] = [
    "\"orderId\":",
    "\"createTime\":",
    "\"updateTime\":",
    "\"readyTime\":",
    "\"time\":",
    "\"madeTime\":",
    "\"baristaId\":",
    "\"nextPageToken\":",
];
const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";

#[tokio::test]
async fn the_readme_shows_what_grpcurl_prints() {
    let Some(tools) = with_grpcurl().await else {
        // Past the test's own output, of which nobody sees anything if it passes.
        let skipped = "SKIPPED: the README's transcript: Go could not install grpcurl here";
        writeln!(std::io::stderr(), "{skipped}").expect("somebody listens");
        return;
    };
    // Slow enough that nobody's start is overtaken by the end.
    let options = Options::default().with(Service::Barista, "BREW_SCALE", "0.2");
    let shop = crate::open_with(options).await;
    // So that there is a second page of tickets.
    let before = shop.place(espresso()).await;
    shop.until_ready(&before).await;
    let steps = steps(&std::fs::read_to_string(format!("{ROOT}/README.md")).expect("it is there"));
    assert!(steps.len() > 3, "{steps:?}");
    for (command, shown) in steps {
        let printed = run(&tools, &at(&shop, &command)).await;
        assert_eq!(words(&printed), words(&shown), "$ {command}\n{printed}");
        if let Some(request_id) = placed(&command) {
            until_ready(&shop, request_id).await;
        }
    }
    shop.close().await;
}

/// The commands of the section's first block, each with what is shown below it.
fn steps(readme: &str) -> Vec<(String, String)> {
    let (_, section) = readme
        .split_once("\n## By hand\n")
        .expect("it has the section");
    let block = section.split("```").nth(1).expect("it has a block");
    block.split("\n$ ").skip(1).map(step).collect()
}

/// A command ends where its quotes are closed and no backslash follows.
fn step(text: &str) -> (String, String) {
    let (mut command, mut lines) = (String::new(), text.lines());
    for line in lines.by_ref() {
        command += line;
        let open = command.matches('\'').count() % 2 == 1;
        if !open && !line.ends_with('\\') {
            break;
        }
        command.push('\n');
    }
    (command, lines.collect::<Vec<_>>().join("\n"))
}

/// The command, told where this shop is.
fn at(shop: &Shop, command: &str) -> String {
    let reception = shop.reception.address().to_string();
    let barista = shop.barista.address().to_string();
    let told = command.replace("localhost:50051", &reception);
    told.replace("localhost:50052", &barista)
}

/// The `request_id` of a `PlaceOrder` that has one.
fn placed(command: &str) -> Option<&str> {
    let (_, said) = command.split_once("\"request_id\": \"")?;
    command
        .ends_with("/PlaceOrder")
        .then(|| said.split('"').next())?
}

/// Whoever wrote the transcript looked at the order some seconds later.
async fn until_ready(shop: &Shop, request_id: &str) {
    eventually("the order to be READY", async || {
        let by = Some(By::RequestId(request_id.to_owned()));
        let found = shop
            .reception_client()
            .get_order(GetOrderRequest { by })
            .await;
        let order = found
            .map_err(|status| format!("{status:?}"))?
            .into_inner()
            .order;
        match order.map(|order| order.state()) {
            Some(OrderState::Ready) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// What is printed, word by word, without what is different each time.
fn words(printed: &str) -> Vec<String> {
    let mut key = "";
    let words = printed.split_whitespace().map(|word| {
        let varies = VARYING.contains(&key);
        key = word;
        if varies {
            "…".to_owned()
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

async fn run(tools: &Path, command: &str) -> String {
    let command = format!("PATH=\"{}:$PATH\"; {{ {command}\n}} 2>&1", tools.display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &command])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = shell.output().await.expect("there is a shell");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The folder in which grpcurl is; installed there if Go can do it.
async fn with_grpcurl() -> Option<PathBuf> {
    let tools = PathBuf::from(ROOT).join("target/tools");
    if tools.join("grpcurl").exists() {
        return Some(tools);
    }
    let install = format!("GOBIN=\"{}\" go install {GRPCURL}", tools.display());
    works(&tools, &install).await.then_some(tools)
}

async fn works(tools: &Path, command: &str) -> bool {
    let command = format!("PATH=\"{}:$PATH\"; {command}", tools.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).stdin(Stdio::null());
    shell
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // A registry that does not answer must not hold up the tests.
    let ran = timeout(Duration::from_secs(300), shell.status()).await;
    ran.is_ok_and(|ran| ran.is_ok_and(|status| status.success()))
}
