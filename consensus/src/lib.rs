//! Orders batch digests by weighted PBFT: a pure state machine without clock, randomness or IO.
//!
//! # The protocol
//! Castro and Liskov's Practical Byzantine Fault Tolerance with signatures (OSDI '99; TOCS 20(4), 2002), with votes that
//! carry weights, blocks that form a hash chain, certificates that replace checkpoints, and payload that travels ahead of
//! ordering. Validators of an epoch have integer weights with sum `W`; faulty ones hold at most `f = (W - 1) / 3`.
//! A *quorum* is `W - f`, a *weak quorum* `f + 1` (see [`aegis_types::ValidatorSet`]).
//!
//! ## Vocabulary
//! - *header*: a block without payload; names its parent, so a digest fixes the whole prefix.
//! - *prepared* (at height `h`, view `v`): a quorum of Prepare votes for one digest; they form a prepared certificate.
//! - *committed*: a quorum of Commit votes for one digest in one view; they form a commit certificate.
//! - *tip*: the newest committed block that this engine has handed out.
//! - *plan* of a view: the headers that its NewView message fixes.
//!
//! ## Rules
//! 1. **Propose.** The leader of the view extends the highest header it accepted, at most `window` above its tip, as soon as
//!    it holds batches that are in no open block; without any, after the idle interval. A PrePrepare is the header together
//!    with the leader's Prepare vote for it.
//! 2. **Prepare.** Upon a PrePrepare of the view's leader for height `h`, with the header at `h - 1` accepted in this view or
//!    committed: check the header (see `engine/validate.rs`), hold all its batches durably, then vote Prepare. One digest per
//!    epoch, view and height.
//! 3. **Commit.** Upon prepared at `h`, **when the own Commit for `h - 1` has been sent in this view or `h - 1` is committed**,
//!    vote Commit.
//! 4. **Decide.** Upon committed at tip + 1, in whatever view: hand the block out.
//! 5. **Leave.** Upon the timer's end: send ViewChange for the next view with the tip, its certificate, and for each height
//!    above for which a Commit was ever sent the prepared certificate of the highest view; vote in no lower view from then on.
//! 6. **Join.** Upon ViewChanges for higher views from a weak quorum: leave for the lowest of these views.
//! 7. **Enter.** The leader of `v`, upon ViewChanges for `v` from a quorum, sends them as NewView. Upon a valid NewView, derive
//!    the plan ([`plan`]), accept its headers as pre-proposed, and return to rule 2.
//! 8. **Testify.** When deciding a height in which votes disagree, show all validators the votes that differ from the own ones,
//!    and the leader's. Two votes of one validator for one round, however they came, are evidence.
//!
//! ## Invariants and why they hold
//! - **I1, one vote.** A correct validator signs at most one Prepare and one Commit per epoch, view and height. Every vote is a
//!   [`Record`] that is persisted before it is sent, and [`Engine::recover`] restores all of them.
//! - **I2, prefix.** If a correct validator sent Commit at `h` in `v`, it sent Commit in `v` for, or knew committed, every
//!   height below `h`. By rule 3, by induction. So a committed block's whole prefix was prepared by a quorum: each member
//!   of it holds, for every height up to `h`, a prepared certificate of a view at least `v` or a commit certificate.
//! - **I3, choice.** If digest `d` committed at `h` in `v`, then every plan of a view `v' > v` either starts at `h` or above or
//!   contains `d` at `h`. Induction over `v'`: the NewView's quorum and the quorum that committed `d` share a correct
//!   validator; by I2 its ViewChange (sent after its Commit: rule 5 forbids the other order) carries a certificate of a view at least `v` for every height up to `h`
//!   above its tip. A certificate of a view between `v` and `v'` at these heights is for the same chain by the induction
//!   hypothesis, since that view's plan contained it; so the highest view at each height names `d`'s chain, whose parents
//!   match.
//! - **I4, agreement.** Two commit certificates at one height are for one digest: in one view by I1 and the intersection of
//!   quorums in a correct validator, across views by I3.
//! - **I5, availability.** A Prepare is sent only with the block's batches stored, so every prepared block's payload is held by correct
//!   validators of weight at least `f + 1`.
//!
//! ## Deviations from the paper
//! - No checkpoint messages: a commit certificate proves the prefix. Behind validators fetch blocks with certificates.
//! - The leader's PrePrepare carries its Prepare vote, so prepared means a quorum of Prepares and nothing else, and
//!   equivocation by a leader is equivocation in votes.
//! - A validator that left its view stays silent in it even if that view goes on to commit: its ViewChange may be in use.
//!   It follows commits, and votes again from the next view or epoch on. (Going back to vote would break I3.)
//! - Rule 3 asks for the own *Commit* at `h - 1`, not only for prepared at `h - 1`: with the weaker rule I2 fails at `h - 2`.
//! - A view is also left when one batch has waited for [`limits::BATCH_PATIENCE_TIMEOUTS`] timeouts while others were ordered:
//!   a leader cannot starve one author for ever.
//!
//! # Driving the engine
//! ```text
//!   messages, batches, execution, ticks          Persist  -> journal, one flush for many inputs
//!        |                                          |
//!        v                                          v  (durable before anything behind it in the list is carried out)
//!   Engine::handle(now, Input) -> Vec<Output> -> Send, Broadcast -> network
//!                                             -> Committed -> executor -> Input::Executed
//!                                             -> Fetch...  -> peers    -> Input::BatchAvailable, Input::Synced
//! ```
//! Handle one input, carry out its outputs in order. The outputs of many inputs may be gathered; then make all their
//! records durable with one flush, and only then carry out the rest. Call [`Engine::deadline`] afterwards and deliver
//! [`Input::Tick`] at that time. No input makes the engine panic; none is trusted save [`Input::Executed`],
//! [`Input::BatchAvailable`] and the records given to [`Engine::recover`], which come from this node itself.

#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::float_arithmetic
    )
)]

pub mod engine;
pub mod epoch;
pub mod error;
pub mod floor;
pub mod input;
pub mod leader;
pub mod limits;
pub mod message;
pub mod output;
mod pending;
pub mod plan;
pub mod record;
mod tally;
mod wire;

pub use engine::{Engine, EngineStatus, Start};
pub use epoch::{EpochContext, NextEpoch, Tip};
pub use error::ConsensusError;
pub use floor::VoteFloor;
pub use input::{Input, Now};
pub use leader::LeaderSchedule;
pub use message::{Message, NewView, PrePrepare, PreparedBlock, Status, ViewChange};
pub use output::{Event, Output};
pub use record::Record;
