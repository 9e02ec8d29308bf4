//! Starts nodes as processes, watches and stops them.

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::{join_all, select_all};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::cli::Failure;
use crate::home::Home;

/// How long a node may take to stop: its own grace and a little.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// Bytes at the end of a log that are looked at for its last lines.
const LOG_TAIL_BYTES: u64 = 8 * 1024;
/// Last lines of a log that are shown.
const LOG_TAIL_LINES: usize = 12;

/// A node that this process started.
#[derive(Debug)]
pub struct NodeProcess {
    /// Its name in messages, such as `node0`.
    pub name: String,
    /// Its home.
    pub home: Home,
    /// Its process id.
    pub pid: u32,
    child: Child,
    /// Bytes that its log had when it was started.
    log_begin: u64,
    /// Whether it was seen to have ended by itself.
    has_ended: bool,
}

/// How a node's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, in time.
    InOrder,
    /// It had to be killed.
    Killed,
    /// With a failure.
    Failed,
}

/// Nodes that this process started. They end with it.
#[derive(Debug, Default)]
pub struct Processes {
    nodes: Vec<NodeProcess>,
}

impl Processes {
    /// Starts a node from this program. Must be called on the main thread: see [`super::supervision`].
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(&mut self, name: String, home: Home) -> Result<(), Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new(format!("this program's own file cannot be found: {error}")))?;
        let log_path = home.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&log_path);
        let log = log.map_err(|error| Failure::file(&log_path, error))?;
        let log_begin = log.metadata().map_or(0, |metadata| metadata.len());
        let err = log.try_clone().map_err(|error| Failure::file(&log_path, error))?;
        let mut command = Command::new(program);
        command
            .arg("run")
            .arg("--home")
            .arg(home.path())
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(err)
            // Ctrl-C at the terminal is for the parent, which stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true);
        // What the environment says of one node cannot be right for several.
        for (variable, _) in std::env::vars_os() {
            if variable
                .to_str()
                .is_some_and(|name| name.starts_with("AEGIS_") && !name.starts_with("AEGIS_TELEMETRY_"))
            {
                command.env_remove(variable);
            }
        }
        let child =
            command.spawn().map_err(|error| Failure::new(format!("{name} cannot be started: {error}")))?;
        let pid = child.id().unwrap_or_default();
        self.nodes.push(NodeProcess { name, home, pid, child, log_begin, has_ended: false });
        Ok(())
    }

    /// The nodes in the order in which they were started.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// How many still run, as far as was seen.
    pub fn running(&self) -> usize {
        self.nodes.iter().filter(|node| !node.has_ended).count()
    }

    /// Waits until one of those that run ends, and gives its position and why. Each is told of once.
    pub async fn next_end(&mut self) -> (usize, Failure) {
        let running: Vec<usize> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| !node.has_ended)
            .map(|(index, _)| index)
            .collect();
        if running.is_empty() {
            return std::future::pending().await;
        }
        let nodes = self.nodes.iter_mut().filter(|node| !node.has_ended);
        let waits = nodes.map(|node| Box::pin(node.child.wait()));
        let (result, position, _) = select_all(waits).await;
        let how = match result {
            Ok(status) => describe(status),
            Err(error) => format!("cannot be watched: {error}"),
        };
        let index = running.get(position).copied().unwrap_or_default();
        let failure = match self.nodes.get_mut(index) {
            Some(node) => {
                node.has_ended = true;
                let log = node.home.log_path();
                Failure::new(format!("{} ended by itself ({how})", node.name)).help(format!(
                    "its log {} ends:\n{}",
                    log.display(),
                    last_words(&read_tail(&log, node.log_begin))
                ))
            }
            None => Failure::new(format!("a node ended by itself ({how})")),
        };
        (index, failure)
    }

    /// Stops all that still run, waits for them, and kills those that do not stop in time.
    pub async fn stop(&mut self) -> Vec<(String, Ending)> {
        for node in self.nodes.iter().filter(|node| !node.has_ended) {
            // One that has ended has no id any more, so no stranger's process is meant.
            if let Some(pid) = node.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        join_all(self.nodes.iter_mut().filter(|node| !node.has_ended).map(NodeProcess::end)).await
    }
}

impl NodeProcess {
    async fn end(&mut self) -> (String, Ending) {
        let ending = match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ending::InOrder,
            Ok(Ok(_) | Err(_)) => Ending::Failed,
            Err(_) => match self.child.kill().await {
                Ok(()) => Ending::Killed,
                Err(_) => Ending::Failed,
            },
        };
        (self.name.clone(), ending)
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}

/// The last lines of a log.
pub fn log_tail(path: &Path) -> String {
    let from_the_beginning = 0;
    indented(&last_lines(&read_tail(path, from_the_beginning)))
}

/// The end of what a log has from `begin` on.
fn read_tail(path: &Path, begin: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES).max(begin)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(cannot be read: {error})"))
}

/// What a node said last: the error that ended it, or its last lines if it gave none.
fn last_words(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    match lines.iter().rposition(|line| line.starts_with("error:")) {
        Some(error) => indented(lines.get(error..).unwrap_or_default()),
        None => indented(&last_lines(log)),
    }
}

fn last_lines(log: &str) -> Vec<&str> {
    let lines: Vec<_> = log.lines().collect();
    let start = lines.len().saturating_sub(LOG_TAIL_LINES);
    lines.get(start..).unwrap_or_default().to_vec()
}

fn indented(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_only_the_error_that_ended_the_node_is_shown_and_nothing_of_earlier_runs() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("node.log");
        let before = "error: of an earlier run\n";
        std::fs::write(&log, format!("{before}starting\nerror: no room\nhelp: make some\n")).unwrap();
        let begin = u64::try_from(before.len()).unwrap();
        assert_eq!(last_words(&read_tail(&log, begin)), "  error: no room\n  help: make some\n");
        std::fs::write(&log, format!("{before}starting\nstill starting\n")).unwrap();
        assert_eq!(last_words(&read_tail(&log, begin)), "  starting\n  still starting\n");
        assert!(log_tail(&log).starts_with("  error: of an earlier run\n"));
    }
}
