//! Scenarios in which the machine stops: the vote journal must find what it had confirmed, whatever the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aegis_store::sim::{Fate, SimDisk};
use aegis_store::{FoundJournal, Journal, Milestones, SegmentOptions, StoreError};

type Records = Vec<Vec<u8>>;

/// Small, so that the script below starts several segments.
const OPTIONS: SegmentOptions = SegmentOptions { segment_bytes: 3_000 };
const TORN_SEEDS: u64 = 24;

enum Step {
    Append(usize),
    Flush,
    Checkpoint(&'static [usize]),
}
use Step::{Append, Checkpoint, Flush};

/// Single and grouped records, smaller and larger than a sector, segments that fill up, checkpoints with and without
/// buffered records, two in a row and an empty one.
const SCRIPT: &[Step] = &[
    Append(1),
    Flush,
    Append(2),
    Append(3),
    Append(4),
    Flush,
    Append(5),
    Flush,
    Append(6),
    Append(7),
    Flush,
    Checkpoint(&[3, 7]),
    Append(8),
    Flush,
    Append(9),
    Append(10),
    Checkpoint(&[10]),
    Checkpoint(&[]),
    Append(11),
    Flush,
    Append(12),
    Append(13),
    Append(14),
    Flush,
    Append(15),
    Flush,
];

fn record(number: usize) -> Vec<u8> {
    let len = [5, 1_500, 40, 700, 0, 2_100][number % 6];
    let mut bytes = vec![number as u8; len];
    bytes.extend_from_slice(&(number as u64).to_le_bytes());
    bytes
}

fn open(disk: &SimDisk) -> Result<(Journal, Records), StoreError> {
    Journal::open_on(Arc::new(disk.clone()), OPTIONS)
}

/// The newest milestone, on a disk of its own.
#[derive(Debug, Clone, Default)]
struct Noted(Arc<AtomicU64>);

impl Milestones for Noted {
    fn note(&self, confirmed: u64) -> Result<(), StoreError> {
        let before = self.0.swap(confirmed, Ordering::SeqCst);
        assert!(before <= confirmed, "milestones never go back");
        Ok(())
    }
}

/// What may be found after a crash, kept by arithmetic of its own.
#[derive(Default)]
struct Model {
    confirmed: Records,
    buffered: Records,
    legal: Vec<Records>,
    noted: Noted,
}

impl Model {
    fn begin_flush(&mut self) {
        self.legal = (0..=self.buffered.len())
            .map(|count| [&self.confirmed[..], &self.buffered[..count]].concat())
            .collect();
    }

    fn confirm(&mut self, records: Records) {
        self.legal = vec![records.clone()];
        self.confirmed = records;
        self.buffered.clear();
    }

