//! Saves what is intact of a damaged committed log.
//!
//! Blocks can be fetched from peers again, so a repair need not save all of them. It saves those that lie together with one
//! that the node needs, its newest executed block: from there on it can go on. Everything else is set aside, not deleted,
//! in a folder beside the log, for an operator to look at.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aegis_types::Height;
use tracing::{info, warn};

use crate::disk::{Disk, make_folder, sync_folder};
use crate::error::{Part, StoreError};
use crate::segment::{Intact, Run, SegmentDir, find_runs, rewrite_run};

/// What a repair has kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRepair {
    /// The blocks that are left, first and last; none when the one that was needed is lost.
    pub kept: Option<(Height, Height)>,
    /// Where the rest is; none when nothing had to be set aside.
    pub aside: Option<PathBuf>,
}

/// A file of the log and the blocks in it that verify.
struct Found {
    first: u64,
    intact: Intact,
}

impl Found {
    /// The run that starts where the file does.
    fn head(&self) -> Option<Run> {
        self.intact.runs.first().copied().filter(|run| run.first == self.first)
    }
}

/// Repairs the log in a folder around block `needed`; the log must not be open.
///
/// Afterwards the folder holds a log that opens: an unbroken chain of verified blocks with `needed` among them, or nothing
/// at all. All of the log is read.
///
/// # Errors
/// Errors of the file system, and `NewerFormat`.
pub fn repair_log(folder: &Path, needed: Height) -> Result<LogRepair, StoreError> {
    let dir = SegmentDir::new(Arc::new(Disk::open(folder)?), Part::CommittedLog);
    let mut files = Vec::new();
    for first in dir.settle_names()? {
        let intact = match dir.open(first) {
            Ok((file, header)) => find_runs(&dir, &*file, &header)?,
            Err(StoreError::Damaged { .. }) => Intact::default(),
            Err(error) => return Err(error),
        };
        files.push(Found { first, intact });
    }
    let mut aside = Aside { folder, made: None };
    let plan = Plan::of(&files, needed.0);
    for file in files.iter().rev().filter(|file| !plan.keeps(file.first)) {
        // One that is made anew under its own name is linked, so that the log is never without it.
        if plan.rewritten.is_none_or(|(source, _, _)| source != file.first) {
            aside.take(&dir.path(file.first))?;
        }
    }
    if let Some((source, run, previous)) = plan.rewritten {
        let (file, header) = dir.open(source)?;
        rewrite_run(&dir, (&*file, &header), run, previous, || aside.link(&dir.path(source)))?;
        if run.first != source {
            // It is linked aside already; renaming one link over the other would do nothing.
            let path = dir.path(source);
            fs::remove_file(&path).map_err(|e| StoreError::io("remove", &path, e))?;
        }
    }
    dir.clear_suspicion()?;
    sync_folder(folder)?;
    if let Some(aside) = &aside.made {
        sync_folder(aside)?;
        warn!(aside = %aside.display(), "damaged files of the committed log are set aside");
    }
    if let Some((first, last)) = plan.kept {
        info!(%first, %last, "blocks of the damaged committed log that are kept");
    }
    Ok(LogRepair { kept: plan.kept, aside: aside.made })
}

/// Lets a log open in which a block was found damaged, as it is: where nobody could give the block back.
///
/// # Errors
/// Errors of the file system.
pub fn tolerate_damage(folder: &Path) -> Result<(), StoreError> {
    SegmentDir::new(Arc::new(Disk::open(folder)?), Part::CommittedLog).clear_suspicion()
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    kept: Option<(Height, Height)>,
    /// Files that stay as they are.
    whole: Vec<u64>,
    /// A file of which a part is kept: its name, the part, and the file before it.
    rewritten: Option<(u64, Run, Option<u64>)>,
}

