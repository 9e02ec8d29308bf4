//! A validator that votes for everything: made-up blocks at all heights around, in many views; and at one height in ever higher
//! views, so that each vote pushes an older one out of its receiver's memory.

use aegis_consensus::Message;
use aegis_types::{Height, View};

use super::{Actor, Deed, Stage};

/// Votes sent at a time.
const SENT: usize = 24;
/// Votes of a series of views: what they would leave behind is more than all votes that count.
const SERIES: u64 = 64;
/// Of a thousand times, how often it is a series.
const SERIES_PER_MILLE: u64 = 300;

/// Floods one node after the other.
#[derive(Debug)]
pub struct VoteFlood;

impl VoteFlood {
    /// At the highest height that is accepted, which stays open longest.
    fn series(stage: &mut Stage<'_>) -> Vec<Deed> {
        let (to, mut content) = (stage.somebody(), stage.nearby());
        content.height = Height(stage.engine.height().0 + 2 * stage.engine.window());
        let first = content.view.0;
        let views = (first..first + SERIES).map(View);
        let content = |view| aegis_types::VoteContent { view, ..content };
        views.map(|view| Deed::Send(to, Message::Vote(stage.key.vote(content(view))))).collect()
    }
}

impl Actor for VoteFlood {
    fn act(&mut self, stage: &mut Stage<'_>) -> Vec<Deed> {
        if stage.rng.chance(SERIES_PER_MILLE) {
            return Self::series(stage);
        }
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
