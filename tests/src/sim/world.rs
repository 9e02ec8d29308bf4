//! The event queue that ties nodes, network, clients and faults together, and lets the invariants watch.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::rc::Rc;

use aegis_consensus::{Event as Milestone, Message};
use aegis_types::Hash;

use super::actors::ActorKey;
use super::application::Effect;
use super::client::Client;
use super::clock::{MILLI, Micros};
use super::faults::around;
use super::invariants::{self, Invariant, Observation};
use super::network::Network;
use super::node::Node;
use super::packet::Packet;
use super::process::Work;
use super::report::{Counts, Report, Violation};
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};
use super::trace::{Recording, Trace};

/// How often the liveness phase looks whether it is done.
const CHECK_EVERY: Micros = 100 * MILLI;
/// Longest time for which a process lets arrivals gather before it handles them.
const GATHER_MAX: Micros = 300;
/// A run with more events than this is a storm of messages: itself a failure.
const EVENTS_MAX: u64 = 4_000_000;

/// Something that happens at a time.
#[derive(Debug, Clone)]
enum Event {
    Deliver { from: NodeIndex, to: NodeIndex, packet: Packet },
    Wake { node: NodeIndex, incarnation: u64 },
    Flushed { node: NodeIndex, incarnation: u64 },
    Executed { node: NodeIndex, incarnation: u64 },
    CrashDuringFlush { node: NodeIndex, incarnation: u64 },
    Submit,
    Crash,
    Restart { node: NodeIndex },
    Partition,
    Mend,
    Heal,
    Check,
}

struct Scheduled {
    at: Micros,
    number: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// What the liveness phase waits for.
struct Goal {
    since: Micros,
    height: u64,
    batches: BTreeSet<Hash>,
}

struct World {
    scenario: Rc<Scenario>,
    nodes: Vec<Node>,
    network: Network,
    client: Client,
    faults: Rng,
    actors: Rng,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    at: Micros,
    goal: Option<Goal>,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
    trace: Trace,
    counts: Counts,
    /// The bytes that were last looked at when they left a node: a broadcast is one observation.
    last_sent: Option<Rc<[u8]>>,
}

/// Runs a seed.
pub fn run(seed: u64, recording: Recording) -> Report {
    let scenario = Rc::new(Scenario::new(seed));
    let mut world = World::new(&scenario, recording);
    world.run();
    let trace_hash = world.trace.hash();
    let mut lines = Vec::new();
    if recording == Recording::Text {
        lines.push(scenario.describe());
        lines.extend(world.trace.into_lines());
    }
    Report { seed, violation: world.violation, trace_hash, trace: lines, counts: world.counts }
}

impl World {
    fn new(scenario: &Rc<Scenario>, recording: Recording) -> Self {
        let nodes = scenario.keypairs.len();
        Self {
            nodes: (0..nodes).map(|index| Node::new(index, scenario)).collect(),
            network: Network::new(nodes, scenario.links, Rng::new(scenario.seed, "network")),
            client: Client::new(scenario),
            faults: Rng::new(scenario.seed, "faults"),
            actors: Rng::new(scenario.seed, "actors"),
            queue: BinaryHeap::new(),
            scheduled: 0,
            at: 0,
            goal: None,
            invariants: invariants::all(scenario),
            violation: None,
            trace: Trace::new(recording),
            counts: Counts::default(),
            last_sent: None,
            scenario: scenario.clone(),
        }
    }

    fn run(&mut self) {
        for node in 0..self.nodes.len() {
            self.restart(node);
        }
        self.schedule(0, Event::Submit);
        self.schedule(self.scenario.safety, Event::Heal);
        if let Some(interval) = self.scenario.faults.crash_interval {
            let first = around(interval, &mut self.faults);
            self.schedule(first, Event::Crash);
        }
        if let Some(interval) = self.scenario.faults.partition_interval {
            let first = around(interval, &mut self.faults);
            self.schedule(first, Event::Partition);
        }
        let mut events = 0;
        while let Some(Reverse(next)) = self.queue.pop() {
            self.at = next.at;
            events += 1;
            if events > EVENTS_MAX {
                self.violate("bounded traffic", format!("more than {EVENTS_MAX} events"));
            }
            if self.violation.is_some() {
                break;
            }
            if let Event::Check = next.event {
                if self.is_done() {
                    break;
                }
                self.schedule(CHECK_EVERY, Event::Check);
            } else {
                self.handle(next.event);
            }
        }
    }

