//! `aegis weights recompute --replay`

use aegis_types::Epoch;

use super::recompute::Recomputed;
use crate::cli::store::{Opened, bar, blocking, open_data};
use crate::cli::{Failure, Global};
use crate::node::replay::replay_weights;

/// Executes the home's log again and takes the weights of each epoch from what that yields.
///
/// # Errors
/// When the home's node runs, or its log does not begin with the first block.
pub async fn run(global: &Global, from: Epoch) -> Result<Vec<Recomputed>, Failure> {
    let Opened { home, genesis, store } = open_data(global)?;
    let bar = bar("executing blocks");
    let shown = bar.clone();
    let replayed = blocking(move || {
        replay_weights(&home, &genesis, &store, from, &mut |done, total| {
            shown.set_length(total);
            shown.set_position(done);
        })
    })
    .await?;
    bar.finish_and_clear();
    replayed
        .into_iter()
        .map(|replayed| Recomputed::new(replayed.validators.epoch(), replayed.input, replayed.validators))
        .collect()
}
