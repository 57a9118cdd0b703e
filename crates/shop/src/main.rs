//! The launcher: see `shop --help`.

use std::process::ExitCode;

use clap::Parser as _;
use shop::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = Cli::parse().run().await else {
        return ExitCode::SUCCESS;
    };
    // Not `Debug`, which adds a backtrace where RUST_BACKTRACE is set: these are words to people.
    let red = anstyle::AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{red}error:{red:#} {error:#}");
    ExitCode::FAILURE
}
