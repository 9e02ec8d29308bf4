//! Checks the weight rule against a file of vectors, bit for bit.

use std::path::PathBuf;

use aegis_tests::weight_vectors::check_all;
use anyhow::Context as _;
use clap::Parser;

/// Checks the weight rule against a file of vectors; exits with 0 only if every one of them is confirmed.
#[derive(Debug, Parser)]
#[command(name = "weight-vectors")]
struct Arguments {
    /// The file; its format stands in the module `aegis_tests::weight_vectors`
    file: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let Arguments { file } = Arguments::parse();
    let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    let checked = check_all(&text).with_context(|| format!("{}", file.display()))?;
    println!("{checked} vectors confirmed");
    Ok(())
}
