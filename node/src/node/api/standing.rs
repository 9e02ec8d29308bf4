//! Where the node and its network stand.

use aegis_consensus::EngineStatus;
use aegis_rpc::api::{
    ApiError, Direction, Mempool, NetworkStatus, Peer, Readiness, Role, Status, Syncing, TorState,
    ValidatorInfo, Validators,
};
use aegis_types::{Height, ValidatorId, Weight};

use super::Api;
use crate::node::driver::gauge_value;

/// A validator counts as alive when it voted for one of this many newest heights.
const ALIVE_HEIGHTS: u64 = 8;
/// A node counts as behind when the network has so many more blocks.
const BEHIND_HEIGHTS: u64 = 3;
/// Without a new block for an idle interval and so many view timeouts, a node is not ready: agreement stands still, or the
/// node is cut off. One dead leader costs one timeout and a little.
const SILENT_TIMEOUTS: u64 = 3;

impl Api {
    pub(super) async fn own_status(&self) -> Result<Status, ApiError> {
        let node = &self.node;
        let agreement = node.agreement.borrow().clone();
        let standing = node.standing.borrow().clone();
        let me = node.node_key.validator_id();
        let set = &agreement.validators;
        let alive = self.weight_alive();
        let (proposals, _) = node.mempool.size();
        let (batches, bytes) = node.pool.size();
        let endpoint =
            self.endpoint.get().map(|endpoint| format!("{}://{}", endpoint.scheme, endpoint.address));
        let endpoint = endpoint.unwrap_or_default();
        let data = self.data.clone();
        let store_bytes =
            tokio::task::spawn_blocking(move || folder_bytes(&data)).await.map_err(super::internal)?;
        Ok(Status {
            chain_id: node.genesis.chain.clone(),
            genesis: node.genesis.hash(),
            node_id: me,
            peer_id: aegis_p2p::peer_id_of(&me).to_string(),
            account: node.account_key.account_id(),
            // Also one that is silent for a while: its weight counts.
            role: if set.contains(&me) { Role::Validator } else { Role::Observer },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            height: agreement.tip.0,
            block_digest: agreement.tip.1,
            executed_height: standing.executed.height,
            state_root: standing.executed.state_root,
            epoch: set.epoch(),
            view: agreement.view,
            view_changing: agreement.target.is_some(),
            leader: Some(agreement.leader),
            weight: set.weight_of(&me),
            total_weight: set.total(),
            quorum: set.quorum(),
            max_faulty: set.max_faulty(),
            weight_alive: alive,
            weight_may_still_fail: alive.minus(set.quorum()),
            syncing: self.syncing(),
            peers: count(node.network.connected()),
            listen_addresses: node.network.listen_addresses().await.iter().map(ToString::to_string).collect(),
            rest_endpoint: endpoint.clone(),
            grpc_endpoint: endpoint,
            agreed_time_ms: agreement.tip.2,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            mempool: Mempool { proposals, batches, bytes },
            store_bytes,
            first_height: node.log.first(),
            read_only: node.condition.trouble(),
            silent: silence(&agreement),
            unpruned: node.held_back.borrow().map(str::to_owned),
            tor: node.network.tor_status().map(tor_state),
        })
    }

    pub(super) async fn connected_peers(&self) -> Vec<Peer> {
        let set = self.node.agreement.borrow().validators.clone();
        let peers = self.node.network.peers().await;
        let convert = |peer: aegis_p2p::PeerInfo| Peer {
            node_id: Some(peer.id),
            is_validator: set.contains(&peer.id),
            address: peer.addresses.first().map(ToString::to_string).unwrap_or_default(),
            transport: peer.transport.to_string(),
            direction: match peer.direction {
                aegis_p2p::Direction::Inbound => Direction::Inbound,
                aegis_p2p::Direction::Outbound => Direction::Outbound,
            },
            latency_us: peer.latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            agent: Some(peer.agent).filter(|agent| !agent.is_empty()),
            height: self.node.sync.claim(&peer.id),
            connected_ms: peer
                .connected_since
                .elapsed()
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            peer_id: peer.peer_id,
        };
        peers.into_iter().map(convert).collect()
    }

    pub(super) fn current_validators(&self) -> Validators {
        let agreement = self.node.agreement.borrow().clone();
        let me = self.node.node_key.validator_id();
        let set = &agreement.validators;
        let total = set.total().0.max(1);
        let members = set.members().iter().map(|member| ValidatorInfo {
            id: member.validator,
            name: self.names.get(&member.validator).cloned(),
            weight: member.weight,
            share: share(member.weight.0, total),
            is_leader: member.validator == agreement.leader,
            is_self: member.validator == me,
            connected: member.validator == me || self.node.network.is_connected(&member.validator),
            last_voted_height: agreement.last_voted.get(&member.validator).copied(),
            alive: self.is_alive(&member.validator),
        });
        Validators {
            epoch: set.epoch(),
            total_weight: set.total(),
            quorum: set.quorum(),
            max_faulty: set.max_faulty(),
            members: members.collect(),
            // Read from agreed state, where reading may block.
            pending: Vec::new(),
        }
    }

    pub(super) fn current_readiness(&self) -> Readiness {
        let agreement = self.node.agreement.borrow().clone();
        let mut reasons = Vec::new();
        if let Some(trouble) = self.node.condition.trouble() {
            reasons.push(format!("read-only: {trouble}"));
        }
        if let Some((target, _)) = self.node.sync.target(agreement.tip.0, &agreement.validators)
            && target.distance_above(agreement.tip.0) > BEHIND_HEIGHTS
        {
            reasons.push(format!("catching up: at height {} of {target}", agreement.tip.0));
        }
        if let Some(age) = self.silence_ms() {
            reasons.push(format!(
                "no block for {} s: fewer validators than a quorum are alive, or this node is cut off",
                age / 1_000
            ));
        }
        if reasons.is_empty() { Readiness::ready() } else { Readiness::not_ready(reasons) }
    }

