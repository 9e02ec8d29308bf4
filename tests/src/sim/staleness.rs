//! What a restarted validator can tell about an older copy of its disk.
//!
//! Journal and log are two witnesses of one past. When only one of them is older than the other should allow, that shows:
//! no journal at all beside a log whose newest block this validator has signed, or votes further above the log's end
//! than the window lets a validator vote (judged in the log's own epoch: each epoch has a window of its own). When both come from one earlier moment nothing shows: such a disk is a disk that
//! was true once. No check on the same machine can find that, so a restored validator counts among the faulty ones until
//! its epoch is over.

use aegis_consensus::Record;
use aegis_types::ValidatorId;

use super::application::Standing;

/// How far above the log's end a vote may be: the engine votes within one window of its tip, and the log may lag behind the
/// tip by as much as execution may, three windows.
const WINDOWS: u64 = 4;

/// Whether journal and log cannot be of one moment.
pub fn is_visible(records: &[Record], is_journal_new: bool, standing: &Standing, me: &ValidatorId) -> bool {
    let tip = standing.tip.height;
    if is_journal_new && has_signed_tip(standing, me) {
        return true;
    }
    let reach = standing.epoch.window().saturating_mul(WINDOWS);
    let epoch = standing.epoch.validators.epoch();
    records.iter().any(|record| {
        let is_beyond = match record {
            Record::Prepared { vote, .. } | Record::Committing { vote, .. } => {
                vote.content.epoch == epoch && vote.content.height.0 > tip.0.saturating_add(reach)
            }
            Record::ViewChange(_) | Record::NewView(_) => false,
        };
        is_beyond || record.epoch().0 > epoch.0.saturating_add(1)
    })
}

fn has_signed_tip(standing: &Standing, me: &ValidatorId) -> bool {
    let set = &standing.epoch.validators;
    let (Some((header, certificate)), Some(index)) = (&standing.tip.block, set.index_of(me)) else {
        return false;
    };
    header.epoch == set.epoch() && certificate.signatures.iter().any(|(signer, _)| *signer as usize == index)
}
