//! Whether a store may still be used.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Part, StoreError};

const OPEN: u8 = 0;
const READ_ONLY: u8 = 1;
const CLOSED: u8 = 2;

/// What a call is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Goes from open to read-only to closed, never back.
///
/// A write that the disk refused leaves all that was committed before readable; damage, or a read that fails, does not.
#[derive(Debug, Default)]
pub(super) struct Access(AtomicU8);

impl Access {
    pub fn check(&self, purpose: Purpose) -> Result<(), StoreError> {
        match (self.0.load(Ordering::Acquire), purpose) {
            (OPEN, _) | (READ_ONLY, Purpose::Read) => Ok(()),
            _ => Err(StoreError::Poisoned { part: Part::Kv }),
        }
    }

    /// A call has failed.
    pub fn restrict(&self, purpose: Purpose, error: &StoreError) {
        let left = match purpose {
            Purpose::Write if error.is_disk_trouble() => READ_ONLY,
            Purpose::Read | Purpose::Write => CLOSED,
        };
        self.0.fetch_max(left, Ordering::AcqRel);
    }

    pub fn close(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_reads_and_damage_leaves_nothing() {
        let access = Access::default();
        let full = StoreError::NoSpace { action: "write", path: "f".into() };
        access.restrict(Purpose::Write, &full);
        assert!(access.check(Purpose::Read).is_ok() && access.check(Purpose::Write).is_err());
        let damage =
            StoreError::Damaged { part: Part::Kv, file: "f".into(), offset: None, reason: "x".to_owned() };
        access.restrict(Purpose::Read, &damage);
        assert!(access.check(Purpose::Read).is_err());
        access.restrict(Purpose::Write, &full);
        assert!(access.check(Purpose::Read).is_err(), "it never opens again");
    }
}
