//! What breaks in the safety phase, and how processes come back.

use super::{Event, World};
use crate::sim::actors::ActorKind;
use crate::sim::boot::BootFailure;
use crate::sim::clock::MILLI;
use crate::sim::disk::Part;
use crate::sim::faults::{FaultKind, around};
use crate::sim::invariants::Observation;
use crate::sim::rng::Rng;
use crate::sim::scenario::NodeIndex;

/// Largest wrongness of a clock that correct nodes may have, in milliseconds: half of the drift that voters accept.
const SKEW_MAX_MS: u64 = 900;
/// How far the clock of an unreliable node may jump, in milliseconds: an hour.
const JUMP_MAX_MS: u64 = 3_600_000;
/// Of a thousand restarts of a forgetful node, how many are from an older copy of its disk.
const AMNESIA_PER_MILLE: u64 = 500;

impl World {
    /// Whether things may still break.
    pub(super) fn is_breaking(&self) -> bool {
        self.goal.is_none()
    }

    pub(super) fn schedule_first_faults(&mut self) {
        let intervals: Vec<_> = self.scenario.faults.intervals.clone().into_iter().collect();
        for (kind, interval) in intervals {
            let first = around(interval, &mut Rng::new(self.scenario.seed, &kind.to_string()));
            self.schedule(first, Event::Fault(kind));
        }
    }

    /// A timed fault. Each has a stream of its own, so that leaving one out does not change the others.
    pub(super) fn on_fault_due(&mut self, kind: FaultKind) {
        let Some(interval) = self.scenario.faults.intervals.get(&kind).copied() else { return };
        if !self.is_breaking() {
            return;
        }
        let number = self.faults_seen;
        self.faults_seen += 1;
        let mut rng = Rng::new(self.scenario.seed ^ number, "fault");
        let pause = around(interval, &mut rng);
        self.schedule(pause, Event::Fault(kind));
        if self.options.trim.skip.contains(&number) {
            return;
        }
        self.counts.faults += 1;
        self.trace.add(self.at, &[4, number], || format!("fault {number}: {kind}"));
        let node = rng.index(self.nodes.len());
        match kind {
            FaultKind::Crash => self.crash(node),
            FaultKind::Blackout => (0..self.nodes.len()).for_each(|node| self.crash(node)),
            FaultKind::Pause => self.pause(node, &mut rng),
            FaultKind::Partition => {
                self.network.partition();
                let length = rng.within(100 * MILLI..=self.scenario.faults.partition_max);
                self.schedule(length, Event::Mend);
            }
            FaultKind::SlowLink => {
                self.network.slow_down();
                let length = rng.within(100 * MILLI..=self.scenario.faults.partition_max);
                self.schedule(length, Event::SpeedUp);
            }
            FaultKind::ClockJump => self.jump(node, &mut rng),
            FaultKind::FlushFailure => self.nodes[node].disk.fail_next_sync(any_part(&mut rng)),
            FaultKind::FullDisk => self.nodes[node].disk.fill_up(any_part(&mut rng), &mut rng),
            FaultKind::Damage => self.damage(&mut rng),
            FaultKind::CrashInFlush
            | FaultKind::CrashInSend
            | FaultKind::Loss
            | FaultKind::Duplication
            | FaultKind::Lateness
            | FaultKind::Skew
            | FaultKind::SetChange
            | FaultKind::Byzantine
            | FaultKind::Plot => {}
        }
    }

    fn pause(&mut self, node: NodeIndex, rng: &mut Rng) {
        let length = rng.within(10 * MILLI..=self.scenario.faults.pause_max);
        let state = &mut self.nodes[node];
        if state.process.is_some() {
            state.paused_until = state.paused_until.max(self.at + length);
            self.counts.pauses += 1;
        }
    }

    fn jump(&mut self, node: NodeIndex, rng: &mut Rng) {
        let is_free = self.scenario.unreliable.contains(&node) || !self.scenario.is_correct(node);
        let reach = if is_free && rng.chance(500) { JUMP_MAX_MS } else { SKEW_MAX_MS };
        self.nodes[node].clock.skew_ms = rng.within(0..=2 * reach) as i64 - reach as i64;
        self.counts.clock_jumps += 1;
    }

    /// Changes bytes on the disk of an unreliable node, which restarts with them.
    fn damage(&mut self, rng: &mut Rng) {
        let unreliable: Vec<NodeIndex> = self.scenario.unreliable.iter().copied().collect();
        let Some(node) = rng.pick(&unreliable) else { return };
        if self.nodes[node].process.is_none() {
            return;
        }
        self.crash(node);
        let Some(what) = self.nodes[node].disk.damage(any_part(rng), rng) else { return };
        self.damaged.insert(node);
        self.counts.damages += 1;
        self.trace.add(self.at, &[5, node as u64], || format!("{node}: {what}"));
    }

    /// At times the machine will stop within the flush that is about to begin.
    pub(super) fn stop_disk_perhaps(&mut self, node: NodeIndex, part: Part) {
        if self.is_breaking() && self.faults.chance(self.scenario.faults.flush_crashes_per_mille) {
            self.nodes[node].disk.stop_soon(part, &mut self.faults);
        }
    }

    /// The disk failed: the process must end.
    pub(super) fn fail(&mut self, node: NodeIndex) {
        self.counts.disk_failures += 1;
        self.crash(node);
    }

    pub(super) fn crash(&mut self, node: NodeIndex) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.counts.crashes += 1;
        self.trace.add(self.at, &[node as u64, 1], || format!("{node} crashes"));
        self.nodes[node].crash();
        let downtime = self.faults.within(10 * MILLI..=self.scenario.faults.downtime_max.max(10 * MILLI));
        self.schedule(downtime, Event::Restart { node });
    }

    pub(super) fn restart(&mut self, node: NodeIndex) {
        self.nodes[node].disk.repair();
        let forgets =
            self.scenario.byzantine.get(&node).is_some_and(|kinds| kinds.contains(&ActorKind::Amnesia));
        let is_old = forgets && self.faults.chance(AMNESIA_PER_MILLE) && self.nodes[node].restore_image();
        match self.nodes[node].start(self.at) {
            Ok((started, is_visibly_stale)) => {
                self.counts.old_disks += u64::from(is_old);
                self.counts.old_disks_noticed += u64::from(is_old && is_visibly_stale);
                if is_visibly_stale && !is_old && !self.damaged.contains(&node) {
                    let reason = "its disk looks old and is not".to_owned();
                    self.watch(Observation::Broken { node, reason });
                }
                self.watch_of(node, started);
                self.corrupt(node);
            }
            Err(BootFailure::Damaged(reason)) if self.damaged.contains(&node) => {
                self.trace.add(self.at, &[6, node as u64], || format!("{node} stays away: {reason}"));
                self.nodes[node].is_gone = true;
                self.counts.damages_noticed += 1;
            }
            Err(BootFailure::Damaged(reason) | BootFailure::Broken(reason)) => {
                self.watch(Observation::Broken { node, reason });
            }
        }
        self.settle(node);
        self.wake(node, self.at);
    }
}

fn any_part(rng: &mut Rng) -> Part {
    if rng.chance(600) { Part::Journal } else { Part::Log }
}
