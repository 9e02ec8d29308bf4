//! A node's disk: the real vote journal and the real committed log, each on a simulated medium.
//!
//! The order of writing is the real node's: the journal is flushed before messages leave, the log only when a block is
//! about to be executed. So after a crash the journal may be ahead of the log, never behind what was sent.

use std::sync::Arc;

use aegis_store::sim::{Fate, SimDisk};
use aegis_store::{CommittedLog, Journal, LogReader, SegmentOptions, StoreError};

use super::rng::Rng;

/// Small, so that runs go through several segments.
const SEGMENTS: SegmentOptions = SegmentOptions { segment_bytes: 48 * 1024 };
/// Operations of a flush among which a crash may fall: writes, syncs, and those of a new segment.
const FLUSH_OPERATIONS: usize = 6;

/// Which of the two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The vote journal.
    Journal,
    /// The committed log.
    Log,
}

/// What outlives a process.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    journal: SimDisk,
    log: SimDisk,
}

/// Journal and log of a running process.
#[derive(Debug)]
pub struct OpenDisk {
    /// The vote journal.
    pub journal: Journal,
    /// The committed log.
    pub log: CommittedLog,
    /// Reads the log.
    pub reader: LogReader,
    /// The journal's entries at the start.
    pub entries: Vec<Vec<u8>>,
}

impl Disk {
    /// Opens both parts, as a process does when it starts.
    ///
    /// # Errors
    /// When either is damaged.
    pub fn open(&self) -> Result<OpenDisk, StoreError> {
        let (journal, entries) = Journal::open_on(Arc::new(self.journal.clone()), SEGMENTS)?;
        let log = CommittedLog::open_on(Arc::new(self.log.clone()), SEGMENTS)?;
        let reader = log.reader();
        Ok(OpenDisk { journal, log, reader, entries })
    }

    fn part(&self, part: Part) -> &SimDisk {
        match part {
            Part::Journal => &self.journal,
            Part::Log => &self.log,
        }
    }

    /// Syncs that both parts have made.
    pub fn syncs(&self) -> u64 {
        self.journal.syncs() + self.log.syncs()
    }

    /// Ends the process that has the disk open. At times the machine's memory is lost with it, wholly or in part.
    pub fn crash(&self, rng: &mut Rng) {
        let fate = match rng.index(3) {
            0 => Fate::Lost,
            1 => Fate::Kept,
            _ => Fate::Torn(rng.draw()),
        };
        self.journal.crash(fate);
        self.log.crash(fate);
    }

    /// Lets the machine stop at one of the next few operations on a part.
    pub fn stop_soon(&self, part: Part, rng: &mut Rng) {
        let disk = self.part(part);
        disk.stop_at(disk.operations() + rng.index(FLUSH_OPERATIONS) as u64);
    }

    /// Lets the next sync of a part fail.
    pub fn fail_next_sync(&self, part: Part) {
        self.part(part).fail_syncs(1);
    }

    /// Leaves room for a few more bytes only.
    pub fn fill_up(&self, part: Part, rng: &mut Rng) {
        let disk = self.part(part);
        let used: u64 = disk.names().iter().map(|name| disk.contents(name).len() as u64).sum();
        disk.limit_capacity(used + rng.within(0..=2_000));
    }

    /// Takes back what [`Disk::fail_next_sync`] and [`Disk::fill_up`] did: somebody has repaired the disk.
    pub fn repair(&self) {
        for disk in [&self.journal, &self.log] {
            disk.fail_syncs(0);
            disk.lift_capacity();
        }
    }

    /// Changes durable bytes of a part: a flipped bit, bytes of another place, or a file under another's name. Returns what
    /// was done; none when there is nothing to damage.
    pub fn damage(&self, part: Part, rng: &mut Rng) -> Option<String> {
        let disk = self.part(part);
        let names: Vec<String> =
            disk.names().into_iter().filter(|name| !disk.contents(name).is_empty()).collect();
        let name = names.get(rng.index(names.len().max(1)))?;
        let length = disk.contents(name).len() as u64;
        match rng.index(3) {
            0 => {
                let bit = rng.within(0..=length * 8 - 1);
                disk.flip_bit(name, bit);
                Some(format!("bit {bit} of {name} flips"))
            }
            1 => {
                let (from, to) = (rng.within(0..=length - 1), rng.within(0..=length - 1));
                let bytes = disk.contents(name);
                let end = (from as usize + 512).min(bytes.len());
                disk.overwrite(name, to, &bytes[from as usize..end]);
                Some(format!("{name} reads at {to} what is at {from}"))
            }
            _ => {
                let other = names.get(rng.index(names.len()))?;
                if other != name {
                    disk.misplace(name, other);
                }
                Some(format!("{other} is what {name} was"))
            }
        }
    }

    /// An image of the disk as it is now.
    #[must_use]
    pub fn image(&self) -> Self {
        Self { journal: self.journal.copy(), log: self.log.copy() }
    }
}

#[cfg(test)]
mod tests {
    use aegis_types::Height;

    use super::*;

    fn filled() -> Disk {
        let disk = Disk::default();
        let mut open = disk.open().unwrap();
        for number in 1..=40_u64 {
            open.journal.append(&[number as u8; 300]);
            open.journal.flush().unwrap();
            open.log.append(Height(number), &[number as u8; 2_000]).unwrap();
            open.log.flush().unwrap();
        }
        disk
    }

    #[test]
    fn what_was_flushed_survives_every_kind_of_crash() {
        for seed in 0..30 {
            let disk = filled();
            disk.crash(&mut Rng::new(seed, "crash"));
            let open = disk.open().unwrap();
            assert_eq!(open.entries.len(), 40);
            assert_eq!(open.log.last(), Some(Height(40)));
        }
    }

    #[test]
    fn damage_is_noticed_or_harmless() {
        let mut noticed = 0;
        for seed in 0..200 {
            let mut rng = Rng::new(seed, "damage");
            let disk = filled();
            disk.damage(Part::Journal, &mut rng);
            match disk.open() {
                Err(_) => noticed += 1,
                Ok(open) => assert!(
                    open.entries.len() <= 40
                        && open.entries.iter().zip(1..).all(|(entry, n)| *entry == [n; 300]),
                    "seed {seed}: damaged bytes are served"
                ),
            }
        }
        assert!(noticed > 100, "{noticed}");
    }

    #[test]
    fn an_image_does_not_change_with_its_disk() {
        let disk = filled();
        let image = disk.image();
        let mut open = disk.open().unwrap();
        open.journal.append(b"later");
        open.journal.flush().unwrap();
        assert_eq!(image.open().unwrap().entries.len(), 40);
    }
}
