//! Scenarios in which the disk has changed what was confirmed: the vote journal must notice and say where.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aegis_store::sim::{Fate, SimDisk};
use aegis_store::{CommittedLog, FoundJournal, Journal, Milestones, Part, SegmentOptions, StoreError};

type Records = Vec<Vec<u8>>;

const SEGMENT_HEADER: u64 = 64;
const RECORD_HEADER: u64 = 32;

fn open(disk: &SimDisk) -> Result<(Journal, Records), StoreError> {
    Journal::open_on(Arc::new(disk.clone()), SegmentOptions::default())
}

fn read(disk: &SimDisk) -> Result<FoundJournal, StoreError> {
    FoundJournal::read_on(Arc::new(disk.clone()), SegmentOptions::default())
}

/// A journal in which every inner list was one flush.
fn journal_of(segment_bytes: u64, writes: &[&[&[u8]]]) -> SimDisk {
    let disk = SimDisk::new();
    let (mut journal, _) =
        Journal::open_on(Arc::new(disk.clone()), SegmentOptions { segment_bytes }).expect("new");
    for write in writes {
        write.iter().for_each(|record| journal.append(record));
        journal.flush().expect("flush");
    }
    disk
}

fn only_file(disk: &SimDisk) -> String {
    let names = disk.names();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[track_caller]
fn assert_damaged(disk: &SimDisk, expected_file: &str, expected_offset: Option<u64>) {
    match open(disk) {
        Err(StoreError::Damaged { part: Part::Journal, file, offset, .. }) => {
            assert!(file.ends_with(expected_file), "{}", file.display());
            if expected_offset.is_some() {
                assert_eq!(offset, expected_offset);
            }
        }
        Err(other) => panic!("expected damage, got {other}"),
        Ok((_, records)) => panic!("expected damage, got {} records", records.len()),
    }
}

#[test]
fn every_flipped_bit_of_a_confirmed_record_is_noticed() {
    let disk = journal_of(1 << 20, &[&[b"first"], &[b"second", b"third"], &[b"the last one"]]);
    let name = only_file(&disk);
    for bit in 0..disk.contents(&name).len() as u64 * 8 {
        let flipped = disk.copy();
        flipped.flip_bit(&name, bit);
        assert_damaged(&flipped, &name, None);
    }
}

#[test]
fn damage_in_the_middle_names_the_file_and_the_offset_of_the_record() {
    let disk = journal_of(1 << 20, &[&[&[1; 100]], &[&[2; 100]], &[&[3; 100]]]);
    let name = only_file(&disk);
    let second = SEGMENT_HEADER + RECORD_HEADER + 100;
    disk.overwrite(&name, second + RECORD_HEADER + 50, &[9; 4]);
    assert_damaged(&disk, &name, Some(second));
}

#[test]
fn zeros_over_a_write_that_others_follow_are_damage() {
    let disk = journal_of(1 << 20, &[&[b"1"], &[&[2; 3_000]], &[b"3"]]);
    let name = only_file(&disk);
    disk.overwrite(&name, 512, &[0; 1_024]);
    assert_damaged(&disk, &name, Some(SEGMENT_HEADER + RECORD_HEADER + 1));
}

#[test]
fn a_last_write_whose_first_half_is_missing_is_torn_and_cut_off() {
    let disk = journal_of(1 << 20, &[&[b"confirmed"], &[&[2; 2_000], b"intact, but not confirmed"]]);
    let name = only_file(&disk);
    disk.overwrite(&name, 512, &[0; 512]);
    let (mut journal, records) = open(&disk).expect("a torn write is no damage");
    assert_eq!(records, [b"confirmed"]);
    journal.append(b"next");
    journal.flush().expect("flush");
    disk.crash(Fate::Lost);
    assert_eq!(open(&disk).expect("open").1, [b"confirmed".to_vec(), b"next".to_vec()]);
}

#[test]
fn a_cut_file_yields_a_prefix_or_damage_and_never_anything_else() {
    let writes: &[&[&[u8]]] = &[&[b"founding", b"records"], &[b"second"], &[b"third", b"fourth"]];
    let all: Records = writes.concat().iter().map(|record| record.to_vec()).collect();
    let disk = journal_of(1 << 20, writes);
    let name = only_file(&disk);
    let founding_end = SEGMENT_HEADER + 2 * RECORD_HEADER + 15;
    for size in 0..disk.contents(&name).len() as u64 {
        let cut = disk.copy();
        cut.cut(&name, size);
        if size < founding_end {
            assert_damaged(&cut, &name, None);
        } else {
            let (_, records) = open(&cut).expect("cut in a later write");
            assert!(all.starts_with(&records) && records.len() >= 2, "cut at {size}: {records:?}");
        }
    }
}

#[test]
fn lost_and_swapped_segments_are_noticed() {
    let writes: Vec<Vec<u8>> = (0..6).map(|number| vec![number; 400]).collect();
    let writes: Vec<[&[u8]; 1]> = writes.iter().map(|record| [record.as_slice()]).collect();
    let writes: Vec<&[&[u8]]> = writes.iter().map(<[&[u8]; 1]>::as_slice).collect();
    let disk = journal_of(500, &writes);
    let names = disk.names();
    assert!(names.len() >= 3, "{names:?}");

    for (lost, follower) in names.iter().zip(&names[1..]) {
        let copy = disk.copy();
        copy.lose(lost);
        assert_damaged(&copy, follower, Some(0));
    }
    let swapped = disk.copy();
    swapped.misplace(&names[0], "aside");
    swapped.misplace(&names[1], &names[0]);
    swapped.misplace("aside", &names[1]);
    assert_damaged(&swapped, &names[1], Some(0));
}

/// What a home remembers, on a disk that keeps it.
#[derive(Debug, Clone, Default)]
struct Noted(Arc<AtomicU64>);

impl Milestones for Noted {
    fn note(&self, confirmed: u64) -> Result<(), StoreError> {
        self.0.store(confirmed, Ordering::SeqCst);
        Ok(())
    }
}

/// Six records, each a flush of its own, in several segments, and the milestone that was noted for them.
fn journal_with_milestones() -> (SimDisk, u64) {
    let (disk, noted) = (SimDisk::new(), Noted::default());
    let (mut journal, _) =
        Journal::open_on(Arc::new(disk.clone()), SegmentOptions { segment_bytes: 1_000 }).expect("new");
    journal.keep_milestones(Arc::new(noted.clone())).expect("noted");
    for number in 0..6 {
        journal.append(&[number; 400]);
        journal.flush().expect("flush");
    }
    let newest = noted.0.load(Ordering::SeqCst);
    assert!(newest < journal.confirmed(), "what a segment got after it was made is not noted at once");
    journal.note_milestone().expect("noted");
    assert_eq!(noted.0.load(Ordering::SeqCst), journal.confirmed());
    (disk, newest)
}

#[test]
fn a_journal_without_its_newest_segment_ends_before_its_milestone() {
    let (disk, milestone) = journal_with_milestones();
    let journal = read(&disk).expect("whole");
    journal.check_reaches(milestone).expect("and as long as it was known to be");
    let newest = disk.names().pop().expect("segments");
    disk.lose(&newest);
    let journal = read(&disk).expect("nothing in the folder tells");
    match journal.check_reaches(milestone) {
        Err(StoreError::Damaged { part: Part::Journal, offset: Some(_), reason, .. }) => {
            assert!(reason.contains("are missing"), "{reason}");
        }
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn a_checkpoint_that_is_lost_ends_before_its_milestone_also_an_empty_one() {
    for live in [&[b"live".as_slice()][..], &[]] {
        let (disk, noted) = (journal_of(1 << 20, &[&[b"old"]]), Noted::default());
        let before = disk.copy();
        let (mut journal, _) = open(&disk).expect("open");
        journal.keep_milestones(Arc::new(noted.clone())).expect("noted");
        journal.checkpoint(live.iter()).expect("checkpoint");
        let journal = read(&before).expect("the segment of before");
        assert!(journal.check_reaches(noted.0.load(Ordering::SeqCst)).is_err());
    }
}

#[test]
fn a_cut_at_any_place_below_the_milestone_is_damage_and_a_torn_write_above_it_is_none() {
    let (disk, noted) = (SimDisk::new(), Noted::default());
    let (mut journal, _) = open(&disk).expect("new");
    for record in [b"one".as_slice(), b"two", b"three"] {
        journal.append(record);
        journal.flush().expect("flush");
    }
    journal.keep_milestones(Arc::new(noted.clone())).expect("noted");
    let name = only_file(&disk);
    let known = disk.contents(&name).len() as u64;
    journal.append(b"confirmed after the milestone");
    journal.flush().expect("flush");
    let milestone = noted.0.load(Ordering::SeqCst);
    for size in SEGMENT_HEADER + RECORD_HEADER + 3..disk.contents(&name).len() as u64 {
        let cut = disk.copy();
        cut.cut(&name, size);
        let journal = read(&cut).expect("cut in a later write");
        assert_eq!(journal.check_reaches(milestone).is_ok(), size >= known, "cut at {size}");
        assert_eq!(cut.contents(&name).len() as u64, size, "what is only read is not changed");
        if size > known {
            journal.open().expect("open");
            assert_eq!(cut.contents(&name).len() as u64, known, "the torn write is cut off");
        }
    }
}

#[test]
fn a_milestone_that_cannot_be_noted_closes_the_journal() {
    #[derive(Debug)]
    struct Full;
    impl Milestones for Full {
        fn note(&self, _: u64) -> Result<(), StoreError> {
            Err(StoreError::NoSpace { action: "write", path: "journal.id".into() })
        }
    }
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).expect("new");
    assert!(journal.keep_milestones(Arc::new(Full)).is_err());
    journal.append(b"vote");
    assert!(matches!(journal.flush(), Err(StoreError::NoSpace { .. })), "no vote may rest on it");
    assert!(matches!(journal.flush(), Err(StoreError::Poisoned { .. })));
}

#[test]
fn damage_in_a_sealed_segment_is_noticed_even_if_it_looks_torn() {
    let disk = journal_of(500, &[&[&[1; 100]], &[&[2; 1_500]], &[&[3; 10]]]);
    let names = disk.names();
    assert_eq!(names.len(), 2);
    disk.overwrite(&names[0], 1_024, &[0; 512]);
    assert_damaged(&disk, &names[0], Some(SEGMENT_HEADER + RECORD_HEADER + 100));
}

#[test]
fn what_a_checkpoint_has_replaced_may_be_damaged_or_gone() {
    let disk = journal_of(1 << 20, &[&[b"old"]]);
    let old = only_file(&disk);
    let before = disk.copy();
    let (mut journal, _) = open(&disk).expect("open");
    journal.checkpoint([b"live".as_slice()].into_iter()).expect("checkpoint");
    let new = only_file(&disk);
    assert_ne!(old, new);

    // The crash came after the new segment had its name and before the old one was deleted.
    let both = before.copy();
    let image = disk.contents(&new);
    let file = aegis_store::Medium::create(&both, &new).expect("create");
    file.write_at(0, &image).and_then(|()| file.sync()).expect("write");
    both.overwrite(&old, 0, &[0xFF; 80]);
    assert_eq!(open(&both).expect("open").1, [b"live"]);
    assert_eq!(both.names(), [new], "the replaced segment is deleted");
}

#[test]
fn the_records_of_a_checkpoint_are_all_there_or_it_is_damage() {
    let disk = journal_of(1 << 20, &[&[b"old"]]);
    let (mut journal, _) = open(&disk).expect("open");
    journal.checkpoint([b"one".as_slice(), b"two".as_slice()].into_iter()).expect("checkpoint");
    let name = only_file(&disk);
    disk.cut(&name, SEGMENT_HEADER + RECORD_HEADER + 3);
    assert_damaged(&disk, &name, Some(SEGMENT_HEADER + RECORD_HEADER + 3));
}

#[test]
fn a_journal_is_no_committed_log() {
    let disk = journal_of(1 << 20, &[&[b"vote"]]);
    let result = CommittedLog::open_on(Arc::new(disk), SegmentOptions::default());
    assert!(matches!(result, Err(StoreError::Damaged { part: Part::CommittedLog, .. })));
}

#[test]
fn a_record_that_is_too_large_closes_the_journal_and_keeps_the_rest() {
    let disk = journal_of(1 << 20, &[&[b"kept"]]);
    let (mut journal, _) = open(&disk).expect("open");
    journal.append(&vec![0; aegis_store::segment::RECORD_BYTES_MAX as usize + 1]);
    assert!(matches!(journal.flush(), Err(StoreError::TooLarge { .. })));
    assert!(matches!(journal.flush(), Err(StoreError::Poisoned { .. })));
    assert_eq!(open(&disk).expect("open").1, [b"kept"]);
}

#[test]
fn a_journal_knows_whether_it_is_new_and_how_much_a_restart_replays() {
    let disk = SimDisk::new();
    let (mut journal, _) = open(&disk).expect("new");
    assert!(journal.is_new());
    journal.append(b"12345");
    journal.flush().expect("flush");
    assert_eq!(journal.bytes_since_checkpoint(), RECORD_HEADER + 5);
    journal.checkpoint([b"live".as_slice()].into_iter()).expect("checkpoint");
    assert_eq!(journal.bytes_since_checkpoint(), 0);
    journal.append(b"1");
    journal.flush().expect("flush");
    drop(journal);
    let (journal, records) = open(&disk).expect("open");
    assert!(!journal.is_new());
    assert_eq!(records, [b"live".to_vec(), b"1".to_vec()]);
    assert_eq!(journal.bytes_since_checkpoint(), RECORD_HEADER + 1);
}
