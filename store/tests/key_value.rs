//! Scenarios of the key-value store: all implementations against a plain map.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use aegis_store::{BufferedKv, KvStore, MemoryKv, Op, Part, SledKv, StoreError, Table};
use proptest::prelude::*;

const CACHE_BYTES: u64 = 8 << 20;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn put(table: Table, key: &[u8], value: &[u8]) -> Op {
    Op::Put { table, key: key.to_vec(), value: value.to_vec() }
}

fn delete(table: Table, key: &[u8]) -> Op {
    Op::Delete { table, key: key.to_vec() }
}

fn ascending(store: &dyn KvStore, table: Table, from: &[u8], limit: usize) -> Pairs {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    store.scan(table, from, &mut visit).expect("scan");
    found
}

fn descending(store: &dyn KvStore, table: Table, before: &[u8]) -> Pairs {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan_back(table, before, &mut visit).expect("scan back");
    found
}

/// How many pieces of large values the closed store in this folder holds.
fn pieces_on_disk(folder: &std::path::Path) -> usize {
    raw(folder).open_tree("pieces").expect("tree").len()
}

/// The folder as sled itself sees it, once the store that was dropped last has let go of it.
fn raw(folder: &std::path::Path) -> sled::Db {
    for _ in 0..400 {
        match sled::open(folder) {
            Ok(db) => return db,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
    sled::open(folder).expect("sled")
}

fn value_of(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

#[test]
fn large_values_come_back_as_they_were_put() {
    let temp = tempfile::tempdir().expect("temp dir");
    let sizes = [0_usize, 1, 3_071, 3_072, 3_073, 6_144, 6_145, 60_000, 200 << 10];
    {
        let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
        for size in sizes {
            store.commit(&[put(Table::State, &size.to_be_bytes(), &value_of(size))]).expect("commit");
        }
        store.flush().expect("flush");
    }
    let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    for size in sizes {
        assert_eq!(
            store.get(Table::State, &size.to_be_bytes()).expect("get"),
            Some(value_of(size)),
            "{size}"
        );
    }
    let scanned = ascending(&store, Table::State, &[], usize::MAX);
    assert_eq!(scanned.iter().map(|(_, value)| value.len()).collect::<Vec<_>>(), sizes);
}

#[test]
fn shorter_values_and_deletions_leave_no_pieces_behind() {
    let temp = tempfile::tempdir().expect("temp dir");
    let steps: [(&str, Vec<Op>, usize); 5] = [
        ("large", vec![put(Table::State, b"k", &value_of(20_000))], 7),
        ("shorter", vec![put(Table::State, b"k", &value_of(7_000))], 3),
        ("whole", vec![put(Table::State, b"k", b"small")], 0),
        (
            "twice in one commit",
            vec![
                put(Table::State, b"k", &value_of(30_000)),
                put(Table::State, b"k", &value_of(4_000)),
                put(Table::Index, b"k", &value_of(4_000)),
            ],
            4,
        ),
        (
            "deleted",
            vec![delete(Table::State, b"k"), delete(Table::Index, b"k"), delete(Table::Meta, b"k")],
            0,
        ),
    ];
    for (what, ops, pieces) in steps {
        {
            let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
            store.commit(&ops).expect("commit");
            store.flush().expect("flush");
        }
        assert_eq!(pieces_on_disk(temp.path()), pieces, "{what}");
    }
}

#[test]
fn scans_run_in_order_both_ways_from_any_place() {
    let temp = tempfile::tempdir().expect("temp dir");
    let sled = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    let (memory, buffered) = (MemoryKv::new(), BufferedKv::new(MemoryKv::new()));
    for store in [&sled as &dyn KvStore, &memory, &buffered] {
        let keys: [&[u8]; 5] = [b"", b"a", b"a\0", b"b", b"\xFF\xFF"];
        let ops: Vec<_> = keys.iter().rev().map(|key| put(Table::Index, key, key)).collect();
        store.commit(&ops).expect("commit");
        store.commit(&[put(Table::State, b"aa", b"another table")]).expect("commit");
        let keys_of = |pairs: Pairs| pairs.into_iter().map(|(key, _)| key).collect::<Vec<_>>();

        assert_eq!(keys_of(ascending(store, Table::Index, b"", 9)), keys);
        assert_eq!(keys_of(ascending(store, Table::Index, b"a", 9)), keys[1..], "from is included");
        assert_eq!(keys_of(ascending(store, Table::Index, b"a\0\0", 1)), keys[3..4], "the visitor may stop");
        assert_eq!(keys_of(descending(store, Table::Index, b"b")), [keys[2], keys[1], keys[0]]);
        assert_eq!(keys_of(descending(store, Table::Index, b"")), [b""; 0]);
    }
}

#[test]
fn keys_and_values_that_are_too_large_change_nothing() {
    let temp = tempfile::tempdir().expect("temp dir");
    let sled = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    let (memory, buffered) = (MemoryKv::new(), BufferedKv::new(MemoryKv::new()));
    for store in [&sled as &dyn KvStore, &memory, &buffered] {
        let long_key = put(Table::State, &[1; 1_025], b"v");
        let long_value = put(Table::State, b"k", &vec![0; (4 << 20) + 1]);
        for refused in [long_key, long_value] {
            let ops = [put(Table::State, b"first", b"v"), refused];
            assert!(matches!(store.commit(&ops), Err(StoreError::TooLarge { .. })));
        }
        assert_eq!(store.get(Table::State, b"first").expect("the store stays open"), None);
        store.commit(&[put(Table::State, &[1; 1_024], b"v")]).expect("the longest key");
    }
}

#[test]
fn a_store_that_was_filled_entry_by_entry_holds_what_commits_would_have_put() {
    let temp = tempfile::tempdir().expect("temp dir");
    let (filled, committed) = (temp.path().join("filled"), MemoryKv::new());
    let store = SledKv::open(&filled, CACHE_BYTES).expect("open");
    for number in 0..3_000_u32 {
        let (key, value) = (number.to_be_bytes(), value_of(if number % 500 == 0 { 10_000 } else { 200 }));
        store.fill(Table::State, &key, &value).expect("fill");
        committed.commit(&[put(Table::State, &key, &value)]).expect("commit");
    }
    assert!(matches!(store.fill(Table::State, &[1; 1_025], b""), Err(StoreError::TooLarge { .. })));
    store.flush().expect("flush");
    drop(store);
    let store = SledKv::open(&filled, CACHE_BYTES).expect("open again");
    let all = |store: &dyn KvStore| ascending(store, Table::State, b"", usize::MAX);
    assert_eq!(all(&store), all(&committed));
    // Its values are replaced and deleted like any others.
    store.commit(&[delete(Table::State, &500_u32.to_be_bytes())]).expect("commit");
    assert_eq!(store.get(Table::State, &500_u32.to_be_bytes()).expect("get"), None);
}

#[test]
fn clearing_empties_every_table() {
    let temp = tempfile::tempdir().expect("temp dir");
    {
        let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
        let ops: Vec<_> = Table::ALL.iter().map(|&table| put(table, b"k", &value_of(9_000))).collect();
        store.commit(&ops).expect("commit");
        store.clear().expect("clear");
        store.commit(&[put(Table::Meta, b"new", b"v")]).expect("the store goes on");
        store.flush().expect("flush");
    }
    assert_eq!(pieces_on_disk(temp.path()), 0);
    let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    assert!(ascending(&store, Table::State, b"", 9).is_empty());
    assert_eq!(ascending(&store, Table::Meta, b"", 9), [(b"new".to_vec(), b"v".to_vec())]);
}

#[test]
fn a_clearing_that_was_interrupted_is_finished_by_the_next_opening() {
    let temp = tempfile::tempdir().expect("temp dir");
    {
        let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
        store.commit(&[put(Table::State, b"half", b"v"), put(Table::Meta, b"height", b"7")]).expect("commit");
        store.flush().expect("flush");
    }
    {
        let sled = raw(temp.path());
        sled.open_tree("layout").expect("tree").insert("clearing", b"").expect("insert");
        sled.flush().expect("flush");
    }
    let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    assert!(Table::ALL.iter().all(|&table| ascending(&store, table, b"", 9).is_empty()));
}

#[test]
fn a_newer_layout_is_refused() {
    let temp = tempfile::tempdir().expect("temp dir");
    drop(SledKv::open(temp.path(), CACHE_BYTES).expect("open"));
    {
        let sled = raw(temp.path());
        sled.open_tree("layout").expect("tree").insert("version", &9_u32.to_le_bytes()).expect("insert");
        sled.flush().expect("flush");
    }
    let result = SledKv::open(temp.path(), CACHE_BYTES);
    assert!(matches!(result, Err(StoreError::NewerFormat { part: Part::Kv, found: 9, .. })), "{result:?}");
}

#[test]
fn a_garbled_value_is_never_served() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("kv");
    {
        let store = SledKv::open(&folder, CACHE_BYTES).expect("open");
        store.commit(&[put(Table::State, b"k", &value_of(5_000))]).expect("commit");
        store.flush().expect("flush");
    }
    {
        let sled = raw(&folder);
        let pieces = sled.open_tree("pieces").expect("tree");
        let (key, mut piece) = pieces.first().expect("first").expect("a piece");
        piece[0] ^= 1;
        pieces.insert(key, piece).expect("insert");
        sled.flush().expect("flush");
    }
    let store = SledKv::open(&folder, CACHE_BYTES).expect("open");
    assert!(matches!(store.get(Table::State, b"k"), Err(StoreError::Damaged { part: Part::Kv, .. })));
    assert!(matches!(store.get(Table::State, b"other"), Err(StoreError::Poisoned { part: Part::Kv })));
    drop(store);
    let reopened = SledKv::open(&folder, CACHE_BYTES);
    assert!(matches!(reopened, Err(StoreError::Damaged { part: Part::Kv, .. })), "{reopened:?}");
    let store = SledKv::recreate(&folder, CACHE_BYTES).expect("recreate");
    assert_eq!(store.get(Table::State, b"k").expect("get"), None);
}

#[test]
fn a_damaged_folder_is_reported_and_can_be_set_aside() {
    let temp = tempfile::tempdir().expect("temp dir");
    let folder = temp.path().join("kv");
    {
        let store = SledKv::open(&folder, CACHE_BYTES).expect("open");
        for number in 0..200_u32 {
            store.commit(&[put(Table::State, &number.to_be_bytes(), &value_of(900))]).expect("commit");
        }
        store.flush().expect("flush");
    }
    std::fs::write(folder.join("conf"), b"not a configuration of sled").expect("write");
    let result = SledKv::open(&folder, CACHE_BYTES);
    assert!(matches!(result, Err(StoreError::Damaged { part: Part::Kv, .. })), "{result:?}");

    for _ in 0..2 {
        let store = SledKv::recreate(&folder, CACHE_BYTES).expect("recreate");
        assert!(ascending(&store, Table::State, b"", 9).is_empty());
        assert!(temp.path().join("kv.damaged").is_dir());
    }
}

#[test]
fn flipped_bits_in_the_file_of_sled_are_an_error_and_never_a_panic_or_a_wrong_value() {
    let temp = tempfile::tempdir().expect("temp dir");
    let whole = temp.path().join("whole");
    {
        let store = SledKv::open(&whole, CACHE_BYTES).expect("open");
        for number in 0..500_u32 {
            let ops =
                [put(Table::State, &number.to_be_bytes(), &value_of(2_500)), put(Table::Meta, b"h", b"1")];
            store.commit(&ops).expect("commit");
        }
        store.flush().expect("flush");
    }
    let mut noticed = 0;
    for trial in 0..12_usize {
        let folder = temp.path().join(format!("flipped-{trial}"));
        std::fs::create_dir(&folder).expect("folder");
        std::fs::copy(whole.join("conf"), folder.join("conf")).expect("copy");
        let mut image = std::fs::read(whole.join("db")).expect("read");
        let used = image.iter().rposition(|&byte| byte != 0).expect("contents");
        let at = used * (trial + 1) / 13;
        image[at] ^= 0x10;
        std::fs::write(folder.join("db"), image).expect("write");
        let Ok(store) = SledKv::open(&folder, CACHE_BYTES) else {
            noticed += 1;
            continue;
        };
        for number in 0..500_u32 {
            match store.get(Table::State, &number.to_be_bytes()) {
                Ok(Some(value)) => assert_eq!(value, value_of(2_500), "flip at {at}"),
                // Sled is known to forget entries after such damage; the state root is what notices that.
                Ok(None) => {}
                Err(_) => {
                    noticed += 1;
                    break;
                }
            }
        }
    }
    assert!(noticed > 0, "no flip had any effect");
}

#[test]
fn a_leftover_of_a_recovery_does_not_keep_the_store_from_opening() {
    let temp = tempfile::tempdir().expect("temp dir");
    {
        let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
        store.commit(&[put(Table::State, b"k", b"v")]).expect("commit");
        store.flush().expect("flush");
    }
    let leftover = temp.path().join("snap.0000000000001000.generating");
    std::fs::write(&leftover, b"half").expect("write");
    let store = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
    assert_eq!(store.get(Table::State, b"k").expect("get"), Some(b"v".to_vec()));
    assert!(!leftover.exists());
}

#[test]
fn a_crash_takes_the_memory_store_back_to_its_last_flush() {
    let store = MemoryKv::new();
    store.commit(&[put(Table::State, b"k", b"1"), put(Table::Meta, b"h", b"1")]).expect("commit");
    store.flush().expect("flush");
    store.commit(&[put(Table::State, b"k", b"2"), put(Table::Meta, b"h", b"2")]).expect("commit");
    store.commit(&[delete(Table::State, b"k"), put(Table::State, b"new", b"3")]).expect("commit");
    store.crash();
    assert_eq!(ascending(&store, Table::State, b"", 9), [(b"k".to_vec(), b"1".to_vec())]);
    assert_eq!(store.get(Table::Meta, b"h").expect("get"), Some(b"1".to_vec()));
}

#[test]
fn a_scan_sees_one_moment_while_commits_go_on() {
    let temp = tempfile::tempdir().expect("temp dir");
    let sled = |name: &str| SledKv::open(&temp.path().join(name), CACHE_BYTES).expect("open");
    let (plain, buffered) = (sled("plain"), BufferedKv::new(sled("buffered")));
    for store in [&plain as &dyn KvStore, &buffered] {
        assert_scans_see_one_moment(store);
    }
}

fn assert_scans_see_one_moment(store: &dyn KvStore) {
    let round = |number: u8| -> Vec<Op> {
        (0..200_u32).map(|key| put(Table::State, &key.to_be_bytes(), &[number])).collect()
    };
    store.commit(&round(0)).expect("commit");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..=40 {
                store.commit(&round(number)).expect("commit");
                if number % 7 == 0 {
                    store.flush().expect("flush");
                }
            }
        });
        while !writer.is_finished() {
            let found = ascending(store, Table::State, b"", usize::MAX);
            assert_eq!(found.len(), 200);
            assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].1), "a scan mixed two commits");
        }
    });
}

