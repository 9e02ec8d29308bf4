//! Snapshots: agreed state at a certified height, in files that others can check piece by piece.
//!
//! | file | part |
//! |---|---|
//! | `manifest` | what a snapshot says of itself, and how that is checked |
//! | `chunk` | the entries of one subtree of the state tree, as bytes |
//! | `shelf` | the finished snapshots in the folder `snap/`, and reading from them |
//! | `piece_file` | a file with a piece, and its checksums |
//! | `pinned` | the state at a height while later blocks are executed |
//! | `maker`, `writer` | making one without stopping execution |
//! | `cut` | at which level a state is cut into chunks |
//! | `room` | how much of the disk a snapshot may take |
//! | `question` | what nodes ask each other about snapshots |
//! | `serve` | the answers |
//!
//! # What makes a snapshot worth anything
//! A decided header names an executed block and the state root after it, and voters have compared both with their own. So
//! the commit certificate of that header, the *witness*, certifies the state root; the snapshot's subtree roots lead to that
//! root, and a chunk's entries lead to its subtree's. Nothing else in a snapshot counts, whoever made or sent it.
//!
//! # On disk
//! `snap/<height>/manifest`, `snap/<height>/block` and one file for each chunk, named by its number. A folder is written
//! under another name and renamed when all of it is durable, so whatever has a height for its name is whole. The manifest has
//! a checksum; chunks and block are checked against it by whoever reads them in earnest.

pub mod chunk;
pub mod cut;
pub mod maker;
pub mod manifest;
pub mod piece_file;
pub mod pinned;
pub mod question;
pub mod room;
pub mod serve;
pub mod shelf;
pub mod writer;
