//! A system that the user names by a command.
//!
//! The command starts the system, lets `BENCH_CLIENTS` clients put values of `BENCH_PAYLOAD` bytes for `BENCH_SECONDS`, stops it, and
//! prints as its last line `{"per_second": 1.0, "p50_ms": 1.0, "p99_ms": 1.0}`.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::{Plan, Round};

/// A command with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name in tables.
    pub name: String,
    /// What the shell runs.
    pub line: String,
}

impl FromStr for Command {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, line) = text.split_once('=').context("a command is named as NAME=COMMAND")?;
        if name.is_empty() || line.is_empty() {
            bail!("a command is named as NAME=COMMAND");
        }
        Ok(Self { name: name.to_owned(), line: line.to_owned() })
    }
}

#[derive(Deserialize)]
struct Figures {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Command {
    pub(super) async fn measure(&self, plan: &Plan) -> anyhow::Result<Round> {
        let output = tokio::process::Command::new("sh")
            .args(["-c", &self.line])
            .env("BENCH_CLIENTS", plan.clients.to_string())
            .env("BENCH_PAYLOAD", plan.payload.to_string())
            .env("BENCH_SECONDS", plan.duration.as_secs().to_string())
            .kill_on_drop(true)
            .output()
            .await?;
        if !output.status.success() {
            bail!("{}: {}; {}", self.name, output.status, String::from_utf8_lossy(&output.stderr));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().with_context(|| format!("{} printed nothing", self.name))?;
        let figures: Figures =
            serde_json::from_str(last).with_context(|| format!("{} printed `{last}` last", self.name))?;
        Ok(Round {
            system: self.name.clone(),
            per_second: figures.per_second,
            p50_ms: figures.p50_ms,
            p99_ms: figures.p99_ms,
            failed: 0,
            resident: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::peers::Kind;

    #[tokio::test]
    async fn a_command_is_told_the_load_and_its_figures_are_taken() {
        let line = r#"echo "{\"per_second\": $BENCH_CLIENTS, \"p50_ms\": $BENCH_PAYLOAD, \"p99_ms\": $BENCH_SECONDS}""#;
        let command: Command = format!("other={line}").parse().expect("named");
        let plan = Plan {
            binary: "aegis".into(),
            validators: 4,
            systems: vec![Kind::Command(command.clone())],
            clients: 64,
            payload: 512,
            rounds: 1,
            duration: Duration::from_secs(3),
        };
        let round = command.measure(&plan).await.expect("figures");
        assert_eq!((round.per_second, round.p50_ms, round.p99_ms), (64.0, 512.0, 3.0));
        let broken: Command = "other=exit 3".parse().expect("named");
        assert!(broken.measure(&plan).await.is_err());
        assert!("nothing".parse::<Command>().is_err());
    }
}
