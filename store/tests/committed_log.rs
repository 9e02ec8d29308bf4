//! Scenarios of the committed log over a simulated disk.

use std::sync::Arc;

use aegis_store::sim::{Fate, SimDisk};
use aegis_store::{CommittedLog, Part, SegmentOptions, StoreError};
use aegis_types::Height;

const OPTIONS: SegmentOptions = SegmentOptions { segment_bytes: 2_500 };

fn block(height: u64) -> Vec<u8> {
    let mut bytes = vec![height as u8; [900, 3, 1_700, 0][height as usize % 4]];
    bytes.extend_from_slice(&height.to_le_bytes());
    bytes
}

fn open(disk: &SimDisk) -> Result<CommittedLog, StoreError> {
    CommittedLog::open_on(Arc::new(disk.clone()), OPTIONS)
}

/// A log of the heights, flushed two at a time.
fn log_of(disk: &SimDisk, heights: std::ops::RangeInclusive<u64>) -> CommittedLog {
    let mut log = open(disk).expect("open");
    for height in heights {
        log.append(Height(height), &block(height)).expect("append");
        if height % 2 == 0 {
            log.flush().expect("flush");
        }
    }
    log.flush().expect("flush");
    log
}

#[track_caller]
fn assert_holds(log: &CommittedLog, heights: std::ops::RangeInclusive<u64>) {
    let reader = log.reader();
    assert_eq!((log.first(), log.last()), (Some(Height(*heights.start())), Some(Height(*heights.end()))));
    assert_eq!((reader.first(), reader.last()), (log.first(), log.last()));
    assert_eq!(reader.read(Height(heights.start() - 1)).expect("read"), None);
    assert_eq!(reader.read(Height(heights.end() + 1)).expect("read"), None);
    for height in heights {
        assert_eq!(reader.read(Height(height)).expect("read"), Some(block(height)), "height {height}");
    }
}

/// Heights whose blocks one segment holds, as its neighbour's name tells.
fn segments(disk: &SimDisk) -> Vec<(String, u64)> {
    let parse = |name: &String| u64::from_str_radix(name.trim_end_matches(".seg"), 16).expect("a height");
    disk.names().iter().map(|name| (name.clone(), parse(name))).collect()
}

#[test]
fn blocks_are_read_back_by_height_before_and_after_a_restart() {
    let disk = SimDisk::new();
    let log = log_of(&disk, 1..=40);
    assert!(segments(&disk).len() > 5);
    assert_holds(&log, 1..=40);
    disk.crash(Fate::Lost);
    assert_holds(&open(&disk).expect("open"), 1..=40);
}

#[test]
fn a_block_is_seen_by_readers_when_it_is_durable_and_not_before() {
    let disk = SimDisk::new();
    let mut log = log_of(&disk, 1..=3);
    let reader = log.reader();
    log.append(Height(4), &block(4)).expect("append");
    assert_eq!(log.last(), Some(Height(4)));
    assert_eq!(reader.last(), Some(Height(3)));
    assert_eq!(reader.read(Height(4)).expect("read"), None);
    log.flush().expect("flush");
    assert_eq!(reader.read(Height(4)).expect("read"), Some(block(4)));
}

#[test]
fn only_the_next_height_is_taken_and_an_empty_log_takes_any() {
    let mut log = open(&SimDisk::new()).expect("open");
    assert_eq!((log.first(), log.last()), (None, None));
    log.append(Height(100), b"block").expect("any height");
    for wrong in [99, 100, 102] {
        match log.append(Height(wrong), b"block") {
            Err(StoreError::NotContiguous { expected: Height(101), actual }) => {
                assert_eq!(actual, Height(wrong))
            }
            other => panic!("expected NotContiguous, got {other:?}"),
        }
    }
    log.append(Height(101), b"block").expect("the next height");
    log.flush().expect("flush");
    assert_eq!((log.first(), log.last()), (Some(Height(100)), Some(Height(101))));
}

