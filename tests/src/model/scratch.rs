//! A copy of the workspace in which bugs are planted, with a build of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::planted::Planted;

/// The copy. Files that are the same are left alone, so that each bug builds only what it changes.
#[derive(Debug)]
pub struct Scratch {
    root: PathBuf,
}

impl Scratch {
    /// Copies the sources of `workspace` to `root`, where an earlier copy may stand.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn new(workspace: &Path, root: PathBuf) -> anyhow::Result<Self> {
        copy_sources(workspace, &root)?;
        Ok(Self { root })
    }

    /// Runs `search` while a bug is planted; takes it out again whatever comes of it.
    ///
    /// # Errors
    /// When the bug does not fit the source, or what `search` gives.
    pub fn with_bug<T>(
        &self,
        bug: &Planted,
        search: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let path = self.root.join(bug.file);
        let original = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        std::fs::write(&path, bug.plant(&original)?)?;
        let found = search();
        std::fs::write(&path, original)?;
        found.with_context(|| format!("while `{}` was planted", bug.name))
    }

    /// Builds with cargo.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn build(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let built = self.cargo(arguments).output()?;
        if !built.status.success() {
            bail!("the copy does not compile:\n{}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(())
    }

    /// A cargo command in the copy.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO"));
        command.current_dir(&self.root).args(arguments).env("CARGO_TARGET_DIR", self.target());
        command.env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true");
        // The compiler that this was built with, whatever toolchain the folder of a dependency asks for.
        command.env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A release binary of the copy.
    pub fn binary(&self, name: &str) -> Command {
        let mut command = Command::new(self.target().join("release").join(name));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Where the simulator writes what went wrong last.
    pub fn trace(&self) -> PathBuf {
        self.target().join("planted.trace")
    }

    fn target(&self) -> PathBuf {
        self.root.join("target")
    }
}

fn copy_sources(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    remove_others(from, to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with('.') && name != ".cargo";
        if is_hidden || name == "target" {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_sources(&entry.path(), &target)?;
        } else if !is_same(&entry.path(), &target) {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Removes what an earlier copy had and the workspace has no more.
fn remove_others(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        if entry.file_name() == "target" || from.join(entry.file_name()).exists() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}
