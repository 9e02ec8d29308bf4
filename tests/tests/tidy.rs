//! Rules of the house that a compiler does not check: who may depend on whom, and how files are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each crate, the crates of the workspace that it may use outside its tests. An arrow that is not here is a mistake
/// in the design, not in this table.
const ARROWS: [(&str, &[&str]); 11] = [
    ("types", &[]),
    ("light", &["types"]),
    ("consensus", &["types"]),
    ("metrics", &["types"]),
    ("ledger", &["types", "metrics"]),
    ("config", &["types"]),
    ("store", &["types"]),
    ("p2p", &["types"]),
    ("rpc", &["types"]),
    ("node", &["types", "light", "consensus", "ledger", "metrics", "config", "store", "p2p", "rpc"]),
    ("tests", &["types", "light", "consensus", "ledger", "metrics", "config", "store", "p2p", "rpc", "node"]),
];

/// Crates that compute and do nothing else, so that the simulator can run them and others embed them.
const PURE: [&str; 4] = ["types", "light", "consensus", "ledger"];

/// What a pure crate may not know. `types` has `rand` to make keys with; `consensus` and `ledger` must not draw numbers.
const IMPURE_DEPENDENCIES: [&str; 6] = ["tokio", "libp2p", "sled", "tracing", "tonic", "anyhow"];

const PRODUCTION_LINES_MAX: usize = 600;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").to_owned()
}

/// Names in the tables of a manifest whose header is one of `tables`.
fn dependencies(manifest: &str, tables: &[&str]) -> BTreeSet<String> {
    let mut is_wanted = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_wanted = tables.contains(&table);
        } else if is_wanted && !line.starts_with('#') {
            names.extend(
                line.split(['=', '.', ' ']).next().filter(|name| !name.is_empty()).map(str::to_owned),
            );
        }
    }
    names
}

fn manifest(member: &str) -> String {
    let path = workspace().join(member).join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let root = std::fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    for (member, allowed) in &arrows {
        assert!(root.contains(&format!("\"{member}\"")), "{member} is no member of the workspace");
        for name in dependencies(&manifest(member), &["dependencies", "build-dependencies"]) {
            if let Some(sibling) = name.strip_prefix("aegis-") {
                assert!(allowed.contains(&sibling), "{member} may not depend on {sibling}");
            }
        }
    }
}

#[test]
fn pure_crates_know_neither_io_nor_chance() {
    for member in PURE {
        let names = dependencies(&manifest(member), &["dependencies"]);
        assert!(!names.is_empty(), "the manifest of {member} was not understood");
        let chance = (member != "types").then_some("rand");
        for name in IMPURE_DEPENDENCIES.into_iter().chain(chance) {
            assert!(!names.iter().any(|found| found.starts_with(name)), "{member} may not depend on {name}");
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = ARROWS.iter().map(|(member, _)| workspace().join(member)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 100, "only {} files were found", files.len());
    files
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not begin with its documentation", path.display());
    }
}

#[test]
fn no_file_grows_beyond_reading() {
    for (path, text) in sources() {
        let production = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        assert!(
            production <= PRODUCTION_LINES_MAX,
            "{} has {production} lines; split it at a responsibility",
            path.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not accuse itself.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X:"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["#[ign", "ore"],
    ]
    .map(|halves| halves.concat());
    for (path, text) in sources() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} contains {mark}", path.display());
        }
    }
}