fn any_table() -> impl Strategy<Value = Table> {
    prop_oneof![Just(Table::State), Just(Table::Index), Just(Table::Meta)]
}

fn any_op() -> impl Strategy<Value = Op> {
    let key = proptest::collection::vec(0..4_u8, 0..4);
    let len = prop_oneof![0..20_usize, 3_060..3_090_usize, 6_000..10_000_usize];
    prop_oneof![
        3 => (any_table(), key.clone(), len)
            .prop_map(|(table, key, len)| Op::Put { table, value: value_of(len), key }),
        1 => (any_table(), key).prop_map(|(table, key)| Op::Delete { table, key }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_stores_behave_like_a_map(
        commits in proptest::collection::vec(proptest::collection::vec(any_op(), 0..8), 1..12),
        from in proptest::collection::vec(0..4_u8, 0..4),
        flush_after in 0..12_usize,
    ) {
        let temp = tempfile::tempdir().expect("temp dir");
        let (memory, buffered) = (MemoryKv::new(), BufferedKv::new(MemoryKv::new()));
        let mut model: BTreeMap<(Table, Vec<u8>), Vec<u8>> = BTreeMap::new();
        {
            let sled = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
            for (number, ops) in commits.iter().enumerate() {
                sled.commit(ops).expect("commit");
                memory.commit(ops).expect("commit");
                buffered.commit(ops).expect("commit");
                // Later rows are laid over those that are below.
                if number == flush_after {
                    buffered.flush().expect("flush");
                }
                for op in ops {
                    match op.clone() {
                        Op::Put { table, key, value } => model.insert((table, key), value),
                        Op::Delete { table, key } => model.remove(&(table, key)),
                    };
                }
            }
            sled.flush().expect("flush");
        }
        let sled = SledKv::open(temp.path(), CACHE_BYTES).expect("open");
        for store in [&sled as &dyn KvStore, &memory, &buffered] {
            for table in Table::ALL {
                let pairs = |keep: &dyn Fn(&[u8]) -> bool| -> Pairs {
                    model
                        .iter()
                        .filter(|((of, key), _)| *of == table && keep(key))
                        .map(|((_, key), value)| (key.clone(), value.clone()))
                        .collect()
                };
                prop_assert_eq!(ascending(store, table, &from, usize::MAX), pairs(&|key| key >= &from[..]));
                let mut below = pairs(&|key| key < &from[..]);
                below.reverse();
                prop_assert_eq!(descending(store, table, &from), below);
                for key in (0..4_u8).flat_map(|one| [vec![one], vec![one, 1]]) {
                    let expected = model.get(&(table, key.clone())).cloned();
                    prop_assert_eq!(store.get(table, &key).expect("get"), expected);
                }
            }
        }
        drop(sled);
        let pieces = |len: usize| if len <= 3_072 { 0 } else { len.div_ceil(3_072) };
        prop_assert_eq!(pieces_on_disk(temp.path()), model.values().map(|value| pieces(value.len())).sum::<usize>());
    }
}