    fn schedule(&mut self, after: Micros, event: Event) {
        self.scheduled += 1;
        let scheduled = Scheduled { at: self.at + after, number: self.scheduled, event };
        self.queue.push(Reverse(scheduled));
    }

    fn is_current(&self, node: NodeIndex, incarnation: u64) -> bool {
        self.nodes[node].incarnation == incarnation && self.nodes[node].process.is_some()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Event::Wake { node, incarnation } => {
                if self.is_current(node, incarnation) && self.nodes[node].wake_at == Some(self.at) {
                    self.nodes[node].wake_at = None;
                    if !self.nodes[node].is_flushing {
                        self.nodes[node].work(self.at);
                        self.settle(node);
                    }
                }
            }
            Event::Flushed { node, incarnation } => {
                if self.is_current(node, incarnation) {
                    self.on_flushed(node);
                }
            }
            Event::Executed { node, incarnation } => {
                if self.is_current(node, incarnation) {
                    self.nodes[node].is_executing = false;
                    self.nodes[node].execute(self.at);
                    self.settle(node);
                }
            }
            Event::CrashDuringFlush { node, incarnation } => {
                if self.is_current(node, incarnation) && self.nodes[node].is_flushing {
                    self.crash(node);
                }
            }
            Event::Submit => {
                let (node, proposal) = self.client.submit();
                self.watch(Observation::Submitted { proposal: proposal.id() });
                self.take_in(node, Work::Proposal(Box::new(proposal)));
                let pause = self.client.pause();
                self.schedule(pause, Event::Submit);
            }
            Event::Crash => self.on_crash_due(),
            Event::Restart { node } => {
                if self.nodes[node].process.is_none() {
                    self.restart(node);
                }
            }
            Event::Partition => self.on_partition_due(),
            Event::Mend => self.network.mend(),
            Event::Heal => self.heal(),
            Event::Check => {}
        }
    }

    fn deliver(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        let numbers = [from as u64, to as u64, packet.fingerprint()];
        self.trace.add(self.at, &numbers, || format!("{from} -> {to}  {}", packet.describe()));
        self.take_in(to, Work::Packet(from, packet));
    }

    fn take_in(&mut self, node: NodeIndex, work: Work) {
        if let Some(process) = &mut self.nodes[node].process {
            process.accept(work);
            let gather = self.faults.within(0..=GATHER_MAX);
            self.wake(node, self.at + gather);
        }
    }

    fn wake(&mut self, node: NodeIndex, at: Micros) {
        let state = &mut self.nodes[node];
        let at = at.max(self.at);
        if state.wake_at.is_none_or(|known| at < known) {
            state.wake_at = Some(at);
            let incarnation = state.incarnation;
            self.schedule(at - self.at, Event::Wake { node, incarnation });
        }
    }

    /// After a node has worked: flush what must be durable, or let everything out at once.
    fn settle(&mut self, node: NodeIndex) {
        self.drain_observations(node);
        if self.nodes[node].is_flushing {
            return;
        }
        if !self.nodes[node].disk.is_dirty() {
            self.release(node, usize::MAX);
            return;
        }
        self.nodes[node].is_flushing = true;
        let incarnation = self.nodes[node].incarnation;
        let latency = self.faults.within(100..=self.scenario.flush_max);
        if self.goal.is_none() && self.faults.chance(self.scenario.faults.flush_crashes_per_mille) {
            self.schedule(latency / 2, Event::CrashDuringFlush { node, incarnation });
        }
        self.schedule(latency, Event::Flushed { node, incarnation });
    }

    fn on_flushed(&mut self, node: NodeIndex) {
        self.nodes[node].disk.flush();
        self.nodes[node].is_flushing = false;
        if self.goal.is_none() && self.faults.chance(self.scenario.faults.send_crashes_per_mille) {
            let sent = self.faults.index(8);
            self.release(node, sent);
            self.crash(node);
            return;
        }
        self.release(node, usize::MAX);
        self.nodes[node].work(self.at);
        self.settle(node);
    }

