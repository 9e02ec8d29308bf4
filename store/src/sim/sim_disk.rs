//! The simulated disk: one folder of simulated files.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::medium::{Medium, MediumFile};

use super::fate::{Dice, Fate, split_mix};
use super::sim_file::SimFile;

/// A [`Medium`] in memory. Clones share one disk, as processes do; [`copy`](Self::copy) makes another disk.
///
/// Every change (creation, write, cut, sync, rename, deletion) is counted, and the disk can be told to
/// [stop](Self::stop_at) at any one of them, which is how a test visits every point at which a machine can crash.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    files: BTreeMap<u64, SimFile>,
    /// The folder as it can be read: names to files.
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    unsynced: Vec<FolderChange>,
    next_file: u64,
    nonces: u64,
    /// How often the machine was started; a file opened before is closed.
    boots: u64,
    operations: u64,
    syncs: u64,
    stop_at: Option<u64>,
    is_stopped: bool,
    failing_syncs: u64,
    capacity: Option<u64>,
}

#[derive(Debug, Clone)]
enum FolderChange {
    Link { name: String, file: u64 },
    Rename { from: String, to: String },
    Unlink { name: String },
}

impl SimDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk of its own with the same contents and settings: an image that can be started from later.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// How many changes and syncs were attempted so far.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How many syncs of files and of the folder have succeeded so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Lets the machine stop at the change with this number, counted as [`operations`](Self::operations) does from 0:
    /// the change is under way, and everything from it on fails until [`crash`](Self::crash).
    pub fn stop_at(&self, operation: u64) {
        self.lock().stop_at = Some(operation);
    }

    /// Whether the machine has stopped.
    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// Crashes the machine or, with [`Fate::Kept`], the process; decides over what was not synced, and starts again. All
    /// open files are closed, and no stop is set any more. Deleted files keep their memory until here.
    pub fn crash(&self, fate: Fate) {
        let mut state = self.lock();
        match fate {
            Fate::Lost => state.lose_memory(Dice::lost()),
            Fate::Torn(seed) => state.lose_memory(Dice::torn(seed)),
            Fate::Kept => {}
        }
        state.boots += 1;
        state.is_stopped = false;
        state.stop_at = None;
    }

    /// Lets the next `count` syncs of files fail. What they were meant for stays readable and is not durable.
    pub fn fail_syncs(&self, count: u64) {
        self.lock().failing_syncs = count;
    }

    /// Lets writes fail, after a part of them, that would take all files together beyond this many bytes.
    pub fn limit_capacity(&self, bytes: u64) {
        self.lock().capacity = Some(bytes);
    }

    /// Lifts the limit that [`limit_capacity`](Self::limit_capacity) has set.
    pub fn lift_capacity(&self) {
        self.lock().capacity = None;
    }

    /// The names of all files, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().live.keys().cloned().collect()
    }

    /// The readable contents of a file; empty when there is none of this name.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        self.lock().named(name).map_or_else(|_| Vec::new(), |file| file.live().to_vec())
    }

    /// Flips one bit of a file, durably; bit 0 is the lowest of the first byte.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut state = self.lock();
        if let Ok(file) = state.named(name) {
            let offset = bit / 8;
            let byte = usize::try_from(offset).ok().and_then(|index| file.live().get(index)).copied();
            if let Some(byte) = byte {
                file.corrupt(offset, &[byte ^ (1 << (bit % 8))]);
            }
        }
    }

    /// Puts other bytes into a file, durably and within its size, as a misdirected write does.
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) {
        if let Ok(file) = self.lock().named(name) {
            file.corrupt(offset, bytes);
        }
    }

    /// Cuts a file, durably.
    pub fn cut(&self, name: &str, size: u64) {
        if let Ok(file) = self.lock().named(name) {
            file.cut(size);
        }
    }

    /// Lets a file vanish, durably.
    pub fn lose(&self, name: &str) {
        let mut state = self.lock();
        state.live.remove(name);
        state.durable.remove(name);
    }

    /// Gives a file another name, durably.
    pub fn misplace(&self, from: &str, to: &str) {
        let mut state = self.lock();
        let State { live, durable, .. } = &mut *state;
        for names in [live, durable] {
            FolderChange::Rename { from: from.to_owned(), to: to.to_owned() }.apply(names);
        }
    }

    // The state is changed in single steps that do not panic, so a poisoned lock is taken as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, state: &State, file: u64) -> Arc<dyn MediumFile> {
        Arc::new(Handle { disk: self.clone(), file, boots: state.boots })
    }
}

impl FolderChange {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            FolderChange::Link { name, file } => {
                names.insert(name, file);
            }
            FolderChange::Rename { from, to } => {
                if let Some(file) = names.remove(&from) {
                    names.insert(to, file);
                }
            }
            FolderChange::Unlink { name } => {
                names.remove(&name);
            }
        }
    }
}

