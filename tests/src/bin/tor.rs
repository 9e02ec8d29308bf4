//! Measures what Tor costs: the same validators over direct links, through Tor, and mixed.

use std::path::PathBuf;
use std::time::Duration;

use aegis_tests::through_tor::{Deployment, Nodes, measure, render};
use anyhow::bail;
use clap::Parser;

/// Runs four validators three times and prints what was measured as a table.
#[derive(Debug, Parser)]
#[command(name = "tor")]
struct Arguments {
    /// Description of the Tor network: network.toml of `scripts/tor-network up`.
    network: PathBuf,
    /// Puts one after the other.
    #[arg(long, default_value_t = 200)]
    puts: usize,
    /// Seconds under load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The binary under test, built with `--features tor` [default: `aegis` beside this one]
    #[arg(long)]
    binary: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let binary = match arguments.binary {
        Some(binary) => binary,
        None => std::env::current_exe()?.with_file_name("aegis"),
    };
    if !binary.is_file() {
        bail!(
            "{} does not exist; build it: cargo build --release -p aegis-node --features tor",
            binary.display()
        );
    }
    if arguments.puts == 0 {
        bail!("--puts 0 measures nothing");
    }
    let network = std::path::absolute(&arguments.network)?;
    let load = Duration::from_secs(arguments.seconds.max(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut columns = Vec::new();
    for deployment in Deployment::ALL {
        let nodes = Nodes::start(&binary, deployment, &network)?;
        let figures = runtime.block_on(measure(&nodes, arguments.puts, load))?;
        eprintln!("{}: {figures:?}", deployment.name());
        columns.push((deployment, figures));
    }
    print!("{}", render(&columns));
    Ok(())
}
