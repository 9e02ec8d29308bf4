//! A damaged committed log: what is intact around the needed block stays, everything else is set aside.

use std::fs;
use std::path::{Path, PathBuf};

use aegis_store::{CommittedLog, SegmentOptions, StoreError, repair_log};
use aegis_types::Height;
use proptest::prelude::*;

const BLOCKS: u64 = 40;
/// Some six blocks.
const SMALL: SegmentOptions = SegmentOptions { segment_bytes: 1 << 10 };

fn block(height: u64) -> Vec<u8> {
    format!("block {height} ").into_bytes().repeat(12)
}

fn write_log(folder: &Path, first: u64) {
    let mut log = CommittedLog::open(folder, SMALL).expect("log");
    for height in first..=BLOCKS {
        log.append(Height(height), &block(height)).expect("append");
        log.flush().expect("flush");
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("list").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    files
}

fn flip(file: &Path, offset: usize) {
    let mut bytes = fs::read(file).expect("read");
    bytes[offset] ^= 0x10;
    fs::write(file, bytes).expect("write");
}

/// The first and last block of the log, all of it read.
fn contents(folder: &Path) -> (u64, u64) {
    let log = CommittedLog::open(folder, SMALL).expect("the repaired log opens");
    let (first, last) = (log.first().expect("a block"), log.last().expect("a block"));
    for height in first.0..=last.0 {
        let read = log.reader().read(Height(height)).expect("read");
        assert_eq!(read, Some(block(height)), "block {height}");
    }
    (first.0, last.0)
}

fn first_of(file: &Path) -> u64 {
    let name = file.file_stem().expect("name").to_str().expect("text");
    u64::from_str_radix(name, 16).expect("a number")
}

#[test]
fn an_intact_log_stays_as_it_is() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("clog");
    write_log(&folder, 1);
    let repair = repair_log(&folder, Height(BLOCKS)).expect("repair");
    assert_eq!(repair.kept, Some((Height(1), Height(BLOCKS))));
    assert_eq!(repair.aside, None);
    assert_eq!(contents(&folder), (1, BLOCKS));
}

#[test]
fn a_damaged_or_missing_old_file_costs_the_blocks_up_to_it() {
    for damage in [
        flip as fn(&Path, usize),
        |file, _| fs::remove_file(file).expect("remove"),
        |file, _| {
            fs::OpenOptions::new().write(true).open(file).expect("open").set_len(70).expect("cut");
        },
    ] {
        let temp = tempfile::tempdir().expect("temp dir");
        let folder = temp.path().join("clog");
        write_log(&folder, 1);
        let files = segments(&folder);
        damage(&files[2], 20);
        let repair = repair_log(&folder, Height(BLOCKS)).expect("repair");
        assert_eq!(repair.kept, Some((Height(first_of(&files[3])), Height(BLOCKS))));
        assert!(
            repair.aside.expect("files were set aside").join(files[0].file_name().expect("name")).exists()
        );
        assert_eq!(contents(&folder), (first_of(&files[3]), BLOCKS));
    }
}

#[test]
fn damage_in_the_newest_file_costs_the_side_of_it_where_the_needed_block_is_not() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("clog");
    write_log(&folder, 1);
    let newest = segments(&folder).pop().expect("a file");
    let first = first_of(&newest);
    assert!(first + 2 < BLOCKS);
    // In the payload of its second block.
    flip(&newest, 64 + 32 + block(first).len() + 40);
    assert!(CommittedLog::open(&folder, SMALL).is_err());
    let copy = temp.path().join("copy");
    fs::create_dir(&copy).expect("folder");
    for file in segments(&folder) {
        fs::copy(&file, copy.join(file.file_name().expect("name"))).expect("copy");
    }
    let above = repair_log(&folder, Height(BLOCKS)).expect("repair");
    assert_eq!(above.kept, Some((Height(first + 2), Height(BLOCKS))));
    assert_eq!(contents(&folder), (first + 2, BLOCKS));
    let below = repair_log(&copy, Height(first)).expect("repair");
    assert_eq!(below.kept, Some((Height(1), Height(first))));
    assert_eq!(contents(&copy), (1, first));
}

#[test]
fn swapped_files_are_both_set_aside() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("clog");
    write_log(&folder, 1);
    let files = segments(&folder);
    let spare = temp.path().join("spare");
    fs::rename(&files[1], &spare).expect("rename");
    fs::rename(&files[2], &files[1]).expect("rename");
    fs::rename(&spare, &files[2]).expect("rename");
    assert!(matches!(CommittedLog::open(&folder, SMALL), Err(StoreError::Damaged { .. })));
    repair_log(&folder, Height(BLOCKS)).expect("repair");
    assert_eq!(contents(&folder), (first_of(&files[3]), BLOCKS));
}

#[test]
fn a_needed_block_that_is_lost_leaves_an_empty_log() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("clog");
    write_log(&folder, 1);
    let newest = segments(&folder).pop().expect("a file");
    fs::remove_file(newest).expect("remove");
    let repair = repair_log(&folder, Height(BLOCKS)).expect("repair");
    assert_eq!(repair.kept, None);
    assert!(CommittedLog::open(&folder, SMALL).expect("log").last().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_damaged_no_wrong_block_is_kept_and_the_log_opens(
        wounds in prop::collection::vec((0_usize..64, 0_usize..1_500), 1..6),
        needed in 5..=BLOCKS,
    ) {
        let temp = tempfile::tempdir().expect("temp dir");
        let folder = temp.path().join("clog");
        write_log(&folder, 5);
        let files = segments(&folder);
        for (file, offset) in wounds {
            let file = &files[file % files.len()];
            let len = usize::try_from(fs::metadata(file).expect("file").len()).expect("small");
            flip(file, offset % len);
        }
        let repair = repair_log(&folder, Height(needed)).expect("repair");
        match repair.kept {
            Some((first, last)) => {
                prop_assert!(first.0 <= needed && needed <= last.0);
                prop_assert_eq!(contents(&folder), (first.0, last.0));
            }
            None => prop_assert!(CommittedLog::open(&folder, SMALL).expect("log").last().is_none()),
        }
    }
}
