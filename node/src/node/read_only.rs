//! What a node does when its disk does not take what it must write: it stops voting and executing, and goes on answering.
//!
//! It comes to that in two ways. The free space is watched, and when little is left the parts are stopped in order, with
//! room to spare. Or a write or sync fails; then nothing that rests on it has left the node, since effects follow the flush.
//! Either way driver and executor end, and with them the handles whose last write is in doubt; they are never used again.
//! Reads go on from what was committed before. When there is room, all parts are opened again from the disk, as after a
//! restart of the process.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use aegis_config::StoreSection;
use aegis_rpc::api::{ApiError, ErrorCode};
use aegis_store::{Reserve, StoreError, space};
use tracing::warn;

/// How often the free space is looked at. At a hundred megabytes a second, the default threshold lasts longer.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);
/// First pause between two tries to write again; it doubles with each try that came to nothing.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why the node only answers, if so.
#[derive(Debug, Default)]
pub struct Condition {
    trouble: RwLock<Option<String>>,
}

impl Condition {
    /// The reason; none while the node takes part.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, the node only answers.
    pub fn restrict(&self, reason: String) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Refuses what would have to be written.
    ///
    /// # Errors
    /// `not_ready` while the node only answers.
    pub fn check_writable(&self) -> Result<(), ApiError> {
        match self.trouble() {
            None => Ok(()),
            Some(reason) => Err(ApiError::new(
                ErrorCode::NotReady,
                format!(
                    "this node is read-only: {reason}; nothing was done, ask another node or try again later"
                ),
            )),
        }
    }
}

/// Little space is left.
#[derive(Debug, thiserror::Error)]
#[error("{free} bytes are left on the disk of {}, less than store.free_min ({needed} bytes); free some space", path.display())]
pub struct LittleSpace {
    path: PathBuf,
    free: u64,
    needed: u64,
}

/// Whether an error is the disk's, and not the node's.
pub fn is_disk_trouble(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<LittleSpace>() || cause.downcast_ref().is_some_and(StoreError::is_disk_trouble)
    })
}

/// The room that a node needs on its disk.
#[derive(Debug, Clone)]
pub struct Room {
    data: PathBuf,
    free_min: u64,
    reserve_bytes: u64,
    reserve: Reserve,
    tries: u32,
}

impl Room {
    /// The room for a data folder.
    pub fn new(data: PathBuf, store: &StoreSection) -> Self {
        let reserve_bytes = store.reserve.bytes();
        let reserve = Reserve::new(&data, reserve_bytes);
        Self { data, free_min: store.free_min.bytes(), reserve_bytes, reserve, tries: 0 }
    }

    /// Takes up the reserve. Without it the node runs as well; it only ends less orderly.
    pub fn take_reserve(&self) {
        if let Err(error) = self.reserve.take() {
            warn!(%error, "the reserve for a full disk cannot be kept");
        }
    }

    /// Gives the reserve back, so that what is open can be closed in order.
    pub fn release_reserve(&self) {
        if let Err(error) = self.reserve.release() {
            warn!(%error, "the reserve for a full disk cannot be released");
        }
    }

    /// Completes when too little space is left.
    pub async fn runs_out(&self) -> anyhow::Error {
        loop {
            tokio::time::sleep(SPACE_INTERVAL).await;
            if let Ok(free) = space::free_bytes(&self.data)
                && free < self.free_min
            {
                return LittleSpace { path: self.data.clone(), free, needed: self.free_min }.into();
            }
        }
    }

    /// Completes when there is room again, and the disk can be written.
    pub async fn returns(&mut self) {
        loop {
            let pause = PAUSE_MIN.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX));
            self.tries = self.tries.saturating_add(1);
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
            let room = self.clone();
            match tokio::task::spawn_blocking(move || room.check()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => warn!(%error, "the disk cannot be written yet"),
                Err(error) => warn!(%error, "the disk cannot be looked at"),
            }
        }
    }

    /// All is well for a while: the next trouble is looked after as eagerly as the first.
    pub fn is_well(&mut self) {
        self.tries = 0;
    }

    /// Whether there is room for the reserve and some more than the threshold, so that it is not crossed at once again, and
    /// whether every folder can be written.
    fn check(&self) -> Result<(), StoreError> {
        let needed = self.free_min.saturating_add(self.free_min / 4).saturating_add(self.reserve_bytes);
        if space::free_bytes(&self.data)? < needed {
            return Err(StoreError::NoSpace { action: "write to", path: self.data.clone() });
        }
        space::probe(&self.data)?;
        for folder in ["wal", "clog", "kv"] {
            space::probe(&self.data.join(folder))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_disk_s_errors_are_told_from_the_node_s_through_any_context() {
        let full = StoreError::NoSpace { action: "write", path: "f".into() };
        let error = Err::<(), _>(full).context("the vote journal cannot be written").unwrap_err();
        assert!(is_disk_trouble(&error));
        assert!(!is_disk_trouble(&anyhow::anyhow!("the driver ended by itself")));
    }

    #[test]
    fn a_restricted_node_refuses_writes_with_the_reason() {
        let condition = Condition::default();
        assert!(condition.check_writable().is_ok());
        condition.restrict("no space is left".to_owned());
        let error = condition.check_writable().unwrap_err();
        assert!(error.code.is_retryable() && error.message.contains("no space is left"), "{error}");
    }

    #[tokio::test]
    async fn too_little_space_is_noticed_and_returned_space_too() {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["wal", "clog", "kv"] {
            std::fs::create_dir(temp.path().join(folder)).unwrap();
        }
        let mut room = Room::new(temp.path().to_owned(), &StoreSection::default());
        room.free_min = u64::MAX;
        assert!(is_disk_trouble(&room.runs_out().await));
        room.free_min = 0;
        room.reserve_bytes = 0;
        room.check().unwrap();
        std::fs::remove_dir(temp.path().join("wal")).unwrap();
        assert!(room.check().is_err(), "every part must be writable");
    }
}
