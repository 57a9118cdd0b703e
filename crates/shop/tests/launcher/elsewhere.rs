use shop::part::Part;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::life::TestShop;

/// The discard port of this machine, where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

#[test]
fn a_shop_elsewhere_is_asked_by_its_addresses_from_anywhere() {
    let (shop, outside) = (TestShop::new(), nowhere());
    shop.succeed(&["up", "--detach", "--brew-scale", "0"]);
    let state = shop.state();
    let payments = state.addresses[&Part::Payments].to_string();
    let reception = format!("http://{}", state.addresses[&Part::Reception]);
    for (part, url) in &state.database_urls {
        // As an editor leaves it.
        let written = fs::write(outside.path().join(part.name()), format!("{url}\n"));
        written.expect("the folder can be written");
    }
    let databases = outside.path().to_string_lossy().into_owned();
    let ask = |args: &[&str]| succeeds(&from(outside.path(), args));
    ask(&["probe", "payments", "--at", &payments]);
    ask(&["order", "--reception", &reception]);
    ask(&["books", "--settled", "--databases", &databases]);

    shop.succeed(&["down"]);
    let probe = from(outside.path(), &["probe", "payments", "--at", &payments]);
    refused(&probe, "is not ready");
}

#[test]
fn whoever_names_nothing_outside_a_clone_is_told_what_to_name() {
    let outside = nowhere();
    for command in ["up", "status", "order", "books", "load"] {
        let said = from(outside.path(), &[command]);
        refused(&said, "not inside a clone");
        refused(&said, "--reception URL");
    }
    let named = from(outside.path(), &["circuits", "--reception", NOBODY]);
    let said = String::from_utf8_lossy(&named.stderr);
    assert!(!named.status.success() && !said.contains("clone"), "{said}");
}

fn nowhere() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// As in an image: no clone around, nothing set.
fn from(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command.args(args).current_dir(folder).env_clear();
    command.output().expect("the launcher is built")
}

fn succeeds(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{said}");
}
