//! The command line.

use crate::guard;

/// The whole shop on one machine.
#[derive(clap::Parser, Debug)]
#[command(name = "shop", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `shop` can do.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Run a program that dies with its parent.
    #[command(hide = true)]
    Guard(guard::Options),
}
