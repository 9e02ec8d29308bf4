//! The world that ties nodes, network, clients and faults together, and lets the invariants watch.
//!
//! | file | responsibility |
//! |---|---|
//! | `queue.rs` | what happens next |
//! | `mod.rs` | deliver, work, flush, execute, send |
//! | `byzantine.rs` | what actors do to their nodes' messages |
//! | `adversity.rs` | what an adversary drops, and whom it strikes |
//! | `breakage.rs` | crashes, pauses, partitions, failing disks, jumping clocks |
//! | `phases.rs` | the end of the safety phase, and what the liveness phase waits for |
//! | `watching.rs` | observations, invariants, counts |

mod adversity;
mod breakage;
mod byzantine;
mod latency_meter;
mod phases;
mod queue;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aegis_types::simulation;

use super::adversary::{self, Adversary};
use super::client::Client;
use super::clock::{MILLI, Micros};
use super::disk::Part;
use super::encoded::EncodedMessage;
use super::invariants::{self, Invariant, Observation};
use super::network::Network;
use super::node::Node;
use super::options::Options;
use super::packet::Packet;
use super::process::Work;
use super::report::{Counts, Report, Violation};
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};
use super::trace::{Recording, Trace};

use byzantine::Host;
use latency_meter::LatencyMeter;
use phases::Goal;
use queue::{Event, Queue};

/// How often the run looks whether a phase is over.
const CHECK_EVERY: Micros = 100 * MILLI;
/// How often Byzantine nodes do something by themselves.
const ACT_EVERY: Micros = 250 * MILLI;
/// Longest time for which a process lets arrivals gather before it handles them.
const GATHER_MAX: Micros = 300;
/// A run with more events than this is a storm of messages: itself a failure.
const EVENTS_MAX: u64 = 8_000_000;

struct World {
    scenario: Rc<Scenario>,
    options: Options,
    nodes: Vec<Node>,
    network: Network,
    client: Client,
    faults: Rng,
    hosts: BTreeMap<NodeIndex, Host>,
    adversary: Option<Box<dyn Adversary>>,
    queue: Queue,
    at: Micros,
    goal: Option<Goal>,
    /// Timed faults so far: their numbers.
    faults_seen: u64,
    /// Nodes whose durable bytes were changed.
    damaged: BTreeSet<NodeIndex>,
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
    trace: Trace,
    counts: Counts,
    /// The message that was last looked at when they left a node: a broadcast is one observation.
    last_sent: Option<Rc<EncodedMessage>>,
    latency: LatencyMeter,
}

/// Runs a seed.
pub fn run(seed: u64, options: &Options, recording: Recording) -> Report {
    run_scenario(Scenario::new(seed, options), options, recording)
}

/// Runs a setting.
pub fn run_scenario(scenario: Scenario, options: &Options, recording: Recording) -> Report {
    simulation::remember(|| {
        let scenario = Rc::new(scenario);
        let mut world = World::new(&scenario, options, recording);
        world.run();
        world.counts.note_signatures(simulation::counts());
        let trace_hash = world.trace.hash();
        let mut trace = Vec::new();
        if recording == Recording::Text {
            trace.push(scenario.describe());
            trace.extend(world.trace.into_lines());
        }
        let faults = world.faults_seen;
        Report {
            seed: scenario.seed,
            violation: world.violation,
            trace_hash,
            trace,
            faults,
            counts: world.counts,
            latencies: world.latency.into_latencies(),
        }
    })
}

impl World {
    fn new(scenario: &Rc<Scenario>, options: &Options, recording: Recording) -> Self {
        let nodes = scenario.keypairs.len();
        let network = Rng::new(scenario.seed, "network");
        Self {
            nodes: (0..nodes).map(|index| Node::new(index, scenario)).collect(),
            network: Network::new(nodes, scenario.links, scenario.spread, options, network),
            client: Client::new(scenario),
            faults: Rng::new(scenario.seed, "faults"),
            hosts: byzantine::hosts(scenario),
            adversary: adversary::of(scenario),
            queue: Queue::default(),
            at: 0,
            goal: None,
            faults_seen: 0,
            damaged: BTreeSet::new(),
            invariants: invariants::all(scenario),
            violation: None,
            trace: Trace::new(recording),
            counts: Counts::default(),
            last_sent: None,
            latency: LatencyMeter::new(scenario.measures_latency),
            scenario: scenario.clone(),
            options: options.clone(),
        }
    }

    fn run(&mut self) {
        self.counts.seeds = 1;
        for node in 0..self.nodes.len() {
            self.restart(node);
        }
        self.schedule(0, Event::Submit);
        self.schedule(CHECK_EVERY, Event::Check);
        let actors: Vec<NodeIndex> = self.hosts.keys().copied().collect();
        for node in actors {
            self.schedule(ACT_EVERY, Event::Act { node });
        }
        self.schedule_first_faults();
        let mut events = 0;
        while let Some((at, event)) = self.queue.pop() {
            self.at = at;
            events += 1;
            if events > EVENTS_MAX {
                self.violate("bounded traffic", format!("more than {EVENTS_MAX} events"));
            }
            if let Event::Check = event {
                if self.check_phase() {
                    break;
                }
                self.schedule(CHECK_EVERY, Event::Check);
            } else {
                self.handle(event);
            }
            if self.violation.is_some() {
                break;
            }
        }
        self.counts.events = events;
        self.counts.virtual_time = self.at;
    }

    fn schedule(&mut self, after: Micros, event: Event) {
        self.queue.push(self.at + after, event);
    }

