//! Bounds and ratios of the engine, with the reason for each.

/// Largest encoded message. A NewView of a full set is the largest honest one: about 90 ViewChanges of 90 kB.
pub const MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The timeout of a view doubles with each view that commits nothing, at most this often: 64 times the first.
pub const TIMEOUT_DOUBLINGS: u32 = 6;

/// The timeout of the first view is at least so many round trips to a quorum, as measured. A block takes two and a half: its
/// batches to all, the proposal, two rounds of votes; the rest is for a batch that has to be fetched, for a leader that is
/// farther away than the quorum, and for round trips that are longer than the median. Smaller: over links as slow as Tor's,
/// living leaders are left; larger: a dead one costs more time there.
pub const ROUND_TRIPS_PER_TIMEOUT: u64 = 8;

/// The longest round trip that counts: twice what Tor's take as a rule. Smaller: slower links lose living leaders; larger: what
/// a peer that was away has stretched, or whoever can stretch what is measured, puts off the change of a dead one longer.
pub const ROUND_TRIP_MS_MAX: u64 = 2_000;

/// Votes, proposals and view changes are sent again each time this fraction of the view timeout passes without a
/// commit. Smaller: more traffic when a network is slow; larger: a lost message costs more time, up to a view change.
pub const RESENDS_PER_TIMEOUT: u64 = 4;

/// A batch that waits for so many view timeouts while other batches are ordered makes the validator leave the view.
/// Smaller: a busy network might mistake its queue for censorship; larger: a censored author waits longer.
pub const BATCH_PATIENCE_TIMEOUTS: u64 = 8;

/// An empty block follows one with batches after at most so long, in milliseconds, also where the idle interval is longer: it
/// certifies what the batches have changed, and who asks for a proof of that waits for it. Smaller: more empty blocks under
/// thin load; larger: a longer wait.
pub const CERTIFY_AFTER_MS: u64 = 1_000;

/// Validators vote for a fresh proposal while its timestamp is at most the accepted drift and so many of their timeouts old.
/// Smaller: a network that is slow, or a validator whose execution is, loses living leaders; larger: a faulty leader
/// holds agreed time back further.
pub const AGE_TIMEOUTS: u64 = 2;

/// Validators vote for an empty block when this part of the time has passed after which a leader makes one, as its denominator.
/// Smaller: who commits a block late holds up the empty one after it; larger: a faulty leader makes more of them.
pub const EMPTY_BLOCK_PART: u64 = 2;

/// Proposals stop when execution lags so many windows behind ordering, and certified state never lags more.
pub const EXECUTION_LAG_WINDOWS: u64 = 3;

/// The prepared blocks of a view change reach at most so many windows above its tip. One window is open at a time, but a
/// validator that restarts may find its committed log as far back as its execution was, and its promises not.
pub const VIEW_CHANGE_WINDOWS: u64 = EXECUTION_LAG_WINDOWS + 1;

/// Votes are kept for heights up to so many windows above the tip: a validator that is a little behind need not ask for
/// them again.
pub const VOTE_WINDOWS: u64 = 2;

/// Votes of one validator for one height and kind are kept for at most so many views, the newest ones.
pub const VIEWS_PER_VOTER: usize = 3;

/// Votes for decided heights are kept for so many windows below the tip, and those of an epoch's last heights until the next
/// epoch ends: long enough for others to hear of the decision and show what they were told instead.
pub const SETTLED_WINDOWS: u64 = 1;

/// Votes of one validator that look odd and are shown to all others in one window of heights; and as many that a leader cast
/// for a contested block. One is enough to convict it; correct ones whose votes look odd because a leader lied to them use
/// some up. Smaller: whoever casts odd votes on purpose has used them up sooner, until the next window; larger: it makes the
/// others talk more.
pub const TESTIMONIES_PER_VALIDATOR: u32 = 4;

/// PrePrepares and votes of the next epoch kept per validator until this one has entered it.
pub const EARLY_MESSAGES_PER_VALIDATOR: usize = 64;

/// Blocks asked for at once from one peer.
pub const FETCH_BLOCKS: u64 = 64;

/// Batches that are available and in no committed block, over all authors. The driver refuses more before it stores them.
pub const PENDING_BATCHES: usize = 65_536;
