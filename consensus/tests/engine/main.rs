//! The engine as its neighbours see it: inputs in, effects out.
//!
//! | file | what it shows |
//! |---|---|
//! | `propose`, `prepare`, `commit`, `decide` | rules 1 to 4 of the crate's documentation |
//! | `view_change` | rules 5 to 7, and the timer |
//! | `epochs` | the change of epochs, early and late messages |
//! | `floor` | that a validator which has lost votes keeps silent where they count |
//! | `hostile` | forged, stolen and contradicting votes |
//! | `bounds` | that floods do not fill memory |
//! | `restart` | that an engine recovered at any point keeps its promises |
//! | `arbitrary` | that nothing makes it panic |

mod arbitrary;
mod bounds;
mod commit;
mod decide;
mod empty_blocks;
mod epochs;
mod floor;
mod hostile;
mod prepare;
mod propose;
mod restart;
mod support;
mod testimony;
mod timestamps;
mod view_change;
