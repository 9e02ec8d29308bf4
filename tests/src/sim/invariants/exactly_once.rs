//! Of all proposals of one account with one idempotency key, at most one takes effect, once.

use std::collections::BTreeMap;

use aegis_types::{AccountId, Height};

use super::{Invariant, Observation};
use crate::sim::application::Effect;

/// Where each request took effect.
#[derive(Debug, Default)]
pub struct ExactlyOnce {
    effects: BTreeMap<(AccountId, String), Height>,
    height: Height,
}

impl Invariant for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), String> {
        let Observation::Executed { executed, .. } = observation else { return Ok(()) };
        // Equal state roots make one node's receipts every node's: each height is looked at once.
        if executed.height <= self.height {
            return Ok(());
        }
        self.height = executed.height;
        for receipt in executed.receipts.iter().filter(|receipt| receipt.effect != Effect::None) {
            let request = (receipt.account, receipt.idempotency_key.clone());
            if let Some(first) = self.effects.insert(request, executed.height) {
                return Err(format!(
                    "request `{}` of {} took effect at heights {first} and {}",
                    receipt.idempotency_key,
                    receipt.account.short(),
                    executed.height
                ));
            }
        }
        Ok(())
    }
}
