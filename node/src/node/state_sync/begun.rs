//! The sets of pieces that were begun.
//!
//! Two are kept at most, each with its manifest: whoever offers another snapshot, or the same one cut otherwise, must
//! not make a node throw away what it has nearly complete. When a third is begun, the one with fewer bytes makes room; every
//! byte in a set was verified, so a set can only be filled with what is worth fetching.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::settle::{Incoming, remove};
use crate::node::snapshot::manifest::Manifest;
use crate::node::snapshot::piece_file::sync_folder;
use crate::node::snapshot::question::Offer;
use crate::node::snapshot::shelf::{make_folder, piece_path, read_manifest, write_manifest};

/// The snapshots that were begun.
pub fn begun(incoming: &Incoming) -> Vec<Offer> {
    places(incoming).iter().filter_map(|place| offer_in(place)).collect()
}

/// The folder for the pieces of a manifest that was verified, and whether it was begun before.
///
/// # Errors
/// Errors of the disk.
pub fn open_set(incoming: &Incoming, manifest: &Manifest) -> io::Result<(PathBuf, bool)> {
    let offer = Offer::of(manifest);
    let [first, second] = places(incoming);
    let is_in = |place: &PathBuf| offer_in(place) == Some(offer);
    let is_begun = is_in(&first) || is_in(&second);
    let is_first = if is_begun { is_in(&first) } else { bytes_in(&first) <= bytes_in(&second) };
    let place = if is_first { first } else { second };
    if !is_begun {
        remove(&place)?;
        make_folder(&place)?;
    }
    write_manifest(&place, manifest)?;
    Ok((place, is_begun))
}

/// Puts a complete set where it is built from, and drops the other one.
///
/// # Errors
/// Errors of the disk.
pub fn choose(incoming: &Incoming, set: &Path) -> io::Result<()> {
    for place in places(incoming) {
        if place != set {
            remove(&place)?;
        }
    }
    if set != incoming.pieces() {
        fs::rename(set, incoming.pieces())?;
        sync_folder(incoming.folder())?;
    }
    Ok(())
}

fn places(incoming: &Incoming) -> [PathBuf; 2] {
    [incoming.pieces(), incoming.other_pieces()]
}

fn offer_in(place: &Path) -> Option<Offer> {
    read_manifest(place).ok().map(|manifest| Offer::of(&manifest))
}

/// The bytes of the pieces in a set; what has no manifest is worth nothing.
fn bytes_in(place: &Path) -> u64 {
    let Ok(manifest) = read_manifest(place) else { return 0 };
    let sizes = manifest.pieces().filter_map(|piece| fs::metadata(piece_path(place, piece)).ok());
    sizes.map(|metadata| metadata.len()).fold(0, u64::saturating_add)
}
