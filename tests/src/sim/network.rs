//! A network that delays, loses, doubles and reorders packets, falls into parts, and has slow and very late links.

use super::clock::{MILLI, Micros, SECOND};
use super::faults::FaultKind;
use super::options::Options;
use super::rng::Rng;
use super::scenario::NodeIndex;

/// How links behave. Every figure is drawn per packet, save the base delay, which each link keeps.
#[derive(Debug, Clone, Copy)]
pub struct LinkProfile {
    /// Longest extra delay of a packet; packets overtake each other within it.
    pub jitter_max: Micros,
    /// Packets of a thousand that are lost.
    pub loss_per_mille: u64,
    /// Packets of a thousand that arrive twice.
    pub duplication_per_mille: u64,
    /// Packets of a thousand that are late by up to [`LinkProfile::LATE_MAX`].
    pub late_per_mille: u64,
    /// Packets of a thousand that are late by up to [`LinkProfile::VERY_LATE_MAX`].
    pub very_late_per_mille: u64,
}

impl LinkProfile {
    /// The longest delay of a late packet: several view timeouts.
    pub const LATE_MAX: Micros = 5 * SECOND;
    /// The longest delay of a very late packet: epochs later.
    pub const VERY_LATE_MAX: Micros = 180 * SECOND;

    /// The safety phase: anything from a perfect network to one that loses three packets of ten.
    pub fn faulty(rng: &mut Rng) -> Self {
        Self {
            jitter_max: rng.within(0..=60) * MILLI,
            loss_per_mille: [0, 0, 10, 50, 150, 300][rng.index(6)],
            duplication_per_mille: [0, 20, 200][rng.index(3)],
            late_per_mille: [0, 0, 10, 50][rng.index(4)],
            very_late_per_mille: [0, 0, 5, 20][rng.index(4)],
        }
    }

    /// The liveness phase: bounded delays, at times some loss.
    pub fn healed(rng: &mut Rng) -> Self {
        Self {
            jitter_max: rng.within(0..=20) * MILLI,
            loss_per_mille: [0, 0, 20][rng.index(3)],
            duplication_per_mille: [0, 20][rng.index(2)],
            late_per_mille: 0,
            very_late_per_mille: 0,
        }
    }

    /// Neither loss nor jitter.
    pub const fn perfect() -> Self {
        Self {
            jitter_max: 0,
            loss_per_mille: 0,
            duplication_per_mille: 0,
            late_per_mille: 0,
            very_late_per_mille: 0,
        }
    }

    /// Leaves one kind of fault out.
    pub fn remove(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::Loss => self.loss_per_mille = 0,
            FaultKind::Duplication => self.duplication_per_mille = 0,
            FaultKind::Lateness => (self.late_per_mille, self.very_late_per_mille) = (0, 0),
            _ => {}
        }
    }
}

/// Where the nodes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// All in one place.
    OneSite,
    /// Each as far from each other as this delay, in microseconds.
    Distant(Micros),
    /// Anywhere in the world.
    World,
    /// The first in the first place of the table of delays, and so on.
    InOrder,
}

/// The network between nodes.
#[derive(Debug, Clone)]
pub struct Network {
    rng: Rng,
    profile: LinkProfile,
    /// Base delay by sender and receiver.
    base: Vec<Vec<Micros>>,
    is_distant: bool,
    /// `cut[a][b]`: nothing gets from `a` to `b`.
    cut: Vec<Vec<bool>>,
    /// What slow links add, by sender and receiver.
    slow: Vec<Vec<Micros>>,
}

impl Network {
    /// A network of `nodes` nodes.
    pub fn new(nodes: usize, profile: LinkProfile, spread: Spread, options: &Options, mut rng: Rng) -> Self {
        let places: Vec<usize> = (0..nodes)
            .map(|node| match spread {
                Spread::OneSite | Spread::Distant(_) => 0,
                Spread::World => rng.index(options.delays.places()),
                Spread::InOrder => node,
            })
            .collect();
        let delay = |from: usize, to: usize| match spread {
            Spread::Distant(delay) => delay,
            Spread::OneSite | Spread::World | Spread::InOrder => options.delays.between(from, to),
        };
        let row = |from: &usize| places.iter().map(|to| delay(*from, *to)).collect();
        Self {
            base: places.iter().map(row).collect(),
            is_distant: matches!(spread, Spread::Distant(_)),
            rng,
            profile,
            cut: vec![vec![false; nodes]; nodes],
            slow: vec![vec![0; nodes]; nodes],
        }
    }

    /// The delays after which a packet arrives: none if it is lost, two if it is doubled.
    pub fn route(&mut self, from: NodeIndex, to: NodeIndex) -> [Option<Micros>; 2] {
        let LinkProfile { loss_per_mille, duplication_per_mille, .. } = self.profile;
        if self.cut[from][to] || self.rng.chance(loss_per_mille) {
            return [None, None];
        }
        let second = self.rng.chance(duplication_per_mille).then(|| self.delay(from, to));
        [Some(self.delay(from, to)), second]
    }

    fn delay(&mut self, from: NodeIndex, to: NodeIndex) -> Micros {
        let LinkProfile { jitter_max, late_per_mille, very_late_per_mille, .. } = self.profile;
        let late = if self.rng.chance(very_late_per_mille) {
            LinkProfile::VERY_LATE_MAX
        } else if self.rng.chance(late_per_mille) {
            LinkProfile::LATE_MAX
        } else {
            0
        };
        1 + self.base[from][to]
            + self.slow[from][to]
            + self.rng.within(0..=jitter_max)
            + self.rng.within(0..=late)
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

    /// Makes about a third of the links slow.
    pub fn slow_down(&mut self) {
        let extra = self.rng.within(200..=3_000) * MILLI;
        for slow in self.slow.iter_mut().flatten() {
            *slow = if self.rng.chance(333) { extra } else { 0 };
        }
    }

    /// Ends the partition.
    pub fn mend(&mut self) {
        self.cut.iter_mut().for_each(|row| row.fill(false));
    }

    /// Ends the slowness of links.
    pub fn speed_up(&mut self) {
        self.slow.iter_mut().for_each(|row| row.fill(0));
    }

    /// Lets nodes that were distant stand side by side from now on.
    pub fn come_near(&mut self) {
        if self.is_distant {
            self.base.iter_mut().for_each(|row| row.fill(0));
        }
    }

    /// Ends the partition and all faults that `profile` does not have.
    pub fn heal(&mut self, profile: LinkProfile) {
        self.mend();
        self.speed_up();
        self.profile = profile;
    }
}
