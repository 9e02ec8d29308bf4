//! The ledger, fed with arbitrary blocks of well-formed proposals.
//!
//! The bytes drive a script ([`script`]); [`chain`] holds what must be true after every block.

pub mod chain;
pub mod script;

use super::bytes_source::Choices;

/// Plays a script. The first byte chooses the genesis.
///
/// # Panics
/// When the ledger breaks what [`chain`] demands.
pub fn run(input: &[u8]) {
    aegis_types::simulation::remember(|| drop(script::play(Choices::new(input))));
}

/// Scripts of several blocks: values, votes that pass, evidence, ends of epochs.
pub fn seeds() -> Vec<Vec<u8>> {
    // Of a block: closing (3) or not, step of time, number of proposals. Of a proposal: again (5) or new, account, key,
    // expiry, body and what belongs to it.
    let block = |options: [u8; 2], proposals: &[&[u8]]| {
        let mut bytes = vec![3, options[0], options[1], u8::try_from(proposals.len()).unwrap_or_default()];
        for proposal in proposals {
            bytes.push(u8::try_from(proposal.len()).unwrap_or_default());
            bytes.extend_from_slice(proposal);
        }
        bytes
    };
    let yes = |voter: u8| [0, voter, 0, 0, 8, 0, 0];
    let votes: Vec<[u8; 7]> = (0..4).map(yes).collect();
    let votes: Vec<&[u8]> = votes.iter().map(<[u8; 7]>::as_slice).collect();
    let values =
        block([0, 1], &[&[0, 5, 0, 0, 0, 0, 1, 3, 9, 9, 9], &[0, 5, 1, 0, 3, 0, 1, 1, 2, 1], &[5, 0]]);
    let delete = block([0, 1], &[&[0, 5, 0, 0, 2, 0, 1], &[0, 5, 1, 0, 2, 0, 1]]);
    let end = block([3, 1], &[]);
    let evidence = block([0, 1], &[&[0, 1, 0, 0, 9, 2, 0, 0], &[0, 2, 0, 0, 9, 2, 0, 1, 3]]);
    let mut seeds = vec![[&[0, 0][..], &values, &delete, &values, &end, &values].concat()];
    // A new member, a removal, a parameter of the ledger and one of agreement, a text.
    let asked: [&[u8]; 5] = [
        &[0, 0, 0, 0, 6, 0, 5, 1],
        &[0, 0, 0, 0, 7, 3],
        &[0, 0, 0, 0, 5, 4, 0, 0],
        &[0, 0, 0, 0, 5, 8, 1, 0],
        &[0, 0, 0, 0, 4, 2, 65, 66],
    ];
    for asked in asked {
        for bounds in [0, 1] {
            let opening = block([0, 1], &[asked]);
            let passing = block([0, 1], &votes);
            seeds.push([&[0, bounds][..], &opening, &passing, &end, &values, &end].concat());
            let lapsing = block([0, 5], &[&[0, 5, 0, 0, 0, 0, 1, 1, 9]]);
            seeds.push([&[1, bounds][..], &opening, &lapsing, &passing, &lapsing].concat());
        }
    }
    seeds.push([&[0, 0][..], &evidence, &end, &evidence, &end, &values].concat());
    seeds.push([&[1, 1][..], &evidence, &block([0, 6], &[]), &values, &block([0, 7], &[])].concat());
    seeds
}

#[cfg(test)]
mod tests {
    use aegis_types::Epoch;

    use super::*;

    #[test]
    fn the_seeds_reach_values_votes_that_pass_evidence_and_the_next_epoch() {
        let play = |seed: &Vec<u8>| aegis_types::simulation::remember(|| script::play(Choices::new(seed)));
        let chains: Vec<_> = seeds().iter().map(play).collect();
        let reached: Vec<_> = chains.iter().map(|chain| (chain.ledger.height(), &chain.reached)).collect();
        assert!(chains.iter().any(|chain| chain.ledger.epoch() > Epoch::ZERO), "{reached:?}");
        for event in ["KvChanged", "VoteCast", "ProposalClosed", "EvidenceRecorded", "ValidatorsChanged"] {
            assert!(chains.iter().any(|chain| chain.reached.contains(event)), "{event}: {reached:?}");
        }
    }
}
