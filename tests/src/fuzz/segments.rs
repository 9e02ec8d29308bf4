//! The vote journal and the committed log on a damaged disk.
//!
//! The bytes say what is written, in which pieces, and what then becomes of the files: flipped bits, cuts, lost and renamed
//! files, bytes of somebody's choice with checksums made to fit, a crash in the middle of a write. After that the log is
//! opened again.

use std::sync::Arc;

use aegis_store::sim::{Fate, SimDisk};
use aegis_store::{CommittedLog, Journal, Medium, SegmentOptions};
use aegis_types::Height;

use super::bytes_source::Choices;

/// Damages of one script.
const DAMAGES_MAX: usize = 6;
/// Writes of one script.
const WRITES_MAX: usize = 10;
/// Bytes of a segment's header, the last four of which are its checksum.
const HEADER_BYTES: usize = 64;

/// What a damaged log may yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// Nothing but what a fault of the disk does: what is read is a prefix of what was written, or an error.
    Fault,
    /// Bytes that somebody chose: what is read may be anything, and reading it does no harm.
    Forgery,
}

/// Writes, damages and opens a log.
///
/// # Panics
/// When a log that is opened yields what was not written, differs when it is opened again, or cannot be written on.
pub fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let is_journal = !choices.once_in(2);
    let segment_bytes = choices.of(&[300, 1, 100, 1_000, 1 << 20]);
    let options = SegmentOptions { segment_bytes };
    if is_journal {
        journal(&mut choices, options);
    } else {
        committed_log(&mut choices, options);
    }
}

fn journal(choices: &mut Choices<'_>, options: SegmentOptions) {
    let disk = SimDisk::new();
    let written = write_journal(choices, &disk, options);
    let damage = spoil(choices, &disk);
    let Ok((_, records)) = Journal::open_on(medium(&disk), options) else { return };
    if damage == Damage::Fault {
        assert!(is_prefix(&records, &written), "{records:?} of {written:?}");
    }
    let (mut journal, again) = Journal::open_on(medium(&disk), options).expect("what opens once opens twice");
    assert_eq!(records, again, "what is read changes from start to start");
    journal.append(b"one more");
    if journal.flush().is_ok() {
        let (_, longer) = Journal::open_on(medium(&disk), options).expect("what was written is read");
        assert_eq!(
            longer.split_last().map(|(last, rest)| (&last[..], rest)),
            Some((&b"one more"[..], &again[..]))
        );
    }
}

/// What a crash left may lack the end; a checkpoint that it undid may show again what that replaced.
fn is_prefix(records: &[Vec<u8>], written: &[Vec<Vec<u8>>]) -> bool {
    written.iter().any(|state| state.starts_with(records))
}

/// Writes, and returns what the journal held since each checkpoint.
fn write_journal(choices: &mut Choices<'_>, disk: &SimDisk, options: SegmentOptions) -> Vec<Vec<Vec<u8>>> {
    let mut states = vec![Vec::new()];
    let (mut journal, _) = Journal::open_on(medium(disk), options).expect("a new journal");
    if choices.once_in(3) {
        disk.stop_at(u64::from(choices.byte()));
    }
    for _ in 0..choices.below(WRITES_MAX) {
        if choices.once_in(4) {
            let live: Vec<Vec<u8>> = states[states.len() - 1].iter().skip(1).cloned().collect();
            states.push(live.clone());
            if journal.checkpoint(live.iter()).is_err() {
                break;
            }
            continue;
        }
        for _ in 0..choices.below(4) {
            let record = record(choices);
            journal.append(&record);
            states.last_mut().expect("there is a first").push(record);
        }
        if journal.flush().is_err() {
            break;
        }
    }
    states
}

fn record(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.once_in(4) {
        vec![choices.byte(); usize::from(choices.byte()) * 9]
    } else {
        choices.bytes(40).to_vec()
    }
}