    /// Whether an event is for the process that runs now; one for a process that stands still comes again later.
    fn is_current(&mut self, node: NodeIndex, incarnation: u64, event: Event) -> bool {
        let state = &self.nodes[node];
        if state.incarnation != incarnation || state.process.is_none() {
            return false;
        }
        let paused_until = state.paused_until;
        if paused_until > self.at {
            self.queue.push(paused_until, event);
            return false;
        }
        true
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Event::Wake { node, incarnation } => {
                if self.nodes[node].incarnation == incarnation && self.nodes[node].wake_at == Some(self.at) {
                    self.nodes[node].wake_at = Some(self.at.max(self.nodes[node].paused_until));
                    if self.is_current(node, incarnation, event) {
                        self.nodes[node].wake_at = None;
                        if !self.nodes[node].is_flushing {
                            self.work(node);
                        }
                    }
                }
            }
            Event::Flushed { node, incarnation } => {
                if self.is_current(node, incarnation, event) {
                    self.on_flushed(node);
                }
            }
            Event::Executed { node, incarnation } => {
                if self.is_current(node, incarnation, event) {
                    self.on_executed(node);
                }
            }
            Event::Submit => {
                let (node, proposal) = self.client.submit();
                self.watch(Observation::Submitted { proposal: proposal.id() });
                self.take_in(node, Work::Proposal(Box::new(proposal)));
                let pause = self.client.pause();
                self.schedule(pause, Event::Submit);
            }
            Event::Act { node } => self.act(node),
            Event::Fault(kind) => self.on_fault_due(kind),
            Event::Strike { node } => {
                if self.is_breaking() {
                    self.crash(node);
                }
            }
            Event::Restart { node } => {
                if self.nodes[node].process.is_none() && !self.nodes[node].is_gone {
                    self.restart(node);
                }
            }
            Event::Mend => self.network.mend(),
            Event::SpeedUp => self.network.speed_up(),
            Event::Check => {}
        }
    }

    fn deliver(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        let numbers = [from as u64, to as u64, packet.fingerprint()];
        self.trace.add(self.at, &numbers, || format!("{from} -> {to}  {}", packet.describe()));
        self.overhear(to, &packet);
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
        let at = at.max(self.at);
        let state = &mut self.nodes[node];
        if state.wake_at.is_none_or(|known| at < known) {
            state.wake_at = Some(at);
            let incarnation = state.incarnation;
            self.queue.push(at, Event::Wake { node, incarnation });
        }
    }

    fn work(&mut self, node: NodeIndex) {
        let moment = self.nodes[node].moment(self.at);
        if let Some(process) = &mut self.nodes[node].process {
            process.work(moment);
        }
        self.settle(node);
    }

    /// After a node has worked: flush what must be durable, or let everything out at once.
    fn settle(&mut self, node: NodeIndex) {
        self.drain_observations(node);
        if self.nodes[node].is_flushing {
            return;
        }
        let Some(process) = &self.nodes[node].process else { return };
        if !process.is_dirty() {
            self.release(node, usize::MAX);
            return;
        }
        self.nodes[node].is_flushing = true;
        let incarnation = self.nodes[node].incarnation;
        let latency = self.faults.within(100..=self.scenario.flush_max);
        self.stop_disk_perhaps(node, Part::Journal);
        self.schedule(latency, Event::Flushed { node, incarnation });
    }

    fn on_flushed(&mut self, node: NodeIndex) {
        self.nodes[node].is_flushing = false;
        self.counts.journal_flushes += 1;
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.flush_journal().is_err() {
            return self.fail(node);
        }
        if self.is_breaking() && self.faults.chance(self.scenario.faults.send_crashes_per_mille) {
            let sent = self.faults.index(8);
            self.release(node, sent);
            self.crash(node);
            return;
        }
        self.release(node, usize::MAX);
        self.work(node);
    }

    /// Everything that was promised is durable: hand blocks to the executor, and send the first `count` of the packets that
    /// waited.
    fn release(&mut self, node: NodeIndex, count: usize) {
        let Some(process) = &mut self.nodes[node].process else { return };
        let outbox = process.release();
        let has_unexecuted = process.has_unexecuted();
        self.drain_observations(node);
        for (to, packet) in outbox.into_iter().take(count) {
            self.send(node, to, packet);
        }
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.checkpoint().is_err() {
            return self.fail(node);
        }
        if has_unexecuted && !self.nodes[node].is_executing {
            self.nodes[node].is_executing = true;
            let incarnation = self.nodes[node].incarnation;
            let time = self.faults.within(100..=self.scenario.execution_max);
            self.stop_disk_perhaps(node, Part::Log);
            self.schedule(time, Event::Executed { node, incarnation });
        }
        if let Some(at) = self.nodes[node].next_wake() {
            self.wake(node, at);
        }
    }

    fn on_executed(&mut self, node: NodeIndex) {
        self.nodes[node].is_executing = false;
        self.counts.log_flushes += 1;
        let moment = self.nodes[node].moment(self.at);
        let Some(process) = &mut self.nodes[node].process else { return };
        let outcome = process.execute(moment);
        self.drain_observations(node);
        if outcome.is_err() {
            return self.fail(node);
        }
        self.settle(node);
    }

    fn send(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        if self.hosts.contains_key(&from) {
            return self.send_as_actor(from, to, packet);
        }
        if self.scenario.is_correct(from) {
            self.watch_sent(from, &packet);
        }
        self.route(from, to, packet, 0);
    }

    fn route(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet, held_back: Micros) {
        self.counts.note_sent(&packet);
        if self.is_dropped(from, to, &packet) {
            self.counts.lost += 1;
            return;
        }
        let [first, second] = self.network.route(from, to);
        if let Some(delay) = second {
            self.schedule(held_back + delay, Event::Deliver { from, to, packet: packet.clone() });
        }
        match first {
            Some(delay) => self.schedule(held_back + delay, Event::Deliver { from, to, packet }),
            None => self.counts.lost += 1,
        }
    }
}
