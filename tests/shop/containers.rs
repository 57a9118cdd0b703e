//! docker-compose.yml agrees with the programs in the image, with the launcher, and with what is pinned.
//!
//! Not asked here: whether compose takes the file (`make lint` does), and whether it runs
//! (docs/containers.md says where it did).

use clap::{Command, CommandFactory as _};
use serde_json::Value;
use shop::{cli::Cli, kafka, services::Service};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const POM: &str = include_str!("../../deploy/local/pom.xml");
const PROMETHEUS: &str = include_str!("../../deploy/prometheus/go.mod");
/// Not asked whether it is ready: a container of one's own, and an image with nothing to ask with.
const UNCHECKED: [&str; 2] = ["shop", "collector"];
/// What a service takes to stop beside its `DRAIN_GRACE`: background work, then telemetry, twice 3 s.
const AFTER_THE_DRAIN: Duration = Duration::from_secs(15 + 6);

#[test]
fn every_setting_of_a_container_is_one_that_its_program_takes() {
    for (name, container) in ours() {
        let command = program(&container);
        let settings = pairs(&container["environment"]);
        let flags = settings.iter().filter_map(|(setting, value)| {
            let option = option_of(&command, setting);
            let option = option.unwrap_or_else(|| panic!("{name}: {setting} is in no --help"));
            // Those of `shop` are options of some of its subcommands.
            (name != "shop").then(|| format!("--{option}={value}"))
        });
        let flags: Vec<String> = flags.collect();
        if name != "shop" {
            let line = std::iter::once(name.clone()).chain(flags);
            let taken = command.try_get_matches_from(line);
            taken.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        }
    }
}

#[test]
fn every_container_of_ours_runs_a_program_of_the_image_and_asks_it_whether_it_is_ready() {
    let copied = lines_after(DOCKERFILE, "for binary in ");
    let copied = copied.trim_end_matches("; do \\");
    let copied: BTreeSet<&str> = copied.split_whitespace().collect();
    for (name, container) in ours() {
        let program = program(&container);
        let program = program.get_name().to_owned();
        assert!(copied.contains(program.as_str()), "{name} runs {program}");
        if program != "shop" {
            let asked = strings(&container["healthcheck"]["test"]);
            assert_eq!(asked, ["CMD", "shop", "probe", &program], "{name}");
            let taken = Cli::command().try_get_matches_from(&asked[1..]);
            taken.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        }
    }
}

