use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use shop::{
    dir::{self, ShopDir},
    part::Part,
    process::Identity,
    state::State,
};
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;

/// A shop in a folder of its own, on free ports; closed and wiped at the end of its test, and
/// also when the test process is killed.
pub(crate) struct TestShop {
    dir: PathBuf,
    /// Waits for the end of its stdin, which this process holds open.
    _closer: Child,
}

/// Runs its arguments when stdin ends. More than once: an `up` that outlived the test may hold the
/// lock for a while.
const CLOSER: &str = "read _; for _ in $(seq 60); do \"$0\" \"$@\" && exit; sleep 1; done; exit 1";

impl TestShop {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let dir = dir.keep();
        Self {
            _closer: closer(&dir),
            dir,
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command
            .args(args)
            .arg("--dir")
            .arg(&self.dir)
            .env_remove("BREW_SCALE");
        command
            .env_remove("DATABASE_URL")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
            .env_remove("KAFKA_BROKERS");
        // Those of a shop elsewhere.
        for named in [
            "SHOP_RECEPTION",
            "SHOP_BARISTA",
            "SHOP_PAYMENTS",
            "SHOP_DATABASES",
        ] {
            command.env_remove(named);
        }
        let ports = ["--reception-port", "--barista-port", "--payments-port"];
        for port in ports
            .into_iter()
            .filter(|port| args[0] == "up" && !args.contains(port))
        {
            command.args([port, "0"]);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the launcher is built")
    }

    pub(crate) fn succeed(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the launcher is built")
    }

    pub(crate) fn state(&self) -> State {
        let dir = ShopDir::find(&dir::Options {
            dir: Some(self.dir.clone()),
        })
        .expect("it is given");
        State::load(&dir).expect("the state is whole")
    }

    fn processes(&self) -> BTreeMap<Part, Identity> {
        self.state()
            .parts
            .iter()
            .map(|(part, running)| (*part, running.identity))
            .collect()
    }

    async fn until_ready(&self) {
        eventually(|| self.run(&["status"]).status.success()).await;
    }
}

impl Drop for TestShop {
    fn drop(&mut self) {
        let output = self.run(&["down", "--wipe"]);
        // A test that fails has more to say than this.
        assert!(
            output.status.success() || thread::panicking(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// In a process group of its own, so that Ctrl-C ends the tests and not what tidies up after them.
fn closer(dir: &Path) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", CLOSER, env!("CARGO_BIN_EXE_shop"), "down", "--wipe"])
        .arg("--dir")
        .arg(dir)
        .process_group(0);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("there is a shell")
}

async fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !condition() {
        assert!(Instant::now() < deadline, "still not so after 90 s");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_a_killed_launcher_left_is_taken_over_and_what_is_missing_is_mended() {
    let shop = TestShop::new();
    let mut launcher = shop.spawn(&["up"]);
    shop.until_ready().await;
    launcher
        .kill()
        .and_then(|()| launcher.wait())
        .expect("it is ours");
    let before = shop.processes();

    shop.succeed(&["up", "--detach"]);
    assert_eq!(shop.processes(), before, "a second `up` is harmless");

    before[&Part::Kafka]
        .stop(Signal::SIGKILL, Duration::from_secs(9))
        .await
        .expect("it is ours");
    assert!(!shop.run(&["status"]).status.success());
    shop.succeed(&["up", "--detach"]);
    let mut mended = shop.processes();
    assert_ne!(
        mended.insert(Part::Kafka, before[&Part::Kafka]),
        Some(before[&Part::Kafka])
    );
    assert_eq!(mended, before, "only what was missing is started");

    shop.succeed(&["up", "--detach", "--brew-scale", "0"]);
    assert_ne!(
        shop.processes()[&Part::Barista],
        before[&Part::Barista],
        "another brew scale"
    );
}

#[tokio::test]
async fn down_leaves_nothing_running_and_data_survive_until_wiped() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach"]);
    let processes = shop.processes();
    execute(&shop, "create table proof ()").await;

    shop.succeed(&["down"]);
    assert!(processes.values().all(|process| !process.is_alive()));

    shop.succeed(&["up", "--detach"]);
    execute(&shop, "select from proof").await;
    shop.succeed(&["down", "--wipe"]);
    assert!(!shop.dir.exists());
}

#[tokio::test]
async fn an_interrupted_up_ends_what_it_started() {
    let shop = TestShop::new();
    let mut launcher = shop.spawn(&["up"]);
    eventually(|| shop.processes().contains_key(&Part::Kafka)).await;
    let started = shop.processes();

    let identity = Identity::of(launcher.id()).expect("it runs");
    identity.signal(Signal::SIGINT).expect("it is ours");

    assert!(!launcher.wait().expect("it is ours").success());
    assert!(started.values().all(|process| !process.is_alive()));
}

#[tokio::test]
async fn a_child_that_nobody_wrote_down_is_ended_by_down() {
    let shop = TestShop::new();
    shop.succeed(&["up", "--detach"]);
    let processes = shop.processes();
    // As if the launcher had been killed between each start and its line in the file.
    std::fs::remove_file(shop.dir.join("state.json")).expect("it is ours");

    shop.succeed(&["down"]);

    assert!(processes.values().all(|process| !process.is_alive()));
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let shop = TestShop::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let port = taken.local_addr().expect("it is bound").port();

    let output = shop.run(&["up", "--detach", "--reception-port", &port.to_string()]);

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains(&format!("port {port}")), "{said}");
    assert!(
        said.contains(&format!("pid {}", std::process::id())),
        "{said}"
    );
    assert!(shop.processes().is_empty(), "nothing was started");
}

async fn execute(shop: &TestShop, statement: &'static str) {
    let url = shop.state().postgres_url;
    let mut connection = PgConnection::connect(&url).await.expect("Postgres is open");
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .expect("the statement is right");
}
