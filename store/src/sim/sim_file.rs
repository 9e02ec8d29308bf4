//! One file of a simulated disk: what can be read, what is durable, and what lies between.

use super::fate::Dice;

/// A file that grows gets room for so many bytes more: some ten flushes of a journal.
const GROWTH: usize = 16 * 1024;

/// A change that was not synced yet, with what undoes it.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Vec<u8>, size_before: usize, overwritten: Vec<u8> },
    Truncate { size: u64, size_before: usize, cut_off: Vec<u8> },
}

/// The contents of a file. Offsets beyond what memory can hold do not occur.
///
/// As a rule what is durable is what can be read without the unsynced changes, and is not held a second time: files are
/// written and synced often, and crash seldom.
#[derive(Debug, Clone, Default)]
pub(super) struct SimFile {
    live: Vec<u8>,
    /// What is durable, if undoing the unsynced changes does not tell.
    apart: Option<Vec<u8>>,
    unsynced: Vec<Change>,
}

impl SimFile {
    pub fn live(&self) -> &[u8] {
        &self.live
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        let size_before = self.live.len();
        let overwritten = self.live.get(at(offset)..size_before.min(at(offset).saturating_add(bytes.len())));
        let overwritten = overwritten.unwrap_or_default().to_vec();
        place(&mut self.live, offset, bytes);
        self.unsynced.push(Change::Write { offset, bytes: bytes.to_vec(), size_before, overwritten });
    }

    pub fn truncate(&mut self, size: u64) {
        let size_before = self.live.len();
        let cut_off = self.live.get(at(size)..).unwrap_or_default().to_vec();
        self.live.resize(at(size), 0);
        self.unsynced.push(Change::Truncate { size, size_before, cut_off });
    }

    pub fn sync(&mut self) {
        let Some(durable) = &mut self.apart else {
            self.unsynced.clear();
            return;
        };
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes, .. } => place(durable, offset, &bytes),
                Change::Truncate { size, .. } => durable.resize(at(size), 0),
            }
        }
    }

    /// A sync that fails: the changes can still be read, and no later sync will make them durable.
    pub fn fail_sync(&mut self) {
        self.set_apart();
        self.unsynced.clear();
    }

    pub fn crash(&mut self, dice: &mut Dice) {
        let mut durable = self.durable();
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { offset, bytes, .. } => {
                    let remnant = dice.remnant(offset, bytes.len());
                    let reach = at(offset) + remnant.reach;
                    if remnant.reach > 0 && durable.len() < reach {
                        durable.resize(reach, 0);
                    }
                    for (start, end) in remnant.pieces {
                        if let Some(piece) = bytes.get(start..end) {
                            place(&mut durable, offset + start as u64, piece);
                        }
                    }
                }
                Change::Truncate { size, .. } => {
                    if dice.is_kept() {
                        durable.resize(at(size), 0);
                    }
                }
            }
        }
        self.live = durable;
        self.apart = None;
    }

    /// Changes bytes behind everybody's back, wherever they are.
    pub fn corrupt(&mut self, offset: u64, bytes: &[u8]) {
        self.set_apart();
        for copy in [&mut self.live].into_iter().chain(self.apart.as_mut()) {
            for (index, &byte) in bytes.iter().enumerate() {
                if let Some(target) = copy.get_mut(at(offset) + index) {
                    *target = byte;
                }
            }
        }
    }

    /// Cuts the file behind everybody's back.
    pub fn cut(&mut self, size: u64) {
        self.set_apart();
        self.live.truncate(at(size));
        if let Some(durable) = &mut self.apart {
            durable.truncate(at(size));
        }
    }

    fn set_apart(&mut self) {
        if self.apart.is_none() {
            self.apart = Some(self.durable());
        }
    }

    fn durable(&self) -> Vec<u8> {
        if let Some(durable) = &self.apart {
            return durable.clone();
        }
        let mut durable = self.live.clone();
        for change in self.unsynced.iter().rev() {
            match change {
                Change::Write { offset, size_before, overwritten, .. } => {
                    durable.truncate(*size_before);
                    place(&mut durable, *offset, overwritten);
                }
                Change::Truncate { size, size_before, cut_off } => {
                    durable.resize(*size_before, 0);
                    place(&mut durable, *size, cut_off);
                }
            }
        }
        durable
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
