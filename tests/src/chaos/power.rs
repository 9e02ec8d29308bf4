//! A file system whose power can be cut: ext4 in a file, shut down without a flush of its journal.
//!
//! What is dropped is everything that was not made durable: unsynced pages and uncommitted entries of the file system's own
//! journal. What had reached the block device counts as durable; reordering and torn sectors are not modelled here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use rustix::ioctl::{Setter, ioctl};

/// Size of the file system.
const IMAGE_BYTES: u64 = 2 << 30;
/// `EXT4_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
/// Drop everything, also what the journal holds.
const NOLOGFLUSH: u32 = 2;

/// A mounted file system in a file.
#[derive(Debug)]
pub struct PowerDisk {
    image: PathBuf,
    mount: PathBuf,
    is_mounted: bool,
}

impl PowerDisk {
    /// Makes and mounts one below `folder`. The image lies in `/dev/shm`, so that what reaches it is at once where it would be on
    /// a disk.
    ///
    /// # Errors
    /// When the machine does not allow it: that takes root and loop devices.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let image = tempfile_path(folder);
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").arg("-q").arg(&image)).context("a file system cannot be made")?;
        let mount = folder.join("disk");
        std::fs::create_dir_all(&mount)?;
        let mut disk = Self { image, mount, is_mounted: false };
        disk.mount().context("a file system cannot be mounted; that takes root and loop devices")?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power: from now on nothing more reaches the disk, and nothing can be read.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut(&self) -> anyhow::Result<()> {
        let handle = File::open(&self.mount)?;
        // SAFETY: the request reads one `u32`, which is what it is given.
        unsafe { ioctl(&handle, Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NOLOGFLUSH)) }
            .context("the file system cannot be shut down")
    }

    /// Gives the power back, after everything that used it has ended.
    ///
    /// # Errors
    /// When it cannot be mounted again.
    pub fn restore(&mut self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            // What cannot be unmounted stays; there is nobody to tell.
            let _ = self.unmount();
        }
        let _ = std::fs::remove_file(&self.image);
    }
}

fn tempfile_path(folder: &Path) -> PathBuf {
    let name = format!("aegis-power-{}.img", std::process::id());
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.join(name) } else { folder.join(name) }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
