//! One file of a simulated disk: what can be read, what is durable, and what lies between.

use super::fate::Dice;

/// A file that grows gets room for so many bytes more: some ten flushes of a journal.
const GROWTH: usize = 16 * 1024;

/// A change that was not synced yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate { size: u64 },
}

/// The contents of a file. Offsets beyond what memory can hold do not occur.
#[derive(Debug, Clone, Default)]
pub(super) struct SimFile {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl SimFile {
    pub fn live(&self) -> &[u8] {
        &self.live
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        place(&mut self.live, offset, bytes);
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub fn truncate(&mut self, size: u64) {
        self.live.resize(at(size), 0);
        self.unsynced.push(Change::Truncate { size });
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { offset, bytes } => place(&mut self.durable, offset, &bytes),
                Change::Truncate { size } => self.durable.resize(at(size), 0),
            }
        }
    }

    /// A sync that fails: the changes can still be read, and no later sync will make them durable.
    pub fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    pub fn crash(&mut self, dice: &mut Dice) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { offset, bytes } => {
                    let remnant = dice.remnant(offset, bytes.len());
                    let reach = at(offset) + remnant.reach;
                    if remnant.reach > 0 && self.durable.len() < reach {
                        self.durable.resize(reach, 0);
                    }
                    for (start, end) in remnant.pieces {
                        if let Some(piece) = bytes.get(start..end) {
                            place(&mut self.durable, offset + start as u64, piece);
                        }
                    }
                }
                Change::Truncate { size } => {
                    if dice.is_kept() {
                        self.durable.resize(at(size), 0);
                    }
                }
            }
        }
        self.live = self.durable.clone();
    }

    /// Changes bytes behind everybody's back, wherever they are.
    pub fn corrupt(&mut self, offset: u64, bytes: &[u8]) {
        for copy in [&mut self.live, &mut self.durable] {
            for (index, &byte) in bytes.iter().enumerate() {
                if let Some(target) = copy.get_mut(at(offset) + index) {
                    *target = byte;
                }
            }
        }
    }

    /// Cuts the file behind everybody's back.
    pub fn cut(&mut self, size: u64) {
        self.live.truncate(at(size));
        self.durable.truncate(at(size));
    }
}

fn place(target: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = at(offset);
    // Logs only grow: no zeros to be written over, and no need for more room at each write.
    if start == target.len() {
        if target.capacity() < start + bytes.len() {
            target.reserve((start + bytes.len()).max(GROWTH));
        }
        target.extend_from_slice(bytes);
        return;
    }
    let end = start + bytes.len();
    if !bytes.is_empty() && target.len() < end {
        target.resize(end, 0);
    }
    if let Some(range) = target.get_mut(start..end) {
        range.copy_from_slice(bytes);
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
