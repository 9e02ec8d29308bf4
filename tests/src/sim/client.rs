//! Clients: they submit proposals to nodes, now and then the same one to several.

use std::collections::BTreeMap;

use aegis_types::{Domain, Keypair, Parameter, Proposal, ProposalBody, Weight};

use super::clock::{GENESIS_UNIX_MS, Micros};
use super::rng::Rng;
use super::scenario::{NodeIndex, Scenario};

/// Of a thousand submissions, how many repeat an older proposal.
const REPEATS_PER_MILLE: u64 = 150;
/// Of a thousand fresh proposals, how many change the validator set, in runs that change it.
const SET_CHANGES_PER_MILLE: u64 = 120;
/// Few keys, so that writes meet.
const KEYS: usize = 8;

/// All clients of a run.
#[derive(Debug, Clone)]
pub struct Client {
    rng: Rng,
    domain: Domain,
    accounts: Vec<Keypair>,
    expires_at_ms: u64,
    submitted: Vec<Proposal>,
    /// What [`Client::set_change`] may do to each node.
    candidates: BTreeMap<NodeIndex, Candidate>,
    scenario: Scenario,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidate {
    /// Weight may rise and fall, and the node may be removed.
    Free,
    /// The node may only be added: with Byzantine validators about, their share must not grow.
    OnlyAdd,
}

impl Client {
    /// The clients of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let rng = Rng::new(scenario.seed, "client");
        let accounts = scenario.accounts.clone();
        let genesis_members = scenario.genesis.validators.len();
        let candidate = |node| {
            if scenario.byzantine.is_empty() && scenario.unreliable.is_empty() {
                Some((node, Candidate::Free))
            } else if node >= genesis_members {
                Some((node, Candidate::OnlyAdd))
            } else {
                None
            }
        };
        Self {
            rng,
            domain: scenario.domain(),
            accounts,
            expires_at_ms: GENESIS_UNIX_MS + 50 * 60 * 1_000,
            submitted: Vec::new(),
            candidates: (0..scenario.keypairs.len())
                .filter(|node| !is_twin(scenario, *node))
                .filter_map(candidate)
                .collect(),
            scenario: scenario.clone(),
        }
    }

    /// The clients' accounts.
    pub fn accounts(&self) -> &[Keypair] {
        &self.accounts
    }

    /// How long to wait before the next submission.
    pub fn pause(&mut self) -> Micros {
        super::faults::around(self.scenario.proposal_interval, &mut self.rng)
    }

    /// The next proposal, and the node that it goes to.
    pub fn submit(&mut self) -> (NodeIndex, Proposal) {
        let node = self.rng.index(self.scenario.keypairs.len());
        if !self.submitted.is_empty() && self.rng.chance(REPEATS_PER_MILLE) {
            let index = self.rng.index(self.submitted.len());
            return (node, self.submitted[index].clone());
        }
        let account = self.rng.index(self.accounts.len());
        let body = self.body();
        let key = format!("request {}", self.submitted.len());
        let proposal = Proposal::sign(body, self.expires_at_ms, key, &self.accounts[account], &self.domain)
            .expect("the client's proposals are well formed");
        self.submitted.push(proposal.clone());
        (node, proposal)
    }

    fn body(&mut self) -> ProposalBody {
        if self.scenario.changes_validators
            && self.rng.chance(SET_CHANGES_PER_MILLE)
            && let Some(body) = self.set_change()
        {
            return body;
        }
        let key = format!("key {}", self.rng.index(KEYS));
        match self.rng.index(8) {
            0 => ProposalBody::KvDelete { key },
            1 => ProposalBody::KvCas { key, expected_version: self.rng.within(0..=9), value: vec![1] },
            _ => ProposalBody::KvPut { key, value: self.rng.draw().to_le_bytes().to_vec() },
        }
    }

    fn set_change(&mut self) -> Option<ProposalBody> {
        if self.rng.chance(200) {
            let window = self.rng.within(1..=8).to_string();
            return Some(ProposalBody::ParamSet { name: Parameter::Window.to_string(), value: window });
        }
        let nodes: Vec<NodeIndex> = self.candidates.keys().copied().collect();
        let node = self.rng.pick(&nodes)?;
        let validator = self.scenario.validator(node);
        let weights: Vec<u64> =
            self.scenario.genesis.validators.members().iter().map(|member| member.weight.0).collect();
        let weight = Weight(self.rng.pick(&weights)?);
        match self.candidates.get(&node)? {
            Candidate::Free if self.rng.chance(400) => Some(ProposalBody::ValidatorRemove { validator }),
            Candidate::Free => Some(ProposalBody::ValidatorAdd { validator, weight }),
            Candidate::OnlyAdd => Some(ProposalBody::ValidatorAdd { validator, weight }),
        }
    }
}

fn is_twin(scenario: &Scenario, node: NodeIndex) -> bool {
    scenario.nodes_of(&scenario.validator(node)).first() != Some(&node)
}
