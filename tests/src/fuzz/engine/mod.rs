//! The consensus engine, fed with whatever others, clocks and crashes may bring.
//!
//! The bytes drive a script ([`script`]): messages from members with right and wrong contents and signatures, batches, ticks,
//! execution, blocks from sync, crashes and restarts, raw bytes as messages, damaged copies of the engine's own. All other
//! members may lie, so agreement is not judged; what one engine owes whatever the others do is ([`watch`]).

pub mod network;
pub mod script;
pub mod subject;
pub mod watch;

use super::bytes_source::Choices;

/// Plays a script. The first bytes choose the members' weights and which of them is the engine.
///
/// # Panics
/// When the engine breaks what [`watch`] demands.
pub fn run(input: &[u8]) {
    aegis_types::simulation::remember(|| drop(script::play(Choices::new(input))));
}

/// Scripts that reach decisions, view changes, restarts and the next epoch, for each member of four.
pub fn seeds() -> Vec<Vec<u8>> {
    use script::Action;
    type Part = &'static [(Action, &'static [u8])];
    let script = |me: u8, parts: &[Part]| {
        let mut bytes = vec![0, me];
        for (action, choices) in parts.concat() {
            bytes.extend([action.byte(), u8::try_from(choices.len()).unwrap_or_default()]);
            bytes.extend_from_slice(choices);
        }
        bytes
    };
    const BATCH: Part = &[(Action::Batch, &[0])];
    const ROUND: Part =
        &[(Action::Propose, &[]), (Action::Prepares, &[]), (Action::Commits, &[]), (Action::Execute, &[])];
    const PREPARED: Part = &[(Action::Propose, &[0, 0, 0, 1]), (Action::Prepares, &[])];
    const LEAVE: Part = &[(Action::Tick, &[6, 0]), (Action::ViewChanges, &[0, 3]), (Action::NewView, &[])];
    const CRASH: Part = &[(Action::Crash, &[])];
    const SYNC: Part = &[(Action::Sync, &[]), (Action::Execute, &[])];
    const LATE: Part = &[(Action::Tick, &[7, 0])];
    const NOISE: Part = &[
        (Action::Raw, &[4, 0x2a, 2, 8, 1]),
        (Action::Status, &[0, 0, 5, 9]),
        (Action::Vote, &[0, 0, 1, 200, 0, 0, 0, 0, 210]),
        (Action::Echo, &[0, 0, 2, 1, 1]),
    ];
    let mut seeds = Vec::new();
    for me in 0..4 {
        seeds.push(script(me, &[BATCH, ROUND, ROUND, NOISE, CRASH, ROUND]));
        seeds.push(script(me, &[BATCH, PREPARED, CRASH, LEAVE, ROUND, LEAVE, CRASH, ROUND]));
        seeds.push(script(me, &[ROUND, LATE, SYNC, SYNC, ROUND, NOISE, LATE, SYNC, CRASH, SYNC, ROUND]));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use aegis_types::Epoch;

    use super::*;

    #[test]
    fn the_seeds_reach_decisions_view_changes_restarts_and_the_next_epoch() {
        // Decisions, view, restarts, epoch and messages sent.
        let reached: Vec<_> = seeds()
            .iter()
            .map(|seed| {
                let subject = aegis_types::simulation::remember(|| script::play(Choices::new(seed)));
                (subject.log.len(), subject.view().0, subject.restarts, subject.epoch(), subject.sent.len())
            })
            .collect();
        assert!(reached.iter().any(|(decided, ..)| *decided >= 2), "{reached:?}");
        assert!(reached.iter().any(|(_, view, ..)| *view > 0), "{reached:?}");
        assert!(
            reached.iter().any(|(decided, _, restarts, ..)| *decided > 0 && *restarts > 0),
            "{reached:?}"
        );
        assert!(reached.iter().any(|(_, _, _, epoch, _)| *epoch > Epoch::ZERO), "{reached:?}");
        assert!(reached.iter().any(|(.., sent)| *sent > 3), "{reached:?}");
    }
}
