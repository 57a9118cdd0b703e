//! A drill as a file: its name, how its shop is opened, and its acts. The doc comment at the head of
//! the file is the hypothesis, and it is what `shop drill list` and the report show.

use anyhow::Result;
use futures::future::LocalBoxFuture;

use super::{opening::Opening, scene::Scene};

/// One drill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drill {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// Its own file, for the hypothesis: `include_str!("….rs")`.
    pub(crate) source: &'static str,
    /// How its shop is opened.
    pub(crate) opening: fn() -> Opening,
    /// From the first customer to the last fault healed.
    pub(crate) acts: Acts,
}

/// What is played on a scene.
pub(crate) type Acts = for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, Result<()>>;

impl Drill {
    /// What the drill is to show: the first paragraph of its file.
    pub(crate) fn hypothesis(&self) -> String {
        let lines = self.source.lines().map(|line| line.strip_prefix("//!"));
        let lines = lines.map_while(|line| line.map(str::trim));
        let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
        paragraph.join(" ")
    }
}
