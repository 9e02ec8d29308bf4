//! Where validators stand.

use aegis_types::{Keypair, ValidatorId};

use crate::sim::clock::Micros;
use crate::sim::delays::DelayTable;
use crate::sim::rng::Rng;

/// Validators, in ascending order of id, each in a place of its own as far as there are enough.
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
        let mut places: Vec<usize> = (0..table.places().max(validators)).collect();
        rng.shuffle(&mut places);
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