impl Plan {
    fn of(files: &[Found], needed: u64) -> Self {
        let holds = |run: &Run| run.first <= needed && needed < run.end;
        let found = files.iter().enumerate().find_map(|(index, file)| {
            file.intact.runs.iter().find(|run| holds(run)).map(|run| (index, file, *run))
        });
        let Some((index, file, run)) = found else { return Self::default() };
        let ends_at = |index: usize| files.get(index + 1).map(|next| next.first);
        let is_whole = |index: usize, run: Run| {
            ends_at(index).map_or_else(
                || {
                    files
                        .get(index)
                        .is_some_and(|file| file.intact.runs.len() == 1 && !file.intact.has_broken_tail)
                },
                |end| run.end == end,
            )
        };
        let mut plan = Self::default();
        let (mut first, mut last) = (run.first, run.end);
        let starts_file = run.first == file.first;
        // Downwards, as long as files are whole and reach up to the next one.
        let mut below = index;
        while starts_file && below > 0 {
            let Some(head) = files.get(below - 1).and_then(Found::head) else { break };
            if head.end != first {
                break;
            }
            first = head.first;
            plan.whole.push(head.first);
            below -= 1;
        }
        let previous = (below < index).then(|| files.get(index - 1).map(|file| file.first)).flatten();
        if !starts_file || !is_whole(index, run) {
            plan.rewritten = Some((file.first, run, previous));
        } else {
            plan.whole.push(file.first);
            // Upwards: a file whose tail is damaged is the last one.
            let mut above = index;
            while let Some((next, head)) = files
                .get(above + 1)
                .and_then(|file| Some((file, file.head()?)))
                .filter(|_| ends_at(above) == Some(last))
            {
                last = head.end;
                if !is_whole(above + 1, head) {
                    plan.rewritten = Some((next.first, head, files.get(above).map(|file| file.first)));
                    break;
                }
                plan.whole.push(next.first);
                above += 1;
            }
        }
        plan.kept = Some((Height(first), Height(last).previous()));
        plan
    }

    fn keeps(&self, file: u64) -> bool {
        self.whole.contains(&file)
    }
}

/// The folder for what is not kept, made when there is something.
struct Aside<'a> {
    folder: &'a Path,
    made: Option<PathBuf>,
}

impl Aside<'_> {
    fn take(&mut self, file: &Path) -> Result<(), StoreError> {
        let target = self.target(file)?;
        fs::rename(file, &target).map_err(|e| StoreError::io("rename", file, e))
    }

    fn link(&mut self, file: &Path) -> Result<(), StoreError> {
        let target = self.target(file)?;
        fs::hard_link(file, &target).map_err(|e| StoreError::io("link", file, e))
    }

    fn target(&mut self, file: &Path) -> Result<PathBuf, StoreError> {
        let folder = match &self.made {
            Some(made) => made.clone(),
            None => {
                let made = aside_name(self.folder);
                make_folder(&made)?;
                self.made = Some(made.clone());
                made
            }
        };
        Ok(folder.join(file.file_name().unwrap_or_default()))
    }
}

/// Moves a folder of the data folder aside, durably, and returns its new path; none when there is no such folder.
///
/// # Errors
/// Errors of the file system.
pub fn set_aside(folder: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !folder.exists() {
        return Ok(None);
    }
    let aside = aside_name(folder);
    fs::rename(folder, &aside).map_err(|e| StoreError::io("rename", folder, e))?;
    crate::disk::sync_parent(folder)?;
    warn!(folder = %folder.display(), aside = %aside.display(), "set aside");
    Ok(Some(aside))
}

/// The first name that is free: `<folder>.damaged`, `<folder>.damaged-2`, and so on.
fn aside_name(folder: &Path) -> PathBuf {
    let named = |number: u32| {
        let mut name = folder.as_os_str().to_owned();
        name.push(".damaged");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    (1..u32::MAX).map(named).find(|path| !path.exists()).unwrap_or_else(|| named(u32::MAX))
}
