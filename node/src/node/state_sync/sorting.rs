//! Sorts the entries of a state by key, with bounded memory.
//!
//! Chunks have their entries in order of key hash, which is by chance for the store: put in that order, nearly every entry
//! touches another page of it, and once the store is larger than its cache each costs a read and a write of its own. In
//! order of key, each page is filled once.
//!
//! Entries are collected up to [`RUN_BYTES`], sorted, and written as a *run*. When there are [`FAN_IN`] runs of a size, they
//! are merged into one of the next size, so never many files are open. The runs are neither synced nor trusted: what is lost
//! or changed of them is missing in the state's root.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use super::settle::remove;
use crate::node::snapshot::chunk::{CHUNK_BYTES_MAX, push_entry};
use crate::node::snapshot::shelf::make_folder;

/// Bytes of entries that are sorted in memory; an entry that is larger is a run by itself. Smaller: more runs; larger: more
/// memory.
const RUN_BYTES: usize = 48 << 20;
/// Runs that are merged at once. Each costs a buffer and an entry in memory, and an open file; a hundred gigabytes of state
/// take two rounds.
const FAN_IN: usize = 48;
/// Buffer of a run that is read or written.
const BUFFER_BYTES: usize = 256 << 10;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Takes entries in any order.
pub struct Sorter<'a> {
    folder: PathBuf,
    limits: Limits,
    /// Ends the sorting when the node ends.
    stop: &'a CancellationToken,
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Place>,
    /// Runs by size: those of each place are about [`FAN_IN`] times as large as those of the place before.
    runs: Vec<Vec<PathBuf>>,
    runs_made: u64,
}

/// What bounds a sorter; less in tests.
#[derive(Debug, Clone, Copy)]
struct Limits {
    run_bytes: usize,
    fan_in: usize,
}

/// Where an entry stands in the bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: usize,
    value: usize,
    end: usize,
}

impl<'a> Sorter<'a> {
    /// A sorter that works in a folder, which it empties first.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn new(folder: PathBuf, stop: &'a CancellationToken) -> io::Result<Self> {
        Self::limited(folder, stop, Limits { run_bytes: RUN_BYTES, fan_in: FAN_IN })
    }

    fn limited(folder: PathBuf, stop: &'a CancellationToken, limits: Limits) -> io::Result<Self> {
        remove(&folder)?;
        make_folder(&folder)?;
        let (bytes, entries, runs) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { folder, limits, stop, bytes, entries, runs, runs_made: 0 })
    }

    /// Takes an entry. No key may come twice.
    ///
    /// # Errors
    /// Errors of the disk; when the node stops.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        let end = self.bytes.len().saturating_add(key.len()).saturating_add(value.len());
        if end > self.limits.run_bytes && !self.entries.is_empty() {
            self.write_run()?;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value_start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push(Place { key: start, value: value_start, end: self.bytes.len() });
        Ok(())
    }

    /// All entries, in ascending order of key.
    ///
    /// # Errors
    /// Errors of the disk; when the node stops.
    pub fn finish(mut self) -> anyhow::Result<Sorted> {
        self.write_run()?;
        let runs: Vec<PathBuf> = self.runs.iter().flatten().cloned().collect();
        Ok(Sorted { merge: Merge::of(&runs)?, folder: Some(std::mem::take(&mut self.folder)) })
    }

    fn write_run(&mut self) -> anyhow::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut entries = std::mem::take(&mut self.entries);
        let key = |place: &Place| bytes.get(place.key..place.value).unwrap_or_default();
        let value = |place: &Place| bytes.get(place.value..place.end).unwrap_or_default();
        entries.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        let mut run = self.begin_run()?;
        for place in &entries {
            run.push(key(place), value(place))?;
        }
        let path = run.finish()?;
        // Their room is used again.
        (self.bytes, self.entries) = (bytes, entries);
        self.bytes.clear();
        self.entries.clear();
        self.keep(0, path)
    }

    /// Keeps a run, and merges those of its size when they are enough.
    fn keep(&mut self, size: usize, path: PathBuf) -> anyhow::Result<()> {
        if self.runs.len() <= size {
            self.runs.push(Vec::new());
        }
        let Some(same) = self.runs.get_mut(size) else { return Ok(()) };
        same.push(path);
        if same.len() < self.limits.fan_in {
            return Ok(());
        }
        let merged = std::mem::take(same);
        let mut run = self.begin_run()?;
        for entry in Merge::of(&merged)? {
            let (key, value) = entry?;
            run.push(&key, &value)?;
        }
        let path = run.finish()?;
        for old in merged {
            fs::remove_file(&old).with_context(|| old.display().to_string())?;
        }
        self.keep(size + 1, path)
    }

    fn begin_run(&mut self) -> anyhow::Result<RunWriter<'a>> {
        ensure!(!self.stop.is_cancelled(), "the node stops");
        self.runs_made = self.runs_made.saturating_add(1);
        let path = self.folder.join(self.runs_made.to_string());
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Ok(RunWriter { path, file, encoded: Vec::new(), stop: self.stop })
    }
}

impl Drop for Sorter<'_> {
    fn drop(&mut self) {
        // Of one that was finished nothing is left here; one that failed leaves up to a state's bytes.
        if !self.folder.as_os_str().is_empty() {
            let _ = remove(&self.folder);
        }
    }
}

