//! A build in which the environment decides which guards are out.

use std::{env, sync::LazyLock};

use crate::{Bug, VARIABLE};

/// Read once, so that a guard is out for the whole life of a process.
static CHOSEN: LazyLock<Vec<Bug>> = LazyLock::new(chosen);

/// Whether this guard is taken out.
pub fn bug(bug: Bug) -> bool {
    CHOSEN.contains(&bug)
}

/// A statement in which the bug puts `without` in the place of its guard. It is leaked, as often as it
/// is asked for: a shop with planted bugs does not live long.
pub fn swap(planted: Bug, guard: &str, without: &str, statement: &'static str) -> &'static str {
    if !bug(planted) {
        return statement;
    }
    assert!(statement.contains(guard), "no {guard:?} in {statement:?}");
    statement.replacen(guard, without, 1).leak()
}

#[expect(
    clippy::disallowed_methods,
    reason = "no setting of any service: it must not show in a --help, and holds for all of them"
)]
fn chosen() -> Vec<Bug> {
    let names = env::var(VARIABLE).unwrap_or_default();
    let names = names.split('+').filter(|name| !name.is_empty());
    names.map(named).collect()
}

fn named(name: &str) -> Bug {
    let bug = Bug::ALL.into_iter().find(|bug| bug.name() == name);
    bug.unwrap_or_else(|| panic!("{VARIABLE}: there is no bug {name:?}"))
}
