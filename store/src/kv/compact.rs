//! Writes a store anew: sled's file keeps the room of what was overwritten and deleted.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::disk::sync_parent;
use crate::error::StoreError;

use super::sled_kv::SledKv;
use super::store::{KvStore, Op, Table};

/// Entries that are copied in one transaction, or fewer when they are large.
const PAGE_ENTRIES: usize = 1_024;
const PAGE_BYTES: usize = 4 << 20;
const UNFINISHED: &str = ".compact";

/// Copies all entries into an empty store. `copied` is told how many there are so far.
///
/// # Errors
/// Those of either store.
pub fn copy_all(from: &dyn KvStore, to: &dyn KvStore, copied: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    let mut total = 0_u64;
    for table in Table::ALL {
        let mut start = Vec::new();
        loop {
            let page = page(from, table, &start)?;
            let Some((last, _)) = page.last() else { break };
            start.clone_from(last);
            // The smallest key above the last one.
            start.push(0);
            total = total.saturating_add(page.len() as u64);
            let ops: Vec<Op> = page.into_iter().map(|(key, value)| Op::Put { table, key, value }).collect();
            to.commit(&ops)?;
            copied(total);
        }
    }
    to.flush()
}

type Entry = (Vec<u8>, Vec<u8>);

fn page(from: &dyn KvStore, table: Table, start: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    from.scan(table, start, &mut |key, value| {
        bytes += key.len() + value.len();
        entries.push((key.to_vec(), value.to_vec()));
        if entries.len() >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    Ok(entries)
}

/// Writes the store in a folder anew and puts it in the old one's place in one step; nobody may have it open.
///
/// # Errors
/// Those of the store; it is then as before.
pub fn compact(folder: &Path, cache_bytes: u64, copied: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
    let unfinished = unfinished(folder);
    delete_unfinished(folder)?;
    let old = SledKv::open(folder, cache_bytes)?;
    let new = SledKv::open(&unfinished, cache_bytes)?;
    copy_all(&old, &new, copied)?;
    drop((old, new));
    renameat_with(CWD, &unfinished, CWD, folder, RenameFlags::EXCHANGE)
        .map_err(|e| StoreError::io("exchange", folder, e.into()))?;
    sync_parent(folder)?;
    delete_unfinished(folder)
}

/// Deletes what an interrupted compaction has left: a copy that was not finished, or the store that one has replaced.
///
/// # Errors
/// Errors of the file system.
pub fn delete_unfinished(folder: &Path) -> Result<(), StoreError> {
    let unfinished = unfinished(folder);
    if !unfinished.exists() {
        return Ok(());
    }
    fs::remove_dir_all(&unfinished).map_err(|e| StoreError::io("delete", &unfinished, e))?;
    sync_parent(folder)
}

fn unfinished(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryKv;

    const CACHE_BYTES: u64 = 8 << 20;

    fn folder_bytes(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).expect("list");
        entries.map(|entry| entry.expect("entry").metadata().expect("metadata").len()).sum()
    }

    #[test]
    fn a_store_that_is_written_anew_holds_the_same_and_is_smaller() {
        let temp = tempfile::tempdir().expect("temp dir");
        let folder = temp.path().join("kv");
        let kv = SledKv::open(&folder, CACHE_BYTES).expect("open");
        for round in 0..20_u8 {
            for table in Table::ALL {
                let put = |number: u32| Op::Put {
                    table,
                    key: number.to_be_bytes().to_vec(),
                    value: vec![round; if number == 7 { 20_000 } else { 300 }],
                };
                kv.commit(&(0..2_000).map(put).collect::<Vec<_>>()).expect("commit");
            }
            kv.flush().expect("flush");
        }
        let before = MemoryKv::default();
        copy_all(&kv, &before, &mut |_| {}).expect("copy");
        drop(kv);
        let bytes = folder_bytes(&folder);
        let mut copied = 0;
        compact(&folder, CACHE_BYTES, &mut |count| copied = count).expect("compact");
        assert_eq!(copied, 6_000);
        assert!(folder_bytes(&folder) * 4 < bytes * 3, "{} of {bytes}", folder_bytes(&folder));
        assert_eq!(fs::read_dir(temp.path()).expect("list").count(), 1, "nothing is left behind");
        let kv = SledKv::open(&folder, CACHE_BYTES).expect("open again");
        for table in Table::ALL {
            for number in [0_u32, 7, 1_999] {
                let key = number.to_be_bytes();
                assert_eq!(kv.get(table, &key).expect("get"), before.get(table, &key).expect("get"));
            }
        }
    }
}
