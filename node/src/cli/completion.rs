//! `aegis completion`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::output::write_bytes;
use super::{Cli, Failure};

/// Print a completion script for a shell
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    /// Prints the script.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::help::fitting(Cli::command()), "aegis", &mut script);
        write_bytes(&script)
    }
}
