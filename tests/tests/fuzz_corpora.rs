//! Replays what the fuzzers have found and kept: every file of `fuzz/corpus`, and some small changes of each.
//!
//! A file that once broke its target stays in the corpus, so no defect that fuzzing found comes back unnoticed. To add the
//! hand-made seeds of all targets to the corpora:
//!
//! ```text
//! AEGIS_CORPORA=add-seeds cargo test -p aegis-tests --test fuzz_corpora
//! ```
//!
//! A run that adds seeds always fails, so that none passes for a check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aegis_tests::fuzz::memory::{self, Counting};
use aegis_tests::fuzz::{TARGETS, Target};
use aegis_types::Hash;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const VARIABLE: &str = "AEGIS_CORPORA";

/// Bytes of all corpora together: what everybody who clones the repository must fetch.
const CORPORA_BYTES_MAX: u64 = 3 << 20;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").join("fuzz")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The inputs of a target's corpus, in order of name.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz_folder().join("corpus").join(target.name);
    let read = |name: String| {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    names_in(&folder).into_iter().map(read).collect()
}

/// Numbers from a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// A few small changes, as a fuzzer makes them.
fn changed(mut bytes: Vec<u8>, other: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    for _ in 0..=numbers.below(4) {
        let place = numbers.below(bytes.len());
        let byte = numbers.next().to_le_bytes()[0];
        match numbers.below(6) {
            0 if !bytes.is_empty() => bytes[place] ^= 1 << (byte % 8),
            1 if !bytes.is_empty() => bytes[place] = byte,
            2 if !bytes.is_empty() => drop(bytes.remove(place)),
            3 => bytes.insert(place, byte),
            4 => bytes.truncate(place),
            _ => {
                let from = numbers.below(other.len());
                let piece = other[from..].iter().take(usize::from(byte % 32)).copied();
                bytes.splice(place..place, piece);
            }
        }
    }
    bytes
}

/// Runs a target and names the input if that breaks it.
fn run(target: &Target, input: &[u8], what: &str) {
    let broken = std::panic::catch_unwind(|| (target.run)(input)).is_err();
    assert!(
        !broken,
        "{what} breaks the target {}; as hexadecimal digits: {}",
        target.name,
        hex::encode(input)
    );
}

fn replay(name: &str) {
    let target = Target::named(name).expect("a target");
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "the target {name} has no corpus");
    let mut numbers = Numbers(1);
    for (at, (path, input)) in corpus.iter().enumerate() {
        run(target, input, &path.display().to_string());
        for change in 0..target.changes {
            let other = &corpus[numbers.below(corpus.len())].1;
            let changed = changed(input.clone(), other, &mut numbers);
            run(target, &changed, &format!("change {change} of file {at} ({})", path.display()));
        }
    }
}

/// Makes a test of each target, and fails to compile for none: that is what the next test is for.
macro_rules! replays {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
    };
}

replays! {
    canonical
    config
    engine
    frames
    genesis_file
    grpc
    key_file
    ledger
    message
    node_wire
    receipt
    record
    rest
    segments
    values
    weights
}

#[test]
fn every_target_has_a_test_a_program_and_a_corpus_and_there_are_no_others() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let replayed = REPLAYED.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(targets, replayed, "the list of tests in this file");
    assert_eq!(targets, names_in(&fuzz_folder().join("corpus")), "the folders in fuzz/corpus");
    let programs = names_in(&fuzz_folder().join("fuzz_targets"));
    let programs = programs.iter().map(|name| name.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, programs, "the programs in fuzz/fuzz_targets");
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for name in targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no program of fuzz/Cargo.toml");
    }
}

#[test]
fn corpora_hold_the_seeds_and_stay_small() {
    match std::env::var(VARIABLE) {
        Ok(word) if word == "add-seeds" => add_seeds(),
        Ok(word) => panic!("{VARIABLE}={word} is not known; the only word is `add-seeds`"),
        Err(_) => {}
    }
    let mut bytes = 0;
    for target in TARGETS {
        let corpus = corpus(target);
        bytes += corpus.iter().map(|(_, input)| input.len() as u64).sum::<u64>();
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "the target {} has no seeds", target.name);
        for seed in &seeds {
            assert!(
                corpus.iter().any(|(_, input)| input == seed),
                "a seed of {} is not in its corpus; add it with: {VARIABLE}=add-seeds cargo test -p aegis-tests \
                 --test fuzz_corpora",
                target.name
            );
        }
    }
    assert!(
        bytes <= CORPORA_BYTES_MAX,
        "the corpora have {bytes} bytes; minimise them (see docs/fuzzing.md)"
    );
}

fn add_seeds() {
    for target in TARGETS {
        let folder = fuzz_folder().join("corpus").join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for seed in (target.seeds)() {
            let name: String = Hash::of("aegis fuzz seed", &seed).to_string().chars().take(40).collect();
            std::fs::write(folder.join(name), seed).unwrap();
        }
    }
    panic!("the seeds are in the corpora: review the difference, then run without {VARIABLE}");
}

#[test]
fn memory_is_counted() {
    let (_, taken) = memory::measured(|| drop(vec![0_u8; 1 << 20]));
    assert!((1 << 20..2 << 20).contains(&taken), "{taken}");
    let greedy = std::panic::catch_unwind(|| memory::bounded(1, || drop(vec![0_u8; 1 << 20])));
    assert!(greedy.is_err(), "a decoder that takes too much is not noticed");
}