/// A run that is being written, in the form of chunks.
struct RunWriter<'a> {
    path: PathBuf,
    file: BufWriter<File>,
    encoded: Vec<u8>,
    stop: &'a CancellationToken,
}

impl RunWriter<'_> {
    fn push(&mut self, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        ensure!(!self.stop.is_cancelled(), "the node stops");
        self.encoded.clear();
        push_entry(&mut self.encoded, key, value);
        self.file.write_all(&self.encoded).with_context(|| self.path.display().to_string())
    }

    fn finish(mut self) -> anyhow::Result<PathBuf> {
        self.file.flush().with_context(|| self.path.display().to_string())?;
        Ok(self.path)
    }
}

/// Sorted entries; the folder is deleted with them.
pub struct Sorted {
    merge: Merge,
    folder: Option<PathBuf>,
}

impl Iterator for Sorted {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.merge.next()
    }
}

impl Drop for Sorted {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            // What is left is deleted with the folder that it is in.
            let _ = remove(&folder);
        }
    }
}

/// An entry's key, the number of its run, its value.
type Head = (Vec<u8>, usize, Vec<u8>);

/// Several runs as one.
struct Merge {
    runs: Vec<BufReader<File>>,
    /// The first entry of each run that has not come yet, with the run's number.
    heads: BinaryHeap<Reverse<Head>>,
}

impl Merge {
    fn of(paths: &[PathBuf]) -> io::Result<Self> {
        let open = |path: &PathBuf| Ok(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?));
        let runs = paths.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let mut merge = Self { heads: BinaryHeap::with_capacity(runs.len()), runs };
        for number in 0..merge.runs.len() {
            merge.advance(number)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, number: usize) -> io::Result<()> {
        let Some(run) = self.runs.get_mut(number) else { return Ok(()) };
        if let Some((key, value)) = read_entry(run)? {
            self.heads.push(Reverse((key, number, value)));
        }
        Ok(())
    }
}

impl Iterator for Merge {
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((key, number, value)) = self.heads.pop()?;
        Some(self.advance(number).map(|()| (key, value)))
    }
}

/// The next entry of a run; none at its end.
fn read_entry(run: &mut BufReader<File>) -> io::Result<Option<Entry>> {
    let mut lengths = [0; 8];
    let read = run.read(&mut lengths)?;
    if read == 0 {
        return Ok(None);
    }
    run.read_exact(lengths.get_mut(read..).unwrap_or_default())?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let key = read_bytes(run, [a, b, c, d])?;
    let value = read_bytes(run, [e, f, g, h])?;
    Ok(Some((key, value)))
}

/// A disk that has changed a length must not make this allocate without bound.
fn read_bytes(run: &mut BufReader<File>, length: [u8; 4]) -> io::Result<Vec<u8>> {
    let length = u32::from_be_bytes(length);
    if u64::from(length) > CHUNK_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a file of sorted entries is damaged"));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    run.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SMALL: Limits = Limits { run_bytes: 500, fan_in: 3 };

    fn key(number: u64) -> Vec<u8> {
        // In an order by chance, of several lengths.
        let hash = aegis_types::Hash::of("test", &number.to_be_bytes());
        let length = hash.0[0] as usize % 30 + 2;
        hash.0[..length].to_vec()
    }

    #[test]
    fn entries_in_any_order_come_back_in_order_of_key_and_leave_nothing_behind() {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        for count in [0, 1, 2, 50, 2_000] {
            let place = folder.path().join("sorting");
            let mut sorter = Sorter::limited(place.clone(), &stop, SMALL).unwrap();
            let value =
                |number: u64| vec![number as u8; if number == 7 { 2_000 } else { number as usize % 40 }];
            let expected: BTreeMap<_, _> = (0..count).map(|number| (key(number), value(number))).collect();
            // Each key once, in the order of their numbers.
            let mut seen = std::collections::BTreeSet::new();
            for number in (0..count).rev().filter(|number| seen.insert(key(*number))) {
                sorter.push(&key(number), &value(number)).unwrap();
            }
            let files = fs::read_dir(&place).unwrap().count();
            assert!(files <= SMALL.fan_in * 8, "{files} runs of {count} entries are too many to be opened");
            let sorted = sorter.finish().unwrap();
            let found: Vec<Entry> = sorted.map(Result::unwrap).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{count}");
            assert!(!place.exists());
        }
    }

    #[test]
    fn a_damaged_run_is_an_error_or_another_state_and_never_endless_memory() {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let place = folder.path().join("sorting");
        let mut sorter = Sorter::limited(place.clone(), &stop, SMALL).unwrap();
        for number in 0..10 {
            sorter.push(&key(number), b"value").unwrap();
        }
        sorter.write_run().unwrap();
        fs::write(place.join("1"), [0xff; 100]).unwrap();
        let error = sorter.finish().err().expect("its lengths are no lengths");
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn sorting_ends_when_the_node_ends() {
        let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let mut sorter = Sorter::limited(folder.path().join("sorting"), &stop, SMALL).unwrap();
        sorter.push(b"k", b"v").unwrap();
        stop.cancel();
        assert!(sorter.finish().err().expect("it stops").to_string().contains("stops"));
    }
}
