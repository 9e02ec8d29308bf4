//! Byzantine nodes: a correct node whose messages pass through its actors.

use std::collections::BTreeMap;
use std::rc::Rc;

use aegis_consensus::Message;
use aegis_types::{CommittedBlock, Parameter};

use super::{ACT_EVERY, Event, World};
use crate::sim::actors::{Actor, ActorKey, Deed, Held, Stage};
use crate::sim::clock::{MILLI, Micros};
use crate::sim::encoded::EncodedMessage;
use crate::sim::packet::Packet;
use crate::sim::process::Process;
use crate::sim::rng::Rng;
use crate::sim::scenario::{NodeIndex, Scenario};

/// A Byzantine node's actors and what they need.
pub(super) struct Host {
    actors: Vec<Box<dyn Actor>>,
    key: ActorKey,
    rng: Rng,
    timeout: Micros,
}

impl Host {
    fn stage<'a>(&'a mut self, world: &'a Surroundings<'a>) -> (Stage<'a>, &'a mut Vec<Box<dyn Actor>>) {
        let stage = Stage {
            me: world.node,
            nodes: world.scenario.keypairs.len(),
            key: &self.key,
            engine: world.process.engine(),
            victim: world.scenario.accounts[0].account_id(),
            timeout: self.timeout,
            rng: &mut self.rng,
        };
        (stage, &mut self.actors)
    }
}

/// The node that an actor sits in.
struct Surroundings<'a> {
    node: NodeIndex,
    scenario: &'a Scenario,
    process: &'a Process,
}

/// The hosts of a scenario: the Byzantine nodes whose way of being so needs code.
pub(super) fn hosts(scenario: &Scenario) -> BTreeMap<NodeIndex, Host> {
    let mut hosts = BTreeMap::new();
    for (node, kinds) in &scenario.byzantine {
        let actors: Vec<Box<dyn Actor>> = kinds.iter().filter_map(|kind| kind.actor()).collect();
        if !actors.is_empty() {
            let key = ActorKey { keypair: scenario.keypairs[*node].clone(), domain: scenario.domain() };
            let rng = Rng::new(scenario.seed, &format!("actor {node}"));
            let timeout = scenario.genesis.parameters.get(Parameter::ViewTimeoutMs) * MILLI;
            hosts.insert(*node, Host { actors, key, rng, timeout });
        }
    }
    hosts
}

impl World {
    /// What a Byzantine node sends in the place of what its node wants to send.
    pub(super) fn send_as_actor(&mut self, from: NodeIndex, to: NodeIndex, packet: Packet) {
        let (Some(host), Some(process)) = (self.hosts.get_mut(&from), &self.nodes[from].process) else {
            return;
        };
        let surroundings = Surroundings { node: from, scenario: &self.scenario, process };
        let (mut stage, actors) = host.stage(&surroundings);
        let Packet::Consensus(encoded) = &packet else {
            if actors.iter_mut().all(|actor| actor.lets_out(&mut stage, to, &packet)) {
                self.route(from, to, packet, 0);
            }
            return;
        };
        let Ok(message) = encoded.message() else { return };
        let mut held: Vec<Held> = vec![(Message::clone(message), 0)];
        for actor in actors {
            let before = std::mem::take(&mut held);
            for (message, delay) in before {
                let after = actor.tamper(&mut stage, to, message);
                held.extend(after.into_iter().map(|(message, more)| (message, delay + more)));
            }
        }
        for (message, delay) in held {
            self.route(from, to, Packet::of(&message), delay);
        }
    }

    /// Lets the actors of a node hear what reaches it.
    pub(super) fn overhear(&mut self, node: NodeIndex, packet: &Packet) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        match packet {
            Packet::Consensus(encoded) => {
                if let Ok(message) = encoded.message() {
                    host.actors.iter_mut().for_each(|actor| actor.overhear(message));
                }
            }
            Packet::Blocks(blocks) => {
                for block in blocks.iter() {
                    host.actors.iter_mut().for_each(|actor| actor.overhear_block(block));
                }
            }
            Packet::Batch(_) | Packet::FetchBatches(_) | Packet::FetchBlocks { .. } => {}
        }
    }

    /// Lets the actors of a node hear what it decided itself.
    pub(super) fn overhear_decided(&mut self, node: NodeIndex, block: &CommittedBlock) {
        if let Some(host) = self.hosts.get_mut(&node) {
            host.actors.iter_mut().for_each(|actor| actor.overhear_block(block));
        }
    }

    /// What a Byzantine node does by itself.
    pub(super) fn act(&mut self, node: NodeIndex) {
        self.schedule(ACT_EVERY, Event::Act { node });
        let (Some(host), Some(process)) = (self.hosts.get_mut(&node), &self.nodes[node].process) else {
            return;
        };
        let surroundings = Surroundings { node, scenario: &self.scenario, process };
        let (mut stage, actors) = host.stage(&surroundings);
        let deeds: Vec<Deed> = actors.iter_mut().flat_map(|actor| actor.act(&mut stage)).collect();
        let last = self.nodes.len().saturating_sub(1);
        for deed in deeds {
            match deed {
                Deed::Send(to, message) => {
                    self.route(node, to.min(last), Packet::of(&message), 0);
                }
                Deed::SendBytes(to, bytes) => {
                    self.route(node, to.min(last), Packet::Consensus(Rc::new(EncodedMessage::new(bytes))), 0)
                }
                Deed::SendBlock(to, block) => {
                    self.route(node, to.min(last), Packet::Blocks([Rc::new(*block)].into()), 0);
                }
                Deed::Propose(body) => {
                    if let Some(process) = &mut self.nodes[node].process {
                        process.propose(*body);
                    }
                }
            }
        }
    }

    /// What a Byzantine node does when its process has started.
    pub(super) fn corrupt(&mut self, node: NodeIndex) {
        let (Some(host), Some(process)) = (self.hosts.get_mut(&node), &self.nodes[node].process) else {
            return;
        };
        let surroundings = Surroundings { node, scenario: &self.scenario, process };
        let (stage, actors) = host.stage(&surroundings);
        let censored = actors.iter().find_map(|actor| actor.censors(&stage));
        if let (Some(account), Some(process)) = (censored, &mut self.nodes[node].process) {
            process.censor(account);
        }
    }
}
