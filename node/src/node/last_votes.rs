//! When each validator was last heard voting, across the ends of epochs.
//!
//! The engine counts votes epoch by epoch: as a new one begins, it has heard nobody. Whoever asks which validators are alive would
//! be told that none is, until the first votes of the epoch have come. A member of both epochs that voted a moment ago has
//! not stopped, so what was published of it stays until the engine has heard it again.

use std::collections::BTreeMap;

use aegis_types::{Height, ValidatorId, ValidatorSet};

/// Heights of the newest votes, by validator.
pub type LastVotes = BTreeMap<ValidatorId, Height>;

/// Adds to what the engine has heard what was published before, of those who are members still.
pub fn carry_over(published: &LastVotes, heard: &mut LastVotes, members: &ValidatorSet) {
    for (validator, height) in published {
        if members.contains(validator) {
            heard.entry(*validator).or_insert(*height);
        }
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Member, Weight};

    use super::*;

    fn id(byte: u8) -> ValidatorId {
        ValidatorId([byte; 32])
    }

    #[test]
    fn at_the_end_of_an_epoch_members_of_both_epochs_are_not_taken_for_dead() {
        let members = [1, 2, 3].map(|byte| Member { validator: id(byte), weight: Weight(1) });
        let next = ValidatorSet::new(Epoch(1), members.to_vec()).unwrap();
        let published: LastVotes = [(id(1), Height(9)), (id(2), Height(8)), (id(4), Height(9))].into();
        let mut heard: LastVotes = [(id(2), Height(10))].into();
        carry_over(&published, &mut heard, &next);
        assert_eq!(heard, [(id(1), Height(9)), (id(2), Height(10))].into(), "4 has left, 3 has said nothing");
    }
}
