//! Where validators stand.

use aegis_types::{Keypair, ValidatorId};

use crate::sim::clock::Micros;
use crate::sim::delays::DelayTable;
use crate::sim::rng::Rng;

/// Validators, in ascending order of id, each in a place of its own as far as there are enough. Where there are not, every place
/// has one before any has two, and chance says which have more.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Their keys.
    pub keypairs: Vec<Keypair>,
    /// One-way delays from each to each, in their order.
    pub delays: DelayTable,
}

impl Deployment {
    /// Draws places out of a table.
    pub fn draw(validators: usize, table: &DelayTable, number: u64) -> Self {
        let mut rng = Rng::new(number, "latency deployment");
        let mut keypairs: Vec<Keypair> =
            (0..validators).map(|_| Keypair::from_seed(&rng.bytes32())).collect();
        keypairs.sort_by_key(Keypair::validator_id);
        let mut places: Vec<usize> = Vec::new();
        while places.len() < validators {
            let mut round: Vec<usize> = (0..table.places()).collect();
            rng.shuffle(&mut round);
            places.extend(round);
        }
        places.truncate(validators);
        Self { keypairs, delays: table.of_places(&places) }
    }

    /// How many validators there are.
    pub fn size(&self) -> usize {
        self.keypairs.len()
    }

    /// A validator's id.
    pub fn id(&self, node: usize) -> ValidatorId {
        self.keypairs[node].validator_id()
    }

    /// The one-way delay, in microseconds.
    pub fn delay(&self, from: usize, to: usize) -> Micros {
        if from == to { 0 } else { self.delays.between(from, to) }
    }

    /// The round-trip time, in microseconds: there and back.
    pub fn round_trip(&self, a: usize, b: usize) -> Micros {
        self.delay(a, b) + self.delay(b, a)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn where_places_are_shared_chance_says_which() {
        let table = DelayTable::of_cities();
        let size = table.places() + 3;
        let row = |deployment: &Deployment, node| -> Vec<Micros> {
            let mut row: Vec<Micros> =
                (0..size).map(|other| deployment.delays.between(node, other)).collect();
            row.sort_unstable();
            row
        };
        let shared = |number| -> BTreeSet<Vec<Micros>> {
            let deployment = Deployment::draw(size, &table, number);
            let rows: Vec<Vec<Micros>> = (0..size).map(|node| row(&deployment, node)).collect();
            let is_shared = |row: &&Vec<Micros>| rows.iter().filter(|other| other == row).count() == 2;
            let shared: BTreeSet<_> = rows.iter().filter(is_shared).cloned().collect();
            assert_eq!(shared.len(), 3, "three places have two, all others one");
            shared
        };
        assert_ne!(shared(0), shared(1));
        assert_eq!(shared(0), shared(0));
    }
}
