//! A mark in the folder of a key-value store that was found damaged.
//!
//! Damage shows only where something is read. Without the mark, a node that met it would stop, start again on the same
//! damage and meet it again; with it, the next opening fails at once, and the store is built again.

use std::fs::File;
use std::path::Path;

use tracing::warn;

use crate::disk::sync_folder;

const MARK: &str = "found.damaged";

/// Marks the folder. Best effort: on a disk that cannot take it, the damage is met again.
pub(super) fn leave(folder: &Path) {
    let left = File::create(folder.join(MARK)).and_then(|file| file.sync_all());
    if let Err(error) = left {
        warn!(folder = %folder.display(), %error, "a damaged key-value store could not be marked as such");
    } else if let Err(error) = sync_folder(folder) {
        warn!(folder = %folder.display(), %error, "the mark of a damaged key-value store may be lost");
    }
}

/// Whether the folder has the mark.
pub(super) fn is_there(folder: &Path) -> bool {
    folder.join(MARK).exists()
}