    /// Everything is durable: acknowledge, execute, and send the first `count` of the packets that waited.
    fn release(&mut self, node: NodeIndex, count: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        process.on_flushed();
        let outbox = process.take_outbox();
        let has_unexecuted = process.has_unexecuted();
        self.drain_observations(node);
        for (to, packet) in outbox.into_iter().take(count) {
            self.send(node, to, packet);
        }
        self.nodes[node].checkpoint_journal();
        if has_unexecuted && !self.nodes[node].is_executing {
            self.nodes[node].is_executing = true;
            let incarnation = self.nodes[node].incarnation;
            let time = self.faults.within(100..=self.scenario.execution_max);
            self.schedule(time, Event::Executed { node, incarnation });
        }
        if let Some(at) = self.nodes[node].next_wake() {
            self.wake(node, at);
        }
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        let Packet::Consensus(bytes) = &packet else {
            self.route(from, to, packet);
            return;
        };
        if let Some(actor) = self.scenario.byzantine.get(&from).copied() {
            let key =
                ActorKey { keypair: self.scenario.keypairs[from].clone(), domain: self.scenario.domain() };
            let Ok(message) = Message::decode(bytes) else { return };
            for message in actor.tamper(&key, to, message, &mut self.actors) {
                self.route(from, to, Packet::Consensus(message.encode().into()));
            }
            return;
        }
        let is_seen = self.last_sent.as_ref().is_some_and(|last| Rc::ptr_eq(last, bytes));
        if !is_seen && let Ok(message) = Message::decode(bytes) {
            self.last_sent = Some(bytes.clone());
            self.watch(Observation::Sent { node: from, message: Rc::new(message) });
        }
        self.route(from, to, packet);
    }

    fn route(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        self.counts.sent += 1;
        let delays = self.network.route(from, to);
        if delays.is_empty() {
            self.counts.lost += 1;
        }
        for delay in delays {
            self.schedule(delay, Event::Deliver { from, to, packet: packet.clone() });
        }
    }

    fn drain_observations(&mut self, node: NodeIndex) {
        let Some(process) = &mut self.nodes[node].process else { return };
        for observation in process.take_observations() {
            self.watch_of(node, observation);
        }
    }

    /// Byzantine nodes are not held to anything, but what they submit is submitted.
    fn watch_of(&mut self, node: NodeIndex, observation: Observation) {
        if self.scenario.is_correct(node) || matches!(observation, Observation::Submitted { .. }) {
            self.watch(observation);
        }
    }

    fn watch(&mut self, observation: Observation) {
        self.count(&observation);
        let (numbers, text) = super::trace::of_observation(&observation);
        self.trace.add(self.at, &numbers, text);
        for invariant in &mut self.invariants {
            if let Err(detail) = invariant.observe(&observation)
                && self.violation.is_none()
            {
                let (at, name) = (self.at, invariant.name());
                self.trace.add(at, &[u64::MAX], || format!("VIOLATION of {name}: {detail}"));
                self.violation = Some(Violation { invariant: name, detail, at });
            }
        }
    }

    fn count(&mut self, observation: &Observation) {
        match observation {
            Observation::Acknowledged { height, .. } => {
                self.counts.decisions = self.counts.decisions.max(height.0);
            }
            Observation::Executed { executed, .. } => {
                if let Some(next) = &executed.next_epoch {
                    self.counts.epochs = self.counts.epochs.max(next.validators.epoch().0);
                }
                if executed.height.0 > self.counts.executed {
                    self.counts.executed = executed.height.0;
                    let effects =
                        executed.receipts.iter().filter(|receipt| receipt.effect != Effect::None).count();
                    self.counts.proposals += effects as u64;
                }
            }
            Observation::Milestone { event, .. } => match event {
                Milestone::ViewChangeStarted { .. } => self.counts.view_changes += 1,
                Milestone::ViewEntered { .. } => self.counts.views_entered += 1,
                Milestone::EpochEntered { .. } => {}
            },
            Observation::Accused { .. } => self.counts.accusations += 1,
            Observation::Submitted { .. }
            | Observation::Started { .. }
            | Observation::Signed { .. }
            | Observation::Sent { .. }
            | Observation::Decided { .. }
            | Observation::Diverged { .. }
            | Observation::Broken { .. } => {}
        }
    }