fn committed_log(choices: &mut Choices<'_>, options: SegmentOptions) {
    let disk = SimDisk::new();
    let first = choices.of(&[1, 0, 5, u64::MAX - 3]);
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut log = CommittedLog::open_on(medium(&disk), options).expect("a new log");
    if choices.once_in(3) {
        disk.stop_at(u64::from(choices.byte()));
    }
    for _ in 0..choices.below(WRITES_MAX) {
        let block = record(choices);
        let height = Height(first).plus(blocks.len() as u64);
        if log.append(height, &block).is_err() {
            break;
        }
        blocks.push(block);
        if choices.once_in(2) && log.flush().is_err() {
            break;
        }
    }
    let _ = log.flush();
    if choices.once_in(5) {
        let _ = log.prune_below(Height(first).plus(choices.number()));
    }
    drop(log);
    let damage = spoil(choices, &disk);
    let Ok(mut log) = CommittedLog::open_on(medium(&disk), options) else { return };
    let reader = log.reader();
    for (number, block) in (0_u64..).zip(&blocks) {
        if let Ok(Some(read)) = reader.read(Height(first).plus(number))
            && damage == Damage::Fault
        {
            assert_eq!(&read, block, "another block is read than was written");
        }
    }
    for height in [0, first.wrapping_sub(1), u64::MAX] {
        let _ = reader.read(Height(height));
    }
    let Some(next) = log.last().map(Height::next).filter(|next| next.0 < u64::MAX) else { return };
    if log.append(next, b"one more").is_ok() && log.flush().is_ok() {
        assert_eq!(reader.read(next).expect("it was just written").as_deref(), Some(&b"one more"[..]));
    }
}

fn medium(disk: &SimDisk) -> Arc<dyn Medium> {
    Arc::new(disk.clone())
}

fn spoil(choices: &mut Choices<'_>, disk: &SimDisk) -> Damage {
    disk.crash(match choices.below(3) {
        0 => Fate::Lost,
        1 => Fate::Kept,
        _ => Fate::Torn(choices.number()),
    });
    let mut damage = Damage::Fault;
    for _ in 0..choices.below(DAMAGES_MAX) {
        let names = disk.names();
        let Some(name) = names.get(choices.below(names.len().max(1))) else { break };
        let size = disk.contents(name).len();
        let place = usize::from(choices.byte()) * 256 + usize::from(choices.byte());
        let place = if choices.once_in(2) { place % size.max(1) } else { place % HEADER_BYTES };
        match choices.below(7) {
            0 => disk.flip_bit(name, (place * 8) as u64 + u64::from(choices.byte() % 8)),
            1 => disk.cut(name, place as u64),
            2 => disk.lose(name),
            3 => {
                let other = names[choices.below(names.len())].clone();
                disk.misplace(name, &other);
            }
            4 => {
                damage = Damage::Forgery;
                disk.overwrite(name, place as u64, choices.bytes(24));
            }
            5 => {
                damage = Damage::Forgery;
                forge_header(disk, name, place % (HEADER_BYTES - 4), choices.bytes(8));
            }
            _ => {
                damage = Damage::Forgery;
                let first = choices.number();
                plant(disk, &format!("{first:016x}.seg"), choices.bytes(128));
            }
        }
    }
    damage
}

/// Changes a field of a segment's header and makes its checksum fit.
fn forge_header(disk: &SimDisk, name: &str, place: usize, bytes: &[u8]) {
    let mut header = disk.contents(name);
    header.truncate(HEADER_BYTES);
    let end = (place + bytes.len()).min(HEADER_BYTES - 4);
    if header.len() < HEADER_BYTES || end < place {
        return;
    }
    header[place..end].copy_from_slice(&bytes[..end - place]);
    let checksum = crc32fast::hash(&header[..HEADER_BYTES - 4]).to_le_bytes();
    header[HEADER_BYTES - 4..].copy_from_slice(&checksum);
    disk.overwrite(name, 0, &header);
}

fn plant(disk: &SimDisk, name: &str, bytes: &[u8]) {
    let planted = disk.create(name).and_then(|file| {
        file.write_at(0, bytes)?;
        file.sync()
    });
    let _ = planted.and_then(|()| disk.sync_dir());
}

/// Journals and logs of several segments, undamaged and damaged in each way.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = vec![(0..200).collect(), (0..200).rev().collect()];
    for kind in [0_u8, 1] {
        let mut written = vec![kind, 0, 0, 6];
        for record in [b"first record", b"second one  ", b"a third one "] {
            written.extend([0, 3, 0, 12]);
            written.extend_from_slice(record);
        }
        seeds.push(written.clone());
        for damage in 0..7 {
            let mut spoilt = written.clone();
            spoilt.extend([0; 30]);
            spoilt.extend([1, 2, 0, 0, 20, 0, damage, 1, 0, 1, 0, 40, 1, damage, 3, 1, 2, 3, 4]);
            seeds.push(spoilt);
        }
    }
    seeds
}
