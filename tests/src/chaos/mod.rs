//! Crashes of real processes under load, and whether anything that was acknowledged is lost or happened twice.
//!
//! Writers put keys of their own through all nodes, one after the other. A put whose outcome is unknown is sent again with
//! the same idempotency key until it is known, as a careful client does. Meanwhile nodes are killed, one at a time or all at
//! once, or the power goes: the file system drops everything that was not made durable. In the end, on every node, each
//! acknowledged put must be there, and each counter's version must be the number of its puts: a put that was applied twice
//! would show, and so would one that was lost.

pub mod power;
pub mod run;
pub mod writers;
