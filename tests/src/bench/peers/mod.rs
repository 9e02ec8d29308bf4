//! Other systems under the same load on the same machine, in turns.
//!
//! Each client puts one value after the other and waits for the acknowledgement of each (a closed loop: the rate follows from the
//! latency). Aegis' clients sign what they put; the others have nothing to sign. The systems run one at a time, round by round, so that
//! what the machine does meanwhile hits all of them, and the ratios of one run can be trusted where the figures cannot.
//!
//! What each does for its figure stands in [`Kind::does`] and is printed with it: an acknowledgement of one is not worth
//! what that of another is.

mod aegis;
mod command;
mod etcd;
mod nats;
mod processes;
mod round;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use command::Command;
pub use round::Round;

/// A system that can be measured.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Validators of this project.
    Aegis,
    /// Three members of etcd.
    Etcd,
    /// Three servers of NATS with a JetStream of three replicas.
    Nats,
    /// What the user names.
    Command(Command),
}

impl Kind {
    /// Its name in tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Aegis => "aegis",
            Self::Etcd => "etcd",
            Self::Nats => "nats",
            Self::Command(command) => &command.name,
        }
    }

    /// What stands behind an acknowledgement.
    pub fn does(&self) -> &'static str {
        match self {
            Self::Aegis => {
                "withstands f arbitrary (Byzantine) faults; every client signature checked by every validator; every vote flushed \
                 before it is sent; the acknowledgement is a certificate"
            }
            Self::Etcd => {
                "withstands crashes only (Raft); no client signatures; a majority has flushed before the acknowledgement"
            }
            Self::Nats => {
                "withstands crashes only (Raft); no client signatures; a majority has written, nobody has flushed (Debian's version does \
                 so every two minutes): power loss of all loses what was acknowledged"
            }
            Self::Command(_) => "what the named command says of itself",
        }
    }
}

/// What is to be compared.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Aegis' binary.
    pub binary: PathBuf,
    /// Aegis' validators.
    pub validators: usize,
    /// The systems, in the order of a round.
    pub systems: Vec<Kind>,
    /// Clients, each with one put under way.
    pub clients: usize,
    /// Bytes of a value.
    pub payload: usize,
    /// How often each is measured.
    pub rounds: usize,
    /// How long each is measured in a round.
    pub duration: Duration,
}

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Aegis' validators.
    pub validators: usize,
    /// Clients, each with one put under way.
    pub clients: usize,
    /// Bytes of a value.
    pub payload: usize,
    /// Seconds of a measurement.
    pub seconds: u64,
    /// Measurements, in their order.
    pub rounds: Vec<Round>,
}

/// Measures. `told` hears of each measurement.
///
/// # Errors
/// When a system does not start or ends.
pub async fn run(plan: &Plan, mut told: impl FnMut(&Round)) -> anyhow::Result<Report> {
    let mut report = Report {
        validators: plan.validators,
        clients: plan.clients,
        payload: plan.payload,
        seconds: plan.duration.as_secs(),
        rounds: Vec::new(),
    };
    for _ in 0..plan.rounds {
        for system in &plan.systems {
            let folder = tempfile::TempDir::new()?;
            let round = measure(plan, system, folder.path()).await?;
            told(&round);
            report.rounds.push(round);
        }
    }
    Ok(report)
}

async fn measure(plan: &Plan, system: &Kind, folder: &Path) -> anyhow::Result<Round> {
    match system {
        Kind::Aegis => aegis::measure(plan, folder).await,
        Kind::Etcd => etcd::measure(plan, folder).await,
        Kind::Nats => nats::measure(plan, folder).await,
        Kind::Command(command) => command.measure(plan).await,
    }
}

impl Report {
    /// The comparison as a table for people: medians of the rounds, and ratios to the first system.
    pub fn table(&self, systems: &[Kind]) -> String {
        use std::fmt::Write as _;
        let mut text = format!(
            "{} clients, {} bytes, {} s a measurement, medians; {} validators of aegis\n\n",
            self.clients, self.payload, self.seconds, self.validators
        );
        let _ =
            writeln!(text, "system        puts/s   : first   p50 ms   p99 ms   MiB  failed  rounds (puts/s)");
        let rate = |round: &Round| round.per_second;
        let first = systems.first().and_then(|first| self.median(first.name(), rate));
        for system in systems {
            let name = system.name();
            let rates: Vec<String> = self.of(name).map(|round| format!("{:.0}", round.per_second)).collect();
            let (Some(per_second), Some(first)) = (self.median(name, rate), first) else { continue };
            let memory =
                self.median(name, |round| round.resident as f64).unwrap_or_default() / f64::from(1 << 20);
            let _ = writeln!(
                text,
                "{name:<10} {per_second:>9.0}  {:>7.2}  {:>7.2}  {:>7.2}  {memory:>4.0}  {:>6}  {}",
                per_second / first,
                self.median(name, |round| round.p50_ms).unwrap_or_default(),
                self.median(name, |round| round.p99_ms).unwrap_or_default(),
                self.of(name).map(|round| round.failed).sum::<u64>(),
                rates.join(", "),
            );
        }
        text.push('\n');
        for system in systems {
            let _ = writeln!(text, "{}: {}", system.name(), system.does());
        }
        text
    }

    fn of<'a>(&'a self, system: &'a str) -> impl Iterator<Item = &'a Round> {
        self.rounds.iter().filter(move |round| round.system == system)
    }

    fn median(&self, system: &str, value: impl Fn(&Round) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.of(system).map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_medians() {
        let round = |system: &str, per_second| Round {
            system: system.to_owned(),
            per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            failed: 0,
            resident: 1 << 20,
        };
        let report = Report {
            validators: 4,
            clients: 64,
            payload: 512,
            seconds: 1,
            rounds: vec![
                round("aegis", 900.0),
                round("etcd", 100.0),
                round("aegis", 10.0),
                round("etcd", 300.0),
                round("aegis", 1_000.0),
                round("etcd", 200.0),
            ],
        };
        let table = report.table(&[Kind::Aegis, Kind::Etcd]);
        let etcd = table.lines().find(|line| line.starts_with("etcd ")).expect("a row");
        assert_eq!(etcd.split_whitespace().nth(2), Some("0.22"), "{table}");
    }
}
