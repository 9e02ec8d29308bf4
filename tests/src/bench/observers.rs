//! How a block spreads among very many observers: a simulation of gossip.
//!
//! Nodes stand in the cities of [`CITIES`](crate::sim::cities). Each forwards a block, when it first has it, to the peers of its mesh
//! but the one that it came from, as gossipsub does; meshes are random and of the size that the node's gossip has. A block takes its
//! bytes' time on each sender's line, one copy after the other, then the way, then a check of its certificate. Every copy
//! beyond the first is waste, and counted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use crate::sim::clock::Micros;
use crate::sim::delays::DelayTable;
use crate::sim::rng::Rng;

/// Peers of a node's mesh: gossipsub's default.
const MESH: usize = 6;
/// Validators that have the block first.
const VALIDATORS: usize = 4;
/// Bits a second that an observer can send.
const LINE_BITS_PER_SECOND: u64 = 100_000_000;
/// Of so many nodes 99 have a block.
const PER_CENT: usize = 99;

/// What a block's spreading came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Nodes.
    pub observers: usize,
    /// Bytes of the block.
    pub bytes: u64,
    /// Until half of the nodes had it, in milliseconds from the decision.
    pub half_ms: f64,
    /// Until 99 of 100 had it.
    pub most_ms: f64,
    /// Until the last that got it had it.
    pub last_ms: f64,
    /// Share of the nodes that got it.
    pub reached: f64,
    /// Copies that a node received on average.
    pub copies: f64,
}

/// Lets a block spread. `check` is what a node needs to check its certificate.
pub fn spread(observers: usize, bytes: u64, check: Micros, seed: u64) -> Spread {
    let mut rng = Rng::new(seed, "observers");
    let delays = DelayTable::of_cities();
    let nodes = observers + VALIDATORS;
    let places: Vec<usize> = (0..nodes).map(|_| rng.index(delays.places())).collect();
    let mesh = meshes(nodes, &mut rng);
    let line = bytes * 8 * 1_000_000 / LINE_BITS_PER_SECOND;
    let mut had: Vec<Option<Micros>> = vec![None; nodes];
    let mut copies = 0_u64;
    // Arrival, node, sender.
    let mut arrivals: BinaryHeap<Reverse<(Micros, usize, usize)>> =
        (0..VALIDATORS).map(|validator| Reverse((0, validator, validator))).collect();
    while let Some(Reverse((at, node, sender))) = arrivals.pop() {
        copies += u64::from(node != sender);
        if had[node].is_some() {
            continue;
        }
        had[node] = Some(at);
        let mut leaves = at + if node == sender { 0 } else { check };
        for peer in mesh[node].iter().filter(|peer| **peer != sender) {
            leaves += line;
            arrivals.push(Reverse((leaves + delays.between(places[node], places[*peer]), *peer, node)));
        }
    }
    let mut times: Vec<Micros> = had[VALIDATORS..].iter().flatten().copied().collect();
    times.sort_unstable();
    let at = |count: usize| times.get(count.saturating_sub(1)).map_or(f64::NAN, |time| *time as f64 / 1e3);
    Spread {
        observers,
        bytes,
        half_ms: at(observers.div_ceil(2)),
        most_ms: at((observers * PER_CENT).div_ceil(100)),
        last_ms: at(times.len()),
        reached: times.len() as f64 / observers as f64,
        copies: copies as f64 / nodes as f64,
    }
}

/// Each node asks for half of a mesh, so that each has about a whole one.
fn meshes(nodes: usize, rng: &mut Rng) -> Vec<Vec<usize>> {
    let mut mesh = vec![Vec::new(); nodes];
    for node in 0..nodes {
        while mesh[node].len() < MESH.min(nodes - 1) {
            let peer = rng.index(nodes);
            // Twice the mesh is where gossipsub turns others away.
            if peer != node && !mesh[node].contains(&peer) && mesh[peer].len() < 2 * MESH {
                mesh[node].push(peer);
                mesh[peer].push(node);
            }
        }
    }
    mesh
}

/// Rows for people.
pub fn table(rows: &[Spread]) -> String {
    let mut text = String::from(
        "observers  block bytes  half ms  99 % ms  last ms  reached  copies a node  bytes received a node\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:>9}  {:>11}  {:>7.0}  {:>7.0}  {:>7.0}  {:>6.2}%  {:>13.2}  {:>21.0}",
            row.observers,
            row.bytes,
            row.half_ms,
            row.most_ms,
            row.last_ms,
            row.reached * 100.0,
            row.copies,
            row.copies * row.bytes as f64,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_get_a_block_and_a_larger_one_takes_longer() {
        let (small, large) = (spread(300, 1_000, 100, 1), spread(300, 1_000_000, 100, 1));
        assert!((small.reached - 1.0).abs() < 1e-9, "{small:?}");
        assert!(small.copies >= 1.0 && small.copies < 2.0 * MESH as f64, "{small:?}");
        assert!(large.most_ms > small.most_ms + 80.0, "{small:?} {large:?}");
        assert_eq!(small, spread(300, 1_000, 100, 1), "a seed decides");
    }
}