    fn all(&self) -> Records {
        [&self.confirmed[..], &self.buffered[..]].concat()
    }
}

/// Runs the script until it ends or fails, and returns what a crash may leave. `before` is called before each step.
fn drive(disk: &SimDisk, before: &mut dyn FnMut(usize)) -> (Model, Option<StoreError>) {
    let mut model = Model { legal: vec![Vec::new()], ..Model::default() };
    let mut journal = match open(disk) {
        Ok((journal, _)) => journal,
        Err(error) => return (model, Some(error)),
    };
    journal.keep_milestones(Arc::new(model.noted.clone())).expect("noted");
    for (number, step) in SCRIPT.iter().enumerate() {
        before(number);
        let outcome = match step {
            Append(number) => {
                journal.append(&record(*number));
                model.buffered.push(record(*number));
                continue;
            }
            Flush => {
                model.begin_flush();
                journal.flush().map(|()| model.confirm(model.all()))
            }
            Checkpoint(live) => {
                let live: Records = live.iter().map(|&number| record(number)).collect();
                model.begin_flush();
                model.legal.push(live.clone());
                journal.checkpoint(live.iter().map(Vec::as_slice)).map(|()| model.confirm(live))
            }
        };
        if let Err(error) = outcome {
            assert!(
                matches!(journal.flush(), Err(StoreError::Poisoned { .. })),
                "a journal that failed must stay closed"
            );
            return (model, Some(error));
        }
    }
    (model, None)
}

fn fates() -> impl Iterator<Item = Fate> {
    [Fate::Lost, Fate::Kept].into_iter().chain((0..TORN_SEEDS).map(Fate::Torn))
}

/// Opens the journal, checks what it finds, and that it goes on from there for good.
fn assert_recovers(disk: &SimDisk, model: &Model, what: &str) {
    let legal = &model.legal;
    let read = FoundJournal::read_on(Arc::new(disk.clone()), OPTIONS);
    let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
    let milestone = model.noted.0.load(Ordering::SeqCst);
    read.check_reaches(milestone).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (mut journal, found) = read.open().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        legal.contains(&found),
        "{what}: found {} records, expected one of {} states",
        found.len(),
        legal.len()
    );
    let (_, again) = open(&after_power_loss(disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again, found, "{what}: what opening has returned must be durable");
    journal.append(b"after the crash");
    journal.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected = [found, vec![b"after the crash".to_vec()]].concat();
    let (_, again) = open(&after_power_loss(disk)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(again, expected, "{what}: the journal must go on where it stood");
}

fn after_power_loss(disk: &SimDisk) -> SimDisk {
    let copy = disk.copy();
    copy.crash(Fate::Lost);
    copy
}

fn operations_of_the_script() -> u64 {
    let disk = SimDisk::new();
    let (model, error) = drive(&disk, &mut |_| {});
    assert!(error.is_none(), "the script runs through without faults");
    let operations = disk.operations();
    assert_recovers(&disk, &model, "without a crash");
    operations
}

#[test]
fn a_crash_at_any_operation_leaves_what_was_confirmed() {
    for operation in 0..operations_of_the_script() {
        for fate in fates() {
            let disk = SimDisk::new();
            disk.stop_at(operation);
            let (model, _) = drive(&disk, &mut |_| {});
            assert!(disk.is_stopped());
            disk.crash(fate);
            assert_recovers(&disk, &model, &format!("stop at {operation}, {fate:?}"));
        }
    }
}

#[test]
fn a_second_crash_while_recovering_changes_nothing() {
    let mut second_crashes = 0;
    for operation in 0..operations_of_the_script() {
        for fate in [Fate::Lost, Fate::Kept, Fate::Torn(1), Fate::Torn(2), Fate::Torn(3)] {
            let crashed = SimDisk::new();
            crashed.stop_at(operation);
            let (model, _) = drive(&crashed, &mut |_| {});
            crashed.crash(fate);
            let start = crashed.operations();
            let trial = crashed.copy();
            open(&trial).expect("recovery without a second crash");
            for again in start..trial.operations() {
                for second in [Fate::Lost, Fate::Kept, Fate::Torn(again), Fate::Torn(again + 1_000)] {
                    let disk = crashed.copy();
                    disk.stop_at(again);
                    assert!(open(&disk).is_err());
                    disk.crash(second);
                    let what = format!("stop at {operation}, {fate:?}, again at {again}, {second:?}");
                    assert_recovers(&disk, &model, &what);
                    second_crashes += 1;
                }
            }
        }
    }
    assert!(second_crashes > 1_000, "only {second_crashes} second crashes were visited");
}

#[test]
fn a_sync_that_fails_closes_the_journal_and_loses_nothing_confirmed() {
    let mut failures = 0;
    for failing in 0..SCRIPT.len() {
        for fate in [None, Some(Fate::Lost), Some(Fate::Kept), Some(Fate::Torn(5))] {
            let disk = SimDisk::new();
            let faulty = disk.clone();
            let (model, error) = drive(&disk, &mut |step| {
                if step == failing {
                    faulty.fail_syncs(1);
                }
            });
            let Some(error) = error else { continue };
            assert!(matches!(error, StoreError::Io { .. }), "{error}");
            failures += 1;
            if let Some(fate) = fate {
                disk.crash(fate);
            }
            assert_recovers(&disk, &model, &format!("failing sync in step {failing}, {fate:?}"));
        }
    }
    assert!(failures > 20, "only {failures} syncs failed");
}

#[test]
fn a_full_disk_closes_the_journal_and_loses_nothing_confirmed() {
    let mut filled = 0;
    for capacity in (0..12_000).step_by(61) {
        let disk = SimDisk::new();
        disk.limit_capacity(capacity);
        let (model, error) = drive(&disk, &mut |_| {});
        let Some(error) = error else { continue };
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
        filled += 1;
        disk.lift_capacity();
        assert_recovers(&disk, &model, &format!("room for {capacity} bytes"));
    }
    assert!(filled > 50, "the disk was full only {filled} times");
}

#[test]
fn the_same_calls_give_the_same_disk() {
    let image = || {
        let disk = SimDisk::new();
        drive(&disk, &mut |_| {});
        disk.crash(Fate::Torn(9));
        disk.names().into_iter().map(|name| (disk.contents(&name), name)).collect::<Vec<_>>()
    };
    assert_eq!(image(), image());
}

#[test]
fn a_checkpoint_of_nothing_is_never_overwritten_by_the_next_segment_however_small_segments_are() {
    let disk = SimDisk::new();
    let options = SegmentOptions { segment_bytes: 1 };
    let open = || Journal::open_on(Arc::new(disk.clone()), options);
    let (mut journal, _) = open().expect("a new journal");
    journal.append(b"superseded");
    journal.checkpoint(std::iter::empty::<&[u8]>()).expect("a checkpoint");
    let (mut journal, records) = open().expect("the checkpoint is there");
    assert_eq!(records, Records::new());
    for record in [b"first", b"other"] {
        journal.append(record);
        journal.flush().expect("flushed");
    }
    let (_, records) = open().expect("the journal is whole");
    assert_eq!(records, [b"first".to_vec(), b"other".to_vec()]);
}
