//! A validator that votes for everything: made-up blocks at all heights around, in many views.

use aegis_consensus::Message;

use super::{Actor, Deed, Stage};

/// Votes sent at a time.
const SENT: usize = 24;

/// Floods one node after the other.
#[derive(Debug)]
pub struct VoteFlood;

impl Actor for VoteFlood {
    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        let to = stage.somebody();
        (0..SENT)
            .map(|_| {
                let mut content = stage.nearby();
                if stage.rng.chance(300) {
                    content.view.0 += stage.rng.within(0..=1_000);
                }
                Deed::Send(to, Message::Vote(stage.key.vote(content)))
            })
            .collect()
    }
}
