//! A node over its crashes: a disk that stays, a process that comes and goes.

use std::rc::Rc;

use aegis_types::{Hash, Height};

use super::application::Application;
use super::boot::{BootFailure, boot};
use super::clock::{Clock, Micros};
use super::disk::Disk;
use super::invariants::Observation;
use super::process::{Moment, Process};
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// Of a thousand crashes, how many take the state store with them, so that it is built again from the log.
const STATE_LOSSES_PER_MILLE: u64 = 30;

/// A node.
pub struct Node {
    index: NodeIndex,
    scenario: Rc<Scenario>,
    rng: Rng,
    /// Its clocks; the monotonic one starts anew with each process.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// An earlier image of its disk, for nodes that forget.
    pub image: Option<Disk>,
    /// The running process; none while it is down.
    pub process: Option<Process>,
    /// The agreed state that the last process left.
    saved: Option<Application>,
    /// Counts the starts, so that events for a process that is gone are recognized.
    pub incarnation: u64,
    /// Whether a flush of the journal is under way.
    pub is_flushing: bool,
    /// Whether a block is being executed.
    pub is_executing: bool,
    /// Until when the process stands still.
    pub paused_until: Micros,
    /// Whether the disk is damaged, so that the node stays away for good.
    pub is_gone: bool,
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
            image: None,
            process: None,
            saved: None,
            incarnation: 0,
            is_flushing: false,
            is_executing: false,
            paused_until: 0,
            is_gone: false,
            wake_at: None,
        }
    }

    /// The time as this node's processes see it.
    pub fn moment(&self, at: Micros) -> Moment {
        Moment { now: self.clock.read(at), at }
    }

    /// Starts a process from what is durable. Returns what to observe, and whether the disk is visibly an old one.
    ///
    /// # Errors
    /// When the disk is damaged or its content makes no sense.
    pub fn start(&mut self, at: Micros) -> Result<(Observation, bool), BootFailure> {
        self.incarnation += 1;
        self.clock.booted_at = at;
        let moment = self.moment(at);
        let booted = boot(&self.scenario, self.index, &self.disk, self.saved.take(), moment.now)?;
        let rng = Rng::new(self.rng.draw(), "process");
        let tip = &booted.application.standing().tip;
        let started = Observation::Started { node: self.index, tip: (tip.height, tip.digest) };
        let is_stale = booted.is_visibly_stale;
        let process = Process::start(self.index, &self.scenario, booted, self.incarnation, moment, rng);
        self.process = Some(process);
        Ok((started, is_stale))
    }

    /// Ends the process at once; what is not durable may be lost.
    pub fn crash(&mut self) {
        self.disk.crash(&mut self.rng);
        if let Some(process) = self.process.take() {
            let survives = !self.rng.chance(STATE_LOSSES_PER_MILLE);
            self.saved = Some(process.into_application()).filter(|_| survives);
        }
        self.is_flushing = false;
        self.is_executing = false;
        self.paused_until = 0;
        self.wake_at = None;
        self.incarnation += 1;
    }

    /// Puts the disk back to its image, as somebody does who restores a backup; takes a new one when there is none.
    pub fn restore_image(&mut self) -> bool {
        match self.image.take() {
            Some(image) => {
                self.disk = image;
                self.saved = None;
                true
            }
            None => {
                self.image = Some(self.disk.image());
                false
            }
        }
    }

    /// When to wake the process next if nothing arrives.
    pub fn next_wake(&self) -> Option<Micros> {
        let clock = self.clock;
        Some(self.process.as_ref()?.wake_at(|monotonic_ms| clock.when(monotonic_ms)))
    }

    /// The executed height of the running process.
    pub fn executed_height(&self) -> Height {
        self.process.as_ref().map_or(Height::ZERO, |process| process.application().standing().tip.height)
    }

    /// Batches that this node knows are ordered.
    pub fn has_ordered(&self, digest: &Hash) -> bool {
        self.process.as_ref().is_some_and(|process| process.pool().has_ordered(digest))
    }
}
