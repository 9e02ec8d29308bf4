//! A node over its crashes: a disk that stays, a process that comes and goes.

use std::rc::Rc;

use aegis_types::Height;

use super::boot::boot;
use super::clock::{Clock, Micros};
use super::disk::Disk;
use super::invariants::Observation;
use super::process::Process;
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// A node.
pub struct Node {
    index: NodeIndex,
    scenario: Rc<Scenario>,
    rng: Rng,
    /// Its clocks; the monotonic one starts anew with each process.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// The running process; none while it is down.
    pub process: Option<Process>,
    /// Counts the starts, so that events for a process that is gone are recognized.
    pub incarnation: u64,
    /// Whether a flush is under way.
    pub is_flushing: bool,
    /// Whether a block is being executed.
    pub is_executing: bool,
    /// For when a wake-up is in the event queue.
    pub wake_at: Option<Micros>,
}

impl Node {
    /// A node that has never run.
    pub fn new(index: NodeIndex, scenario: &Rc<Scenario>) -> Self {
        let mut rng = Rng::new(scenario.seed, &format!("node {index}"));
        let skew = scenario.faults.skew_max_ms;
        let skew_ms = rng.within(0..=2 * skew) as i64 - skew as i64;
        let rate_per_mille = 950 + rng.within(0..=100);
        Self {
            index,
            scenario: scenario.clone(),
            clock: Clock { skew_ms, rate_per_mille, booted_at: 0 },
            rng,
            disk: Disk::default(),
            process: None,
            incarnation: 0,
            is_flushing: false,
            is_executing: false,
            wake_at: None,
        }
    }

    /// Starts a process from what is durable.
    ///
    /// # Errors
    /// When the disk's content cannot be executed.
    pub fn start(&mut self, at: Micros) -> Result<Observation, String> {
        self.incarnation += 1;
        self.clock.booted_at = at;
        let now = self.clock.read(at);
        let booted = boot(&self.scenario, self.index, &self.disk, now, &mut self.rng)?;
        let rng = Rng::new(self.rng.draw(), "process");
        let mut process =
            Process::start(self.index, &self.scenario, booted, &self.disk, self.incarnation, at, rng);
        process.offer_all(now, at, &mut self.disk);
        self.process = Some(process);
        let tip = self.disk.log.durable().last();
        let tip = tip.map_or((Height::ZERO, self.scenario.genesis.hash()), |block| {
            (block.header.height, block.header.digest())
        });
        Ok(Observation::Started { node: self.index, tip })
    }

    /// Ends the process at once; what is not durable is lost.
    pub fn crash(&mut self) {
        if self.is_flushing {
            self.disk.crash_during_flush(&mut self.rng);
        } else {
            self.disk.crash();
        }
        self.process = None;
        self.is_flushing = false;
        self.is_executing = false;
        self.wake_at = None;
        self.incarnation += 1;
    }

    /// Lets the process handle what has arrived; the disk tells whether a flush is needed afterwards.
    pub fn work(&mut self, at: Micros) {
        let now = self.clock.read(at);
        if let Some(process) = &mut self.process {
            process.work(now, at, &mut self.disk);
        }
    }

    /// Executes the next block.
    pub fn execute(&mut self, at: Micros) {
        let now = self.clock.read(at);
        if let Some(process) = &mut self.process {
            process.execute(now, at, &mut self.disk);
        }
    }

    /// At times, when nothing waits for a flush, shortens the journal to what still binds the validator.
    pub fn checkpoint_journal(&mut self) {
        /// A short journal is not worth the writing.
        const RECORDS_MIN: usize = 24;
        if self.disk.journal.items().len() >= RECORDS_MIN
            && !self.disk.is_dirty()
            && self.rng.chance(50)
            && let Some(records) = self.process.as_ref().and_then(Process::live_records)
        {
            self.disk.journal.replace(records);
        }
    }

    /// When to wake the process next if nothing arrives.
    pub fn next_wake(&self) -> Option<Micros> {
        let clock = self.clock;
        Some(self.process.as_ref()?.wake_at(|monotonic_ms| clock.when(monotonic_ms)))
    }

    /// The height up to which blocks are durable here.
    pub fn durable_height(&self) -> Height {
        Height(self.disk.log.durable().len() as u64)
    }
}
