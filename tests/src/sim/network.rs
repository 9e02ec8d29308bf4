//! A network that delays, loses, doubles and reorders packets, and falls into parts.

use super::clock::{MILLI, Micros};
use super::rng::Rng;
use super::scenario::NodeIndex;

/// How links behave. Every figure is drawn per packet, save the base delay, which each link keeps.
#[derive(Debug, Clone, Copy)]
pub struct LinkProfile {
    /// Longest base delay of a link.
    pub delay_max: Micros,
    /// Longest extra delay of a packet; packets overtake each other within it.
    pub jitter_max: Micros,
    /// Packets of a thousand that are lost.
    pub loss_per_mille: u64,
    /// Packets of a thousand that arrive twice.
    pub duplication_per_mille: u64,
    /// Packets of a thousand that are late by up to [`LinkProfile::LATE_MAX`].
    pub late_per_mille: u64,
}

impl LinkProfile {
    /// The longest delay of a late packet: several view timeouts.
    pub const LATE_MAX: Micros = 5_000 * MILLI;

    /// The safety phase: anything from a perfect network to one that loses three packets of ten.
    pub fn faulty(rng: &mut Rng) -> Self {
        Self {
            delay_max: rng.within(1..=80) * MILLI,
            jitter_max: rng.within(0..=60) * MILLI,
            loss_per_mille: [0, 10, 50, 150, 300][rng.index(5)],
            duplication_per_mille: [0, 20, 200][rng.index(3)],
            late_per_mille: [0, 0, 10, 50][rng.index(4)],
        }
    }

    /// The liveness phase: bounded delays, at times some loss.
    pub fn healed(rng: &mut Rng) -> Self {
        Self {
            delay_max: rng.within(1..=50) * MILLI,
            jitter_max: rng.within(0..=20) * MILLI,
            loss_per_mille: [0, 0, 20][rng.index(3)],
            duplication_per_mille: [0, 20][rng.index(2)],
            late_per_mille: 0,
        }
    }
}

/// The network between nodes.
#[derive(Debug, Clone)]
pub struct Network {
    rng: Rng,
    profile: LinkProfile,
    /// Share of the longest base delay that each link has, per mille, by sender and receiver.
    distances: Vec<Vec<u64>>,
    /// `cut[a][b]`: nothing gets from `a` to `b`.
    cut: Vec<Vec<bool>>,
}

impl Network {
    /// A network of `nodes` nodes.
    pub fn new(nodes: usize, profile: LinkProfile, mut rng: Rng) -> Self {
        let distances = (0..nodes).map(|_| (0..nodes).map(|_| rng.within(0..=1_000)).collect()).collect();
        Self { rng, profile, distances, cut: vec![vec![false; nodes]; nodes] }
    }

    /// The delays after which a packet arrives: none if it is lost, two if it is doubled.
    pub fn route(&mut self, from: NodeIndex, to: NodeIndex) -> Vec<Micros> {
        let LinkProfile { loss_per_mille, duplication_per_mille, .. } = self.profile;
        if self.cut[from][to] || self.rng.chance(loss_per_mille) {
            return Vec::new();
        }
        let copies = if self.rng.chance(duplication_per_mille) { 2 } else { 1 };
        (0..copies).map(|_| self.delay(from, to)).collect()
    }

    fn delay(&mut self, from: NodeIndex, to: NodeIndex) -> Micros {
        let LinkProfile { delay_max, jitter_max, late_per_mille, .. } = self.profile;
        let base = delay_max * self.distances[from][to] / 1_000;
        let late = if self.rng.chance(late_per_mille) { LinkProfile::LATE_MAX } else { 0 };
        1 + base + self.rng.within(0..=jitter_max) + self.rng.within(0..=late)
    }

    /// Cuts the nodes into two parts at random; at times only one direction between them.
    pub fn partition(&mut self) {
        self.mend();
        let sides: Vec<bool> = self.cut.iter().map(|_| self.rng.chance(500)).collect();
        let is_one_way = self.rng.chance(300);
        for (from, row) in self.cut.iter_mut().enumerate() {
            for (to, cut) in row.iter_mut().enumerate() {
                *cut = sides[from] != sides[to] && (!is_one_way || sides[from]);
            }
        }
    }

    /// Ends the partition.
    pub fn mend(&mut self) {
        for row in &mut self.cut {
            row.fill(false);
        }
    }

    /// Ends the partition and all faults that `profile` does not have.
    pub fn heal(&mut self, profile: LinkProfile) {
        self.mend();
        self.profile = profile;
    }
}
