//! Scenarios over the real file system, with processes that are killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aegis_store::segment::BUFFER_BYTES_MAX;
use aegis_store::{
    CommittedLog, DataDir, Journal, KvStore, Op, Part, SegmentOptions, SledKv, StoreError, Table,
};
use aegis_types::Height;

/// Tells a process that runs one of the tests below that it is the one to be killed, and where to write.
const VICTIM: &str = "AEGIS_STORE_TEST_VICTIM";
const ACKNOWLEDGED: &str = "acknowledged ";
const CACHE_BYTES: u64 = 8 << 20;
const KILLS: u64 = 4;

fn small() -> SegmentOptions {
    SegmentOptions { segment_bytes: 8 << 10 }
}

/// Starts this test again as another process, which sees `VICTIM` set to the folder.
fn start_victim(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().expect("own path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VICTIM, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("a process")
}

/// Kills the process once it has acknowledged `enough`, and returns the last number that it acknowledged.
fn kill_after(mut victim: Child, enough: u64) -> u64 {
    let output = BufReader::new(victim.stdout.take().expect("stdout"));
    let mut last = 0;
    let mut is_killed = false;
    for line in output.lines() {
        let Ok(line) = line else { break };
        if let Some((_, number)) = line.rsplit_once(ACKNOWLEDGED) {
            last = number.parse().expect("a number");
        }
        if last >= enough && !is_killed {
            victim.kill().expect("kill");
            is_killed = true;
        }
    }
    victim.wait().expect("wait");
    assert!(is_killed, "the process ended by itself after {last}");
    last
}

fn victim_folder() -> Option<std::path::PathBuf> {
    std::env::var_os(VICTIM).map(Into::into)
}

fn acknowledge(number: u64) {
    println!("{ACKNOWLEDGED}{number}");
}

fn journal_victim(folder: &Path) -> ! {
    let data = DataDir::open(folder).expect("data folder");
    let (mut journal, records) = Journal::open(&data.journal_dir(), small()).expect("journal");
    let mut number = records.last().map_or(0, |record| number_in(record));
    loop {
        for _ in 0..3 {
            number += 1;
            journal.append(&number.to_le_bytes().repeat(50));
        }
        journal.flush().expect("flush");
        acknowledge(number);
        if number.is_multiple_of(60) {
            let live = number.to_le_bytes().repeat(50);
            journal.checkpoint([live.as_slice()].into_iter()).expect("checkpoint");
        }
    }
}

fn number_in(record: &[u8]) -> u64 {
    let number = u64::from_le_bytes(record[..8].try_into().expect("eight bytes"));
    assert_eq!(record, number.to_le_bytes().repeat(50), "a record came back garbled");
    number
}

#[test]
fn a_journal_whose_process_is_killed_has_all_that_was_acknowledged() {
    if let Some(folder) = victim_folder() {
        journal_victim(&folder);
    }
    let temp = tempfile::tempdir().expect("temp dir");
    let mut enough = 150;
    for _ in 0..KILLS {
        let test = "a_journal_whose_process_is_killed_has_all_that_was_acknowledged";
        let acknowledged = kill_after(start_victim(test, temp.path()), enough);
        let data = DataDir::open(temp.path()).expect("the lock is free after a kill");
        let (journal, records) = Journal::open(&data.journal_dir(), small()).expect("journal");
        assert!(!journal.is_new());
        let numbers: Vec<u64> = records.iter().map(|record| number_in(record)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
        let last = *numbers.last().expect("records");
        assert!(last >= acknowledged, "{acknowledged} was acknowledged, {last} found");
        enough = last + 150;
    }
}

fn kv_victim(folder: &Path) -> ! {
    let store = SledKv::open(folder, CACHE_BYTES).expect("store");
    let mut height = height_in(&store);
    loop {
        height += 1;
        let state = Op::Put {
            table: Table::State,
            key: (height % 50).to_be_bytes().to_vec(),
            value: height.to_be_bytes().repeat(800),
        };
        let meta =
            Op::Put { table: Table::Meta, key: b"height".to_vec(), value: height.to_be_bytes().to_vec() };
        store.commit(&[state, meta]).expect("commit");
        if height.is_multiple_of(5) {
            store.flush().expect("flush");
            acknowledge(height);
        }
    }
}

fn height_in(store: &SledKv) -> u64 {
    let height = store.get(Table::Meta, b"height").expect("get");
    height.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

#[test]
fn a_store_whose_process_is_killed_keeps_state_and_height_together() {
    if let Some(folder) = victim_folder() {
        kv_victim(&folder);
    }
    let temp = tempfile::tempdir().expect("temp dir");
    let mut enough = 60;
    for _ in 0..KILLS {
        let test = "a_store_whose_process_is_killed_keeps_state_and_height_together";
        let acknowledged = kill_after(start_victim(test, temp.path()), enough);
        let store = SledKv::open(temp.path(), CACHE_BYTES).expect("store");
        let height = height_in(&store);
        assert!(height >= acknowledged, "{acknowledged} was acknowledged, {height} found");
        for last in height.saturating_sub(49).max(1)..=height {
            let value = store.get(Table::State, &(last % 50).to_be_bytes()).expect("get");
            assert_eq!(value, Some(last.to_be_bytes().repeat(800)), "the state of {last} at height {height}");
        }
        enough = height + 60;
    }
}

#[test]
fn an_unflushed_image_of_the_store_is_never_torn() {
    let temp = tempfile::tempdir().expect("temp dir");
    let live = temp.path().join("live");
    let store = SledKv::open(&live, CACHE_BYTES).expect("store");
    for height in 1..=120_u64 {
        let state = Op::Put {
            table: Table::State,
            key: height.to_be_bytes().to_vec(),
            value: height.to_be_bytes().repeat(600),
        };
        let meta =
            Op::Put { table: Table::Meta, key: b"height".to_vec(), value: height.to_be_bytes().to_vec() };
        store.commit(&[state, meta]).expect("commit");
        if height.is_multiple_of(40) {
            let image = temp.path().join(format!("image-{height}"));
            fs::create_dir(&image).expect("folder");
            for name in ["conf", "db"] {
                fs::copy(live.join(name), image.join(name)).expect("copy");
            }
            let found = SledKv::open(&image, CACHE_BYTES).expect("an image opens");
            let found_height = height_in(&found);
            assert!(found_height <= height);
            for below in 1..=height {
                let value = found.get(Table::State, &below.to_be_bytes()).expect("get");
                assert_eq!(
                    value.is_some(),
                    below <= found_height,
                    "state {below} with height {found_height}"
                );
            }
        }
    }
}

#[test]
fn a_torn_tail_on_a_real_disk_is_cut_off_and_damage_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (mut journal, _) = Journal::open(temp.path(), SegmentOptions::default()).expect("journal");
    for record in [b"one".as_slice(), b"two", b"three"] {
        journal.append(record);
        journal.flush().expect("flush");
    }
    drop(journal);
    let file = fs::read_dir(temp.path()).expect("list").next().expect("a file").expect("entry").path();
    let whole = fs::read(&file).expect("read");

    fs::write(&file, &whole[..whole.len() - 2]).expect("write");
    let (_, records) = Journal::open(temp.path(), SegmentOptions::default()).expect("journal");
    assert_eq!(records, [b"one", b"two"]);
    assert_eq!(fs::metadata(&file).expect("metadata").len() as usize, whole.len() - 32 - 5);

    let mut flipped = whole;
    flipped[64 + 35 + 33] ^= 4;
    fs::write(&file, flipped).expect("write");
    match Journal::open(temp.path(), SegmentOptions::default()) {
        Err(StoreError::Damaged { part: Part::Journal, file: named, offset, .. }) => {
            assert_eq!((named, offset), (file, Some(64 + 35)));
        }
        other => panic!("expected damage, got {other:?}"),
    }
}

#[test]
fn blocks_are_read_and_pruned_while_others_are_appended() {
    const LAST: u64 = 600;
    let block = |height: u64| height.to_le_bytes().repeat(40);
    let temp = tempfile::tempdir().expect("temp dir");
    let mut log = CommittedLog::open(temp.path(), small()).expect("log");
    let reader = log.reader();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = reader.clone();
            scope.spawn(move || {
                while reader.last() < Some(Height(LAST)) {
                    let (Some(first), Some(last)) = (reader.first(), reader.last()) else { continue };
                    for height in [first.0, (first.0 + last.0) / 2, last.0] {
                        if let Some(found) = reader.read(Height(height)).expect("read") {
                            assert_eq!(found, block(height));
                        }
                    }
                }
            });
        }
        for height in 1..=LAST {
            log.append(Height(height), &block(height)).expect("append");
            if height.is_multiple_of(5) {
                log.flush().expect("flush");
            }
            if height.is_multiple_of(100) {
                log.prune_below(Height(height - 80)).expect("prune");
            }
        }
    });
    let first = log.first().expect("blocks").0;
    assert!(first > 1 && first <= LAST - 80);
    drop(log);
    let log = CommittedLog::open(temp.path(), small()).expect("log");
    assert_eq!((log.first(), log.last()), (Some(Height(first)), Some(Height(LAST))));
    assert_eq!(log.reader().read(Height(first)).expect("read"), Some(block(first)));
}

#[test]
fn a_checkpoint_may_be_larger_than_any_flush() {
    let temp = tempfile::tempdir().expect("temp dir");
    let options = SegmentOptions { segment_bytes: 1 << 20 };
    let record = |number: u64| [&number.to_le_bytes()[..], &vec![7; 40 << 20]].concat();
    let live = BUFFER_BYTES_MAX / (40 << 20) + 1;
    {
        let (mut journal, _) = Journal::open(temp.path(), options).expect("open");
        journal.append(b"old");
        journal.checkpoint((0..live).map(record)).expect("checkpoint");
        journal.append(b"new");
        journal.flush().expect("flush");
    }
    let (_, records) = Journal::open(temp.path(), options).expect("open again");
    assert_eq!(records.len() as u64, live + 1);
    assert!(records.iter().zip(0..live).all(|(found, number)| *found == record(number)));
    assert_eq!(records.last().map(Vec::as_slice), Some(&b"new"[..]));
}
