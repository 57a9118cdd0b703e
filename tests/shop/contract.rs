//! docs/api.md is what the contracts say, and the contracts say how every call can fail.

/// What stands in the comments.
pub mod comments;
/// docs/api.md.
mod page;

use comments::{Contract, Listed};
use rpc::status::{self, Reason};
use std::{collections::BTreeSet, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");

/// Told by clients of ours, about services that they do not reach.
const OF_CLIENTS: [Reason; 3] = [
    Reason::CircuitOpen,
    Reason::ConnectionBroken,
    Reason::NotSent,
];

#[test]
fn docs_api_md_is_what_the_contracts_say() {
    let written = fs::read_to_string(PAGE).unwrap_or_default();
    let page = page::write(&Contract::read());
    let first = page
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert!(
        page == written,
        "docs/api.md is stale: renew it with `make docs`; first line that differs: {first:?}"
    );
}

#[test]
#[ignore = "writes docs/api.md: make docs"]
fn renew() {
    fs::write(PAGE, page::write(&Contract::read())).expect("docs is a folder");
}

#[test]
fn every_reason_says_what_it_means_and_which_calls_give_it() {
    let contract = Contract::read();
    let calls = contract.calls();
    let listed: BTreeSet<Reason> = calls
        .iter()
        .flat_map(|call| contract.errors_of(call))
        .map(|Listed { reason, .. }| reason)
        .collect();
    for reason in comments::reasons() {
        let word = status::word(reason);
        assert!(
            !contract.meaning(reason).is_empty(),
            "{word} is not documented"
        );
        let expected = !OF_CLIENTS.contains(&reason);
        assert_eq!(listed.contains(&reason), expected, "{word} at a call");
    }
}