    pub(super) fn current_network_status(&self) -> NetworkStatus {
        let agreement = self.node.agreement.borrow().clone();
        let set = &agreement.validators;
        let alive = self.weight_alive();
        let living = set.members().iter().filter(|member| self.is_alive(&member.validator)).count();
        NetworkStatus {
            chain_id: self.node.genesis.chain.clone(),
            node_id: self.node.node_key.validator_id(),
            height: agreement.tip.0,
            epoch: set.epoch(),
            view: agreement.view,
            leader: Some(agreement.leader),
            peers: count(self.node.network.connected()),
            validators: count(set.len()),
            validators_alive: count(living),
            weight_alive: alive,
            quorum: set.quorum(),
            total_weight: set.total(),
            can_decide: alive >= set.quorum() && self.silence_ms().is_none(),
            syncing: self.syncing().active,
        }
    }

    pub(super) fn refresh_telemetry(&self) {
        let telemetry = &self.node.telemetry;
        telemetry.proposals_pending.set(gauge_value(self.node.mempool.size().0));
        telemetry.batches_held.set(gauge_value(self.node.pool.size().0));
        telemetry.peers.set(gauge_value(u64::from(count(self.node.network.connected()))));
        telemetry
            .network_sent
            .inner()
            .store(self.node.network.bytes_sent(), std::sync::atomic::Ordering::Relaxed);
        if let Some(tor) = self.node.network.tor_status() {
            telemetry.tor.set(&tor);
        }
        let agreement = self.node.agreement.borrow();
        telemetry.committed_height.set(gauge_value(agreement.tip.0.0));
        telemetry.epoch.set(gauge_value(agreement.validators.epoch().0));
        telemetry.view.set(gauge_value(agreement.view.0));
        let me = self.node.node_key.validator_id();
        telemetry.weight.set(gauge_value(agreement.validators.weight_of(&me).0));
        drop(agreement);
        telemetry.metrics.set(&self.node.integration_metrics());
    }

    /// The newest block's age, when it is more than an idle network with a view change or two explains.
    fn silence_ms(&self) -> Option<u64> {
        let standing = self.node.standing.borrow();
        let parameter = |parameter| standing.epoch.parameters.get(parameter);
        let idle = parameter(aegis_types::Parameter::IdleIntervalMs);
        let timeout = parameter(aegis_types::Parameter::ViewTimeoutMs);
        let patience = idle.saturating_add(timeout.saturating_mul(SILENT_TIMEOUTS));
        let age = crate::node::clock::unix_ms().saturating_sub(self.node.agreement.borrow().tip.2);
        (age > patience).then_some(age)
    }

    fn syncing(&self) -> Syncing {
        let agreement = self.node.agreement.borrow();
        let tip = agreement.tip.0;
        let snapshot = self.node.state_sync.progress.borrow().map(|progress| progress.report());
        match self.node.sync.target(tip, &agreement.validators) {
            Some((target, peers)) if target.distance_above(tip) > BEHIND_HEIGHTS => {
                Syncing { active: true, target_height: Some(target), peers: count(peers), snapshot }
            }
            Some(_) | None => Syncing { active: snapshot.is_some(), snapshot, ..Syncing::default() },
        }
    }

    /// Whether a validator was seen voting lately. An observer sees no votes and goes by connections.
    fn is_alive(&self, validator: &ValidatorId) -> bool {
        let agreement = self.node.agreement.borrow();
        if !agreement.is_member {
            return self.node.network.is_connected(validator);
        }
        let is_self = *validator == self.node.node_key.validator_id();
        let newest = agreement.tip.0.next();
        let last = agreement.last_voted.get(validator).copied();
        let voted = last.is_some_and(|last: Height| newest.distance_above(last) <= ALIVE_HEIGHTS);
        is_self || (voted && self.node.network.is_connected(validator))
    }

    fn weight_alive(&self) -> Weight {
        let set = self.node.agreement.borrow().validators.clone();
        set.members()
            .iter()
            .filter(|member| self.is_alive(&member.validator))
            .fold(Weight::ZERO, |sum, member| sum.plus(member.weight))
    }
}

fn tor_state(status: aegis_p2p::TorStatus) -> TorState {
    TorState {
        mode: status.mode.to_string(),
        onion_address: status.onion_address.to_string(),
        percent: u32::from(status.percent),
        phase: status.phase,
        blocked: status.blocked,
        reachable: status.is_reachable,
        service: status.service.to_string(),
        problem: status.problem,
        circuits: count(status.circuits),
        client_key: status.client_key,
    }
}

/// Why a validator does not vote, if it is kept from it.
fn silence(agreement: &EngineStatus) -> Option<String> {
    let (floor, epoch, tip) = (agreement.floor, agreement.validators.epoch(), agreement.tip.0);
    if floor.allows(epoch, tip) {
        return agreement.votes_from.map(|height| {
            format!(
                "its committed log was lost and its votes reach far above what is left; it votes again from block {height} on"
            )
        });
    }
    Some(if floor.is_unknown() {
        "votes of this node may be lost; it is finding out from which epoch on it may vote".to_owned()
    } else if epoch < floor.epoch {
        format!("votes of this node may be lost; it votes again from epoch {} on", floor.epoch)
    } else {
        format!("its committed log was lost; it votes again from block {} on", floor.height)
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a share is for display")]
fn share(part: u64, total: u64) -> f64 {
    part as f64 / total as f64
}

/// The size of all files below a folder; what cannot be read counts nothing.
fn folder_bytes(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
