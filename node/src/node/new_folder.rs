//! A folder that a command fills with something that counts only when it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::snapshot::shelf::make_folder;

/// A folder that was empty or absent.
#[derive(Debug)]
pub struct NewFolder {
    path: PathBuf,
    /// The uppermost folder that had to be made for it.
    made: Option<PathBuf>,
}

impl NewFolder {
    /// Makes the folder and those above it, where they are absent.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be made.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        let absent = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made = absent.last().map(Path::to_owned);
        make_folder(path).with_context(|| path.display().to_string())?;
        ensure!(fs::read_dir(path)?.next().is_none(), "{} is not empty; name another folder", path.display());
        Ok(Self { path: path.to_owned(), made })
    }

    /// Keeps what was put into the folder if that went well, and removes all of it otherwise.
    ///
    /// # Errors
    /// That of the outcome.
    pub fn keep_if<T>(self, outcome: anyhow::Result<T>) -> anyhow::Result<T> {
        outcome.map_err(|error| match self.remove() {
            Ok(()) => error,
            Err(left) => error.context(format!("{} cannot be cleared ({left})", self.path.display())),
        })
    }

    fn remove(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        let Some(made) = &self.made else { return Ok(()) };
        // Others may use the folders above meanwhile: one that is not empty stays, with all above it.
        for folder in self.path.ancestors().take_while(|folder| folder.starts_with(made)) {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => break,
                outcome => outcome?,
            }
        }
        Ok(())
    }
}

/// Whether a path, which may not exist yet, leads into a folder, which may not exist either.
///
/// # Errors
/// When a folder on the way cannot be looked at.
pub fn is_within(path: &Path, folder: &Path) -> std::io::Result<bool> {
    if !folder.exists() {
        return Ok(false);
    }
    let existing = path.ancestors().find(|above| above.exists());
    let existing = existing.unwrap_or(Path::new("."));
    Ok(fs::canonicalize(existing)?.starts_with(fs::canonicalize(folder)?))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn fail(folder: &Path) -> anyhow::Result<()> {
        fs::create_dir(folder.join("part")).unwrap();
        fs::write(folder.join("part/file"), "x").unwrap();
        fs::write(folder.join("file"), "x").unwrap();
        bail!("full")
    }

    #[test]
    fn what_failed_leaves_neither_files_nor_folders() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("a/b");
        assert!(NewFolder::make(&deep).unwrap().keep_if(fail(&deep)).is_err());
        assert!(!temp.path().join("a").exists() && temp.path().exists());
        let (one, other) = (temp.path().join("day/one"), temp.path().join("day/other"));
        let folder = NewFolder::make(&one).unwrap();
        fs::create_dir(&other).unwrap();
        assert!(folder.keep_if(fail(&one)).is_err());
        assert!(!one.exists() && other.exists(), "what others have made stays");
        let empty = temp.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(NewFolder::make(&empty).unwrap().keep_if(fail(&empty)).is_err());
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "a folder that was there stays");
        let folder = NewFolder::make(&deep).unwrap();
        fs::write(deep.join("file"), "x").unwrap();
        folder.keep_if(Ok(())).unwrap();
        assert!(deep.join("file").exists());
        let used = NewFolder::make(&deep).unwrap_err().to_string();
        assert!(used.contains("is not empty") && deep.join("file").exists(), "{used}");
    }

    #[test]
    fn a_folder_within_another_is_found_whether_it_exists_or_not() {
        let temp = tempfile::tempdir().unwrap();
        let data = temp.path().join("data");
        assert!(!is_within(&data.join("x"), &data).unwrap(), "there is none yet");
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, temp.path().join("link")).unwrap();
        for (path, expected) in
            [("data", true), ("data/x/y", true), ("link/x", true), ("data2", false), ("other/data", false)]
        {
            assert_eq!(is_within(&temp.path().join(path), &data).unwrap(), expected, "{path}");
        }
    }
}
