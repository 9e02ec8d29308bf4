//! When validators decide, by arithmetic: PrePrepare, Prepare, Commit over one-way delays, and nothing else takes time.
//!
//! The model of AWARE (Berger, Reiser, Sousa, Bessani: "AWARE: Adaptive Wide-Area Replication for Fast and Resilient
//! Byzantine Consensus", TDSC 2020).

use aegis_types::Weight;

use super::deployment::Deployment;
use crate::sim::clock::Micros;

/// When each validator decides after the leader has sent its PrePrepare, in microseconds.
pub fn decisions(deployment: &Deployment, weights: &[Weight], leader: usize) -> Vec<Micros> {
    let total: u64 = weights.iter().map(|weight| weight.0).sum();
    let quorum = total - (total - 1) / 3;
    let nodes = 0..deployment.size();
    let proposed: Vec<Micros> = nodes.clone().map(|node| deployment.delay(leader, node)).collect();
    let prepared: Vec<Micros> =
        nodes.clone().map(|node| arrival(deployment, weights, quorum, &proposed, node)).collect();
    nodes.map(|node| arrival(deployment, weights, quorum, &prepared, node)).collect()
}

/// The mean of them over all validators, in microseconds.
pub fn mean(deployment: &Deployment, weights: &[Weight], leader: usize) -> f64 {
    let decisions = decisions(deployment, weights, leader);
    decisions.iter().sum::<Micros>() as f64 / decisions.len().max(1) as f64
}

/// The leader of these under whom decisions come soonest.
pub fn best_leader(deployment: &Deployment, weights: &[Weight], leaders: &[usize]) -> usize {
    let mean = |leader: &usize| mean(deployment, weights, *leader);
    leaders.iter().copied().min_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap_or_default()
}

/// When votes of a quorum have arrived at a validator that all send at these times.
fn arrival(deployment: &Deployment, weights: &[Weight], quorum: u64, sent: &[Micros], at: usize) -> Micros {
    let mut votes: Vec<(Micros, u64)> = sent
        .iter()
        .enumerate()
        .map(|(from, sent)| (sent + deployment.delay(from, at), weights[from].0))
        .collect();
    votes.sort_unstable();
    let mut weight = 0;
    votes
        .into_iter()
        .find_map(|(time, vote)| {
            weight += vote;
            (weight >= quorum).then_some(time)
        })
        .unwrap_or(Micros::MAX)
}