#[test]
fn every_container_is_limited_checked_pinned_and_on_loopback() {
    for (name, container) in containers() {
        let limits = &container["deploy"]["resources"]["limits"];
        for limit in ["cpus", "memory", "pids"] {
            assert!(!limits[limit].is_null(), "{name} has no limit of {limit}");
        }
        let checked = !container["healthcheck"]["test"].is_null();
        assert_ne!(checked, UNCHECKED.contains(&name.as_str()), "{name}");
        let tag = version(&container).to_owned();
        assert!(tag.contains('.'), "{name} is not pinned: {tag}");
        for port in strings(&container["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
    }
}

#[test]
fn the_services_have_no_rights_and_get_the_time_that_a_drain_takes() {
    for (name, container) in ours() {
        assert_eq!(container["read_only"], true, "{name}");
        assert_eq!(strings(&container["cap_drop"]), ["ALL"], "{name}");
        let options = strings(&container["security_opt"]);
        assert_eq!(options, ["no-new-privileges:true"], "{name}");
        if name == "shop" {
            continue; // It drains nothing.
        }
        let command = program(&container);
        let mut arguments = command.get_arguments();
        let drain = arguments.find(|argument| argument.get_id() == "drain_grace");
        let drain = drain.expect("it has a DRAIN_GRACE");
        let drain = drain.get_default_values()[0].to_string_lossy().into_owned();
        let needed = duration(&drain) + AFTER_THE_DRAIN;
        let given = duration(container["stop_grace_period"].as_str().unwrap_or("0s"));
        assert!(given > needed, "{name} is killed after {given:?}");
    }
}

#[test]
fn kafka_is_told_what_the_launcher_tells_its_own() {
    let told = pairs(&containers()["kafka"]["environment"]);
    for setting in kafka::SETTINGS {
        let (name, value) = setting.split_once('=').expect("it is name=value");
        let name = format!("KAFKA_{}", name.replace('.', "_").to_uppercase());
        // The launcher's brokers have one more listener, round the fault proxies.
        let value = value.replace("DIRECT:PLAINTEXT,", "");
        assert_eq!(told.get(&name), Some(&value), "{name}");
    }
}

#[test]
fn the_servers_are_the_versions_that_everything_was_tested_with() {
    let containers = containers();
    let pinned = |name: &str| {
        let pinned = lines_after(POM, &format!("<{name}.version>"));
        let (pinned, _) = pinned.split_once('<').expect("the tag ends");
        pinned.to_owned()
    };
    assert_eq!(version(&containers["kafka"]), pinned("kafka"));
    // The packages of PostgreSQL have a number of their own behind its version.
    let postgres = format!("{}.", version(&containers["postgres"]));
    assert!(pinned("postgres").starts_with(&postgres), "{postgres}");
    // Its Go module calls version 3.15 v0.315.
    let module = lines_after(PROMETHEUS, "github.com/prometheus/prometheus v0.3");
    let module = module.split_whitespace().next().unwrap_or_default();
    let (minor, patch) = module.split_once('.').expect("it has three numbers");
    let minor = minor.trim_start_matches('0');
    assert_eq!(
        version(&containers["prometheus"]),
        format!("v3.{minor}.{patch}")
    );
}

#[test]
fn the_core_is_what_an_order_takes_and_the_rest_shows_it() {
    let in_profile = |profile: &str| -> BTreeSet<String> {
        let containers = containers().into_iter();
        let named = containers
            .filter(|(_, container)| strings(&container["profiles"]).contains(&profile.to_owned()));
        named.map(|(name, _)| name).collect()
    };
    let (core, full) = (in_profile("core"), in_profile("full"));
    let shown: Vec<&String> = full.difference(&core).collect();
    assert_eq!(shown, ["collector", "grafana", "jaeger", "prometheus"]);
    assert!(core.is_subset(&full));
    for part in ["reception", "reception-2", "barista", "barista-2"] {
        assert!(core.contains(part), "{part}");
    }
}

/// Everything that docker-compose.yml runs, by name, its anchors followed.
fn containers() -> BTreeMap<String, Value> {
    let compose: Value = serde_saphyr::from_str(COMPOSE).expect("it is YAML");
    let services = compose["services"].as_object().expect("it has services");
    let services = services.iter();
    services
        .map(|(name, container)| (name.clone(), container.clone()))
        .collect()
}

fn ours() -> BTreeMap<String, Value> {
    let mut containers = containers();
    containers.retain(|_, container| image(container).starts_with("coffeeshop:"));
    assert_eq!(containers.len(), 6, "two, two, payments and shop");
    containers
}

/// What runs in a container of ours.
fn program(container: &Value) -> Command {
    let line = match &container["entrypoint"] {
        Value::Null => strings(&container["command"]),
        entrypoint => strings(entrypoint),
    };
    match line[0].as_str() {
        "reception" => reception::config::Config::command(),
        "barista" => barista::Config::command(),
        "payments" => payments::Config::command(),
        "shop" => Cli::command(),
        other => panic!("there is no program {other}"),
    }
}

/// The long option that a variable is for, of the command or of one below it.
fn option_of(command: &Command, variable: &str) -> Option<String> {
    let own = command.get_arguments().find_map(|argument| {
        let matches = argument.get_env()? == variable;
        matches.then(|| argument.get_long().map(str::to_owned))?
    });
    own.or_else(|| {
        let mut below = command.get_subcommands();
        below.find_map(|below| option_of(below, variable))
    })
}

fn image(container: &Value) -> &str {
    container["image"].as_str().expect("it has an image")
}

fn version(container: &Value) -> &str {
    let tag = image(container).split_once(':');
    tag.map_or("", |(_, tag)| tag)
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

fn pairs(settings: &Value) -> BTreeMap<String, String> {
    let settings = settings.as_object().into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    settings
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// What stands behind these words in the first line that has them.
fn lines_after<'a>(text: &'a str, words: &str) -> &'a str {
    let mut lines = text.lines();
    let found = lines.find_map(|line| Some(line.split_once(words)?.1));
    found.unwrap_or_else(|| panic!("{words} is nowhere"))
}

fn duration(text: &str) -> Duration {
    let seconds = text.strip_suffix('s').and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("{text} is not in seconds")))
}

/// The health check knows every service by the name of its program.
#[test]
fn whoever_probes_something_else_is_told_what_there_is() {
    for service in Service::ALL {
        let taken = Cli::command().try_get_matches_from(["shop", "probe", service.name()]);
        assert!(taken.is_ok(), "{}", service.name());
    }
    let refused = Cli::command().try_get_matches_from(["shop", "probe", "kafka"]);
    let refused = refused.expect_err("it is no service").to_string();
    assert!(
        refused.contains("reception, barista or payments"),
        "{refused}"
    );
}
