//! A home that has run with nothing but Tor does not run otherwise by an oversight.
//!
//! Whoever leaves a flag out of a command line would show, under the same key, the address that all earlier runs have hidden. So
//! such a run is noted in the home, and the next one must name a mode, be it another one: on the command line, in the
//! environment or in the configuration file.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use aegis_config::{Source, TorMode};
use anyhow::Context as _;

use super::Failure;
use crate::home::Home;
use crate::keyfile::write_private;

/// What the note says to whoever finds it.
const NOTE: &str =
    "This node has run with nothing but Tor: it does not start in another mode until that is named.\n";

/// Refuses a mode that nobody has named if the home has run with nothing but Tor, and notes that it is going to. `source` is where
/// the mode comes from.
///
/// # Errors
/// With what to do instead; or when the note cannot be written.
pub(super) fn check(home: &Home, mode: TorMode, source: &Source) -> Result<(), Failure> {
    let note = note_path(home);
    let has_note = note.try_exists().with_context(|| note.display().to_string())?;
    match (mode, has_note) {
        (TorMode::Only, false) => Ok(write(home).with_context(|| note.display().to_string())?),
        (TorMode::Off | TorMode::Also, true) if *source == Source::Default => Err(refusal(home)),
        (TorMode::Only | TorMode::Off | TorMode::Also, _) => Ok(()),
    }
}

/// Forgets the note once the node does run in another mode, and not before: a start that fails shows nothing.
///
/// # Errors
/// When the note cannot be removed.
pub(super) fn on_started(home: &Home, mode: TorMode) -> Result<(), Failure> {
    let note = note_path(home);
    if mode != TorMode::Only && note.try_exists().with_context(|| note.display().to_string())? {
        std::fs::remove_file(&note).with_context(|| note.display().to_string())?;
    }
    Ok(())
}

fn note_path(home: &Home) -> PathBuf {
    home.tor_path().join("only")
}

fn write(home: &Home) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(home.tor_path())?;
    write_private(&note_path(home), NOTE.as_bytes())
}

fn refusal(home: &Home) -> Failure {
    Failure::new("this home has run with nothing but Tor, and now no mode is set: its address would be shown to everybody")
        .help(format!(
            "write `mode = \"only\"` below `[p2p.tor]` in {}, or add `--tor only`; to run it otherwise all the same, name that \
             mode: `--tor off` or `--tor also`",
            home.config_path().display()
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag() -> Source {
        Source::Flag { flag: "--tor".to_owned() }
    }

    #[test]
    fn a_home_that_was_hidden_is_not_shown_by_an_oversight() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        check(&home, TorMode::Off, &Source::Default).unwrap();
        check(&home, TorMode::Only, &flag()).unwrap();
        on_started(&home, TorMode::Only).unwrap();
        let refused = check(&home, TorMode::Off, &Source::Default).unwrap_err();
        assert!(format!("{refused:?}").contains("--tor only"), "{refused:?}");
        check(&home, TorMode::Only, &flag()).unwrap();
    }

    #[test]
    fn another_mode_that_is_named_is_run_and_asked_for_once_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        check(&home, TorMode::Only, &flag()).unwrap();
        let file = Source::File { path: home.config_path(), line: 3 };
        check(&home, TorMode::Off, &file).unwrap();
        check(&home, TorMode::Off, &Source::Default).expect_err("it has not run in the mode that was named");
        check(&home, TorMode::Off, &file).unwrap();
        on_started(&home, TorMode::Off).unwrap();
        check(&home, TorMode::Off, &Source::Default).unwrap();
    }
}