#[test]
fn a_crash_at_any_operation_leaves_a_prefix_with_all_confirmed_blocks() {
    let run = |disk: &SimDisk| {
        let (mut appended, mut confirmed, mut pruned_below) = (0, 0, 1);
        let Ok(mut log) = open(disk) else { return (appended, confirmed, pruned_below) };
        for height in 1..=25 {
            appended = height;
            log.append(Height(height), &block(height)).expect("append");
            if height % 3 == 0 {
                if log.flush().is_err() {
                    break;
                }
                confirmed = height;
            }
            if height == 9 {
                pruned_below = 6;
                if log.prune_below(Height(6)).is_err() {
                    break;
                }
            }
        }
        (appended, confirmed, pruned_below)
    };
    let whole = SimDisk::new();
    run(&whole);
    assert!(whole.operations() > 20);
    for operation in 0..whole.operations() {
        for fate in [Fate::Lost, Fate::Kept].into_iter().chain((0..16).map(Fate::Torn)) {
            let what = format!("stop at {operation}, {fate:?}");
            let disk = SimDisk::new();
            disk.stop_at(operation);
            let (appended, confirmed, pruned_below) = run(&disk);
            disk.crash(fate);
            let mut log = open(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            let last = log.last().map_or(0, |last| last.0);
            assert!((confirmed..=appended).contains(&last), "{what}: {confirmed}..={appended}, found {last}");
            if last > 0 {
                let first = log.first().expect("a first block").0;
                assert!(first <= pruned_below, "{what}: {first} was not to be pruned");
                assert_holds(&log, first..=last);
                log.append(Height(last + 1), &block(last + 1)).expect("append");
                log.flush().expect("flush");
                disk.crash(Fate::Lost);
                assert_holds(&open(&disk).expect("open"), first..=last + 1);
            }
        }
    }
}

#[test]
fn pruning_deletes_whole_segments_and_counts_their_bytes() {
    let disk = SimDisk::new();
    let mut log = log_of(&disk, 1..=40);
    let reader = log.reader();
    reader.read(Height(1)).expect("read").expect("block 1");
    let before: u64 = disk.names().iter().map(|name| disk.contents(name).len() as u64).sum();
    let (_, third) = segments(&disk)[2].clone();

    assert_eq!(log.prune_below(Height(1)).expect("prune"), 0);
    let freed = log.prune_below(Height(third + 1)).expect("prune");
    let after: u64 = disk.names().iter().map(|name| disk.contents(name).len() as u64).sum();
    assert_eq!(freed, before - after);
    assert!(freed > 0);
    assert_holds(&log, third..=40);
    assert_eq!(reader.read(Height(1)).expect("read"), None);
    disk.crash(Fate::Lost);
    assert_holds(&open(&disk).expect("open"), third..=40);
}

#[test]
fn a_log_that_is_pruned_to_nothing_starts_again_at_any_height() {
    let disk = SimDisk::new();
    let mut log = log_of(&disk, 1..=10);
    log.append(Height(11), &block(11)).expect("append");
    log.prune_below(Height(1_000)).expect("prune");
    assert_eq!(log.last(), Some(Height(11)), "the segment of a buffered block stays");
    log.flush().expect("flush");
    log.prune_below(Height(1_000)).expect("prune");
    assert_eq!((log.first(), log.last(), log.reader().last()), (None, None, None));
    assert!(disk.names().is_empty());
    log.append(Height(500), &block(500)).expect("append");
    log.flush().expect("flush");
    disk.crash(Fate::Lost);
    assert_holds(&open(&disk).expect("open"), 500..=500);
}

#[test]
fn a_damaged_block_in_an_old_segment_costs_itself_only() {
    let disk = SimDisk::new();
    drop(log_of(&disk, 1..=40));
    let segments = segments(&disk);
    let ((name, first), (_, end)) = (&segments[2], &segments[3]);
    assert!(end - first >= 2, "{segments:?}");
    // Once in the header and once in the payload of the segment's first block.
    for offset in [64 + 9, 64 + 32 + 2] {
        let copy = disk.copy();
        copy.overwrite(name, offset, &[0xEE; 2]);
        let log = open(&copy).expect("an old segment is verified when it is read");
        for height in 1..=40 {
            match log.reader().read(Height(height)) {
                Ok(found) => {
                    assert_ne!(height, *first, "a damaged block was served");
                    assert_eq!(found, Some(block(height)));
                }
                Err(StoreError::Damaged { part: Part::CommittedLog, file, .. }) => {
                    assert_eq!(height, *first);
                    assert!(file.ends_with(name));
                }
                Err(other) => panic!("expected damage, got {other}"),
            }
        }
    }
}

#[test]
fn damage_in_the_newest_segment_is_refused_with_file_and_offset() {
    let disk = SimDisk::new();
    let mut log = open(&disk).expect("open");
    for height in 1..=3 {
        log.append(Height(height), &[height as u8; 100]).expect("append");
        log.flush().expect("flush");
    }
    drop(log);
    let name = disk.names()[0].clone();
    disk.overwrite(&name, 64 + 132 + 40, &[0xEE]);
    match open(&disk) {
        Err(StoreError::Damaged { part: Part::CommittedLog, file, offset: Some(offset), .. }) => {
            assert!(file.ends_with(name));
            assert_eq!(offset, 64 + 132);
        }
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn a_missing_segment_is_noticed_when_the_log_is_opened() {
    let disk = SimDisk::new();
    drop(log_of(&disk, 1..=40));
    let names = disk.names();
    for lost in &names[1..names.len() - 1] {
        let copy = disk.copy();
        copy.lose(lost);
        assert!(matches!(open(&copy), Err(StoreError::Damaged { part: Part::CommittedLog, .. })), "{lost}");
    }
}

#[test]
fn a_failed_flush_closes_the_log_for_writing_and_leaves_it_readable() {
    let disk = SimDisk::new();
    let mut log = log_of(&disk, 1..=4);
    let reader = log.reader();
    log.append(Height(5), &block(5)).expect("append");
    disk.fail_syncs(1);
    assert!(matches!(log.flush(), Err(StoreError::Io { .. })));
    assert!(matches!(log.flush(), Err(StoreError::Poisoned { .. })));
    assert!(matches!(log.append(Height(6), b""), Err(StoreError::Poisoned { .. })));
    assert!(matches!(log.prune_below(Height(3)), Err(StoreError::Poisoned { .. })));
    assert_eq!(reader.read(Height(4)).expect("read"), Some(block(4)));
    assert_eq!(reader.read(Height(5)).expect("read"), None);
}