impl State {
    fn check_running(&self) -> io::Result<()> {
        if self.is_stopped { Err(io::Error::other("the simulated machine has stopped")) } else { Ok(()) }
    }

    /// Counts a change. When the machine stops at it, `begin` says what is under way then.
    fn change(&mut self, begin: impl FnOnce(&mut Self)) -> io::Result<()> {
        self.check_running()?;
        let stops = self.stop_at == Some(self.operations);
        self.operations += 1;
        if stops {
            begin(self);
            self.is_stopped = true;
        }
        self.check_running()
    }

    fn change_folder(&mut self, change: FolderChange) -> io::Result<()> {
        let make = |state: &mut Self| {
            change.clone().apply(&mut state.live);
            state.unsynced.push(change.clone());
        };
        self.change(make)?;
        make(self);
        Ok(())
    }

    fn lose_memory(&mut self, mut dice: Dice) {
        let kept = dice.prefix(self.unsynced.len());
        for change in std::mem::take(&mut self.unsynced).into_iter().take(kept) {
            change.apply(&mut self.durable);
        }
        let State { files, durable, .. } = self;
        files.retain(|file, _| durable.values().any(|linked| linked == file));
        files.values_mut().for_each(|file| file.crash(&mut dice));
        self.live = self.durable.clone();
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.live.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn named(&mut self, name: &str) -> io::Result<&mut SimFile> {
        let file = self.id(name)?;
        self.files.get_mut(&file).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// How many of `bytes` at `offset` fit the capacity.
    fn room(&self, file: &SimFile, offset: u64, len: usize) -> usize {
        let Some(capacity) = self.capacity else { return len };
        let used: u64 =
            self.live.values().filter_map(|id| self.files.get(id)).map(|f| f.live().len() as u64).sum();
        let free = capacity.saturating_sub(used);
        let overlap = (file.live().len() as u64).saturating_sub(offset);
        len.min(usize::try_from(free.saturating_add(overlap)).unwrap_or(usize::MAX))
    }
}

impl Medium for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.check_running()?;
        Ok(state.live.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let mut state = self.lock();
        let file = state.next_file;
        state.next_file += 1;
        state.files.insert(file, SimFile::default());
        state.change_folder(FolderChange::Link { name: name.to_owned(), file })?;
        Ok(self.handle(&state, file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let state = self.lock();
        state.check_running()?;
        Ok(self.handle(&state, state.id(name)?))
    }

    fn open_to_write(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.id(from)?;
        state.change_folder(FolderChange::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.id(name)?;
        state.change_folder(FolderChange::Unlink { name: name.to_owned() })
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change(|_| {})?;
        let State { durable, unsynced, .. } = &mut *state;
        unsynced.drain(..).for_each(|change| change.apply(durable));
        state.syncs += 1;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("sim").join(name)
    }

    fn nonce(&self) -> u64 {
        split_mix(&mut self.lock().nonces)
    }
}

/// An open file.
#[derive(Debug)]
struct Handle {
    disk: SimDisk,
    file: u64,
    boots: u64,
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        state.check_running()?;
        if state.boots != self.boots || !state.files.contains_key(&self.file) {
            return Err(io::Error::other("the file was open when the simulated machine crashed"));
        }
        act(&mut state, self.file)
    }

    fn file(state: &mut State, file: u64) -> io::Result<&mut SimFile> {
        state.files.get_mut(&file).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl MediumFile for Handle {
    fn size(&self) -> io::Result<u64> {
        self.with(|state, file| Ok(Self::file(state, file)?.live().len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|state, file| {
            let live = Self::file(state, file)?.live();
            let rest = usize::try_from(offset).ok().and_then(|start| live.get(start..)).unwrap_or(&[]);
            let len = rest.len().min(buffer.len());
            for (target, &byte) in buffer.iter_mut().zip(rest) {
                *target = byte;
            }
            Ok(len)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state, file| {
            state.change(|state| {
                if let Ok(file) = Self::file(state, file) {
                    file.write(offset, bytes);
                }
            })?;
            let room = state.files.get(&file).map_or(0, |file| state.room(file, offset, bytes.len()));
            let fitting = bytes.get(..room).unwrap_or(bytes);
            Self::file(state, file)?.write(offset, fitting);
            if fitting.len() < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
        })
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.with(|state, file| {
            state.change(|state| {
                if let Ok(file) = Self::file(state, file) {
                    file.truncate(size);
                }
            })?;
            Self::file(state, file)?.truncate(size);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, file| {
            state.change(|_| {})?;
            if let Some(left) = state.failing_syncs.checked_sub(1) {
                state.failing_syncs = left;
                Self::file(state, file)?.fail_sync();
                return Err(Errno::IO.into());
            }
            Self::file(state, file)?.sync();
            state.syncs += 1;
            Ok(())
        })
    }
}
