//! Programs in four languages order coffee, by the two commands of their READMEs.

use proto::reception::v1::OrderState;
use shop::{
    fault::{Lost, Proxy},
    harness::{Shop, eventually},
};
use std::{net::SocketAddr, path::PathBuf, process::Stdio};
use tokio::process::Command;

/// A folder of `clients/`, and what it cannot do without.
const LANGUAGES: [(&str, &[&str]); 4] = [
    ("python", &["python3 -c 'import ensurepip, venv'"]),
    // Before Go, because it brings a buf.
    ("typescript", &["node --version", "npm --version"]),
    ("go", &["go version", "buf --version"]),
    ("java", &["javac -version", "mvn --version"]),
];

#[tokio::test]
#[ignore = "fetches packages of four languages: make test-clients"]
async fn clients_in_four_languages_place_one_order_each_time_also_when_its_answer_is_lost() {
    let shop = crate::open().await;
    let reception = shop.reception.address();
    let mut runs = 0;
    for (language, tools) in LANGUAGES {
        if let Some(missing) = missing(language, tools).await {
            eprintln!("SKIPPED: the client in {language}: `{missing}` does not work here");
            continue;
        }
        let [prepare, order] = commands(language);
        run(language, &prepare).await;
        ordered(&shop, &run(language, &at(&order, reception)).await).await;
        ordered(
            &shop,
            &run_and_lose_an_answer(language, &order, reception).await,
        )
        .await;
        runs += 2;
    }
    let orders = crate::count(&shop.reception_pool(), "select count(*) from orders").await;
    assert_eq!(
        orders, runs,
        "one order a run, however often it was asked for"
    );
    shop.close().await;
}

/// Runs it over a connection that breaks when reception answers to the first order that it hears.
async fn run_and_lose_an_answer(language: &str, order: &str, reception: SocketAddr) -> String {
    let line = Proxy::open(reception).await.expect("there are free ports");
    line.cut_at(&["tok_visa"], Lost::Answer);
    let bitten = async {
        let broken = async || match line.counts().broken {
            0 => Err("nothing broke yet"),
            _ => Ok(()),
        };
        eventually("the connection to break", broken).await;
        line.heal();
    };
    let order = at(order, line.address());
    let (printed, ()) = tokio::join!(run(language, &order), bitten);
    printed
}

/// Checks what a client prints, and that its order is what it says.
async fn ordered(shop: &Shop, printed: &str) {
    let said = |what: &str| {
        let mut lines = printed.lines();
        let line = lines.find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("nothing was {what}:\n{printed}"))
    };
    assert!(said("menu").starts_with("15 drinks, "), "{printed}");
    let refused = said("refused");
    assert!(refused.contains(" INVALID_REQUEST "), "{refused}");
    assert!(refused.contains("(items[0].drink: "), "{refused}");
    assert!(
        said("unknown").to_uppercase().starts_with("DEADLINE"),
        "{printed}"
    );
    let looked_up = said("looked up");
    let truths = ["AWAITING_PAYMENT", "PAID", "PREPARING", "READY"];
    assert!(
        truths.contains(&looked_up) || looked_up.ends_with(" ORDER_NOT_FOUND"),
        "{looked_up}"
    );
    assert_eq!(said("placed"), said("placed again"));
    assert_eq!(printed.lines().last(), Some("watched: READY"), "{printed}");
    let order = shop.get(said("placed")).await.expect("it was placed");
    assert_eq!(order.state(), OrderState::Ready);
}

/// The two commands of a README: the lines of its first block.
fn commands(language: &str) -> [String; 2] {
    let readme = std::fs::read_to_string(folder(language).join("README.md"));
    let readme = readme.expect("every client has one");
    let mut commands = readme
        .lines()
        .skip_while(|line| *line != "```sh")
        .skip(1)
        .map(str::to_owned);
    [commands.next(), commands.next()].map(|command| command.expect("it has two commands"))
}

/// A command of a README, told where reception is.
fn at(command: &str, address: SocketAddr) -> String {
    let told = command.replace("localhost:50051", &address.to_string());
    assert_ne!(told, command, "it says where the shop is");
    told
}

/// The first of the tools that does not work.
async fn missing(language: &str, tools: &[&'static str]) -> Option<&'static str> {
    for tool in tools {
        let mut command = shell(language, tool);
        let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !ran.await.is_ok_and(|status| status.success()) {
            return Some(tool);
        }
    }
    None
}

/// What a command prints.
async fn run(language: &str, command: &str) -> String {
    println!("clients/{language}$ {command}");
    let ran = shell(language, command).output().await;
    let ran = ran.expect("there is a shell");
    // Maven sets the terminal's colors back, even if there is none.
    let printed = String::from_utf8_lossy(&ran.stdout).replace("\u{1b}[0m", "");
    print!("{printed}");
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(
        ran.status.success(),
        "{command} failed:\n{printed}{complaints}"
    );
    printed
}

/// A shell in a client's folder. It finds buf where this repository installs it.
fn shell(language: &str, command: &str) -> Command {
    let root = env!("CARGO_MANIFEST_DIR");
    let places = ["target/tools", "clients/typescript"]
        .map(|place| format!("{root}/{place}/node_modules/.bin"));
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            &format!("PATH=\"$PATH:{}\"; {command}", places.join(":")),
        ])
        .current_dir(folder(language))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    shell
}

fn folder(language: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(language)
}
