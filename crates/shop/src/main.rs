//! The launcher: see `shop --help`.

use clap::Parser as _;
use shop::cli::{Cli, Command};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Guard(options) => match shop::guard::run(options).await? {},
    }
}
