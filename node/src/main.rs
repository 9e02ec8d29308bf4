//! The `aegis` binary: command line, wiring, driver and executor of a node.
#![warn(missing_docs)]

mod calendar;
mod cli;
mod home;
mod keyfile;
mod node;
mod testnet;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
