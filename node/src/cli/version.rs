//! `aegis version`

use aegis_types::crypto::PROTOCOL_VERSION;
use clap::Args;
use serde::Serialize;

use super::{Failure, Global};

/// Print the versions of program and protocol, and whether Tor is built in
#[derive(Debug, Args)]
pub struct Version {}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    protocol_version: u32,
    target: String,
    tor: bool,
}

impl Version {
    /// Prints them.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn run(self, global: &Global) -> Result<(), Failure> {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            protocol_version: PROTOCOL_VERSION,
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            tor: cfg!(feature = "tor"),
        };
        global.output().document(&report, |report| {
            let tor = if report.tor { "with Tor" } else { "without Tor" };
            format!(
                "aegis {} (protocol {}, {}, {tor})",
                report.version, report.protocol_version, report.target
            )
        })
    }
}
