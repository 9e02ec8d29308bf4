//! A leader that never orders a batch with a proposal of one account, and otherwise behaves.

use aegis_types::AccountId;

use super::{Actor, Stage};

/// Its engine hears of the account's batches only when another leader orders them.
#[derive(Debug)]
pub struct CensoringLeader;

impl Actor for CensoringLeader {
    fn censors(&self, stage: &Stage<'_>) -> Option<AccountId> {
        Some(stage.victim)
    }
}