    fn violate(&mut self, invariant: &'static str, detail: String) {
        self.trace.add(self.at, &[u64::MAX], || format!("VIOLATION of {invariant}: {detail}"));
        if self.violation.is_none() {
            self.violation = Some(Violation { invariant, detail, at: self.at });
        }
    }

    fn restart(&mut self, node: NodeIndex) {
        match self.nodes[node].start(self.at) {
            Ok(started) => self.watch_of(node, started),
            Err(reason) => self.watch(Observation::Broken { node, reason }),
        }
        self.settle(node);
        self.wake(node, self.at);
    }

    fn crash(&mut self, node: NodeIndex) {
        if self.nodes[node].process.is_none() {
            return;
        }
        self.counts.crashes += 1;
        self.trace.add(self.at, &[node as u64, 1], || format!("{node} crashes"));
        self.nodes[node].crash();
        let downtime = self.faults.within(10 * MILLI..=self.scenario.faults.downtime_max);
        self.schedule(downtime, Event::Restart { node });
    }

    fn on_crash_due(&mut self) {
        let Some(interval) = self.scenario.faults.crash_interval else { return };
        if self.goal.is_some() {
            return;
        }
        if self.faults.chance(self.scenario.faults.blackouts_per_mille) {
            for node in 0..self.nodes.len() {
                self.crash(node);
            }
        } else {
            let node = self.faults.index(self.nodes.len());
            self.crash(node);
        }
        let pause = around(interval, &mut self.faults);
        self.schedule(pause, Event::Crash);
    }

    fn on_partition_due(&mut self) {
        let Some(interval) = self.scenario.faults.partition_interval else { return };
        if self.goal.is_some() {
            return;
        }
        self.network.partition();
        self.trace.add(self.at, &[2], || "the network falls into parts".to_owned());
        let length = self.faults.within(100 * MILLI..=self.scenario.faults.partition_max);
        self.schedule(length, Event::Mend);
        let pause = around(interval, &mut self.faults);
        self.schedule(length + pause, Event::Partition);
    }

    /// The end of the safety phase: everybody is up, and the network delivers.
    fn heal(&mut self) {
        self.trace.add(self.at, &[3], || "all faults end".to_owned());
        self.network.heal(self.scenario.healed_links);
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_none() {
                self.restart(node);
            }
        }
        let correct = || (0..self.nodes.len()).filter(|node| self.scenario.is_correct(*node));
        let highest = correct().map(|node| self.nodes[node].durable_height().0).max().unwrap_or(0);
        let processes = correct().filter_map(|node| self.nodes[node].process.as_ref());
        self.goal = Some(Goal {
            since: self.at,
            height: highest + self.scenario.heights_after_healing,
            batches: processes.flat_map(|process| process.waiting_batches().collect::<Vec<_>>()).collect(),
        });
        self.schedule(CHECK_EVERY, Event::Check);
    }

    /// Whether every correct node has reached the goal; a violation if time is up.
    fn is_done(&mut self) -> bool {
        let Some(goal) = &self.goal else { return false };
        let laggard = (0..self.nodes.len()).filter(|node| self.scenario.is_correct(*node)).find(|node| {
            let state = &self.nodes[*node];
            state.durable_height().0 < goal.height
                || state
                    .process
                    .as_ref()
                    .is_none_or(|process| goal.batches.iter().any(|digest| !process.has_ordered(digest)))
        });
        let waited = self.at - goal.since;
        let Some(laggard) = laggard else {
            self.counts.recovery = waited;
            return true;
        };
        if waited > self.scenario.patience {
            let height = goal.height;
            let heights: Vec<u64> = self.nodes.iter().map(|node| node.durable_height().0).collect();
            self.violate(
                "liveness",
                format!(
                    "node {laggard} has not reached height {height} with all batches in time: {heights:?}"
                ),
            );
        }
        false
    }
}
