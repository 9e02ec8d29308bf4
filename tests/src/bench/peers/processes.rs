//! Processes of another system, killed when they are no longer needed.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// Processes that end with this.
pub struct Processes {
    children: Vec<Child>,
    folder: PathBuf,
}

impl Processes {
    /// None yet; logs go to `folder`.
    pub fn new(folder: &Path) -> Self {
        Self { children: Vec::new(), folder: folder.to_owned() }
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be started, with the package that has it.
    pub fn start(&mut self, mut command: Command, package: &str) -> anyhow::Result<()> {
        let log = File::create(self.folder.join(format!("{}.log", self.children.len())))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        self.children.push(child.with_context(|| {
            format!("{program} cannot be started; Debian has it: apt-get install {package}")
        })?);
        Ok(())
    }

    /// Their process ids.
    pub fn ids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// The end of the first one's log.
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("0.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Already dead is fine.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that were free a moment ago. These systems want to be told theirs, all before the first one starts.
///
/// # Errors
/// When the system has none.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
