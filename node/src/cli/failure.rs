//! How a command fails: a line that says what is wrong, a line that says what to do, an exit code.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use aegis_config::ConfigError;
use aegis_types::TypesError;

use crate::keyfile::KeyFileError;

/// The part of `aegis --help` that lists the exit codes.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: nothing was changed, or the message says what was
  2  the command line was not understood
  3  outcome unknown: the proposal may or may not take effect; running again with the same idempotency key is safe
  4  refused: the proposal was invalid, or was ordered and had no effect; or no votes are lost
  5  no node answers";

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The reader of standard output went away: all that it wanted was done.
    PipeClosed,
    /// It failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A proposal's outcome is unknown.
    OutcomeUnknown,
    /// A proposal was refused, or a decision of the operator that would change nothing for the better.
    Refused,
    /// No node answers.
    Unreachable,
}

impl Exit {
    /// The code that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::PipeClosed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::OutcomeUnknown => 3,
            Self::Refused => 4,
            Self::Unreachable => 5,
        }
    }
}

/// Why a command failed, and what its user can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// A plain failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), help: None }
    }

    /// A command line that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).exit(Exit::Usage)
    }

    /// A file that cannot be read or written.
    pub fn file(path: &std::path::Path, error: impl std::fmt::Display) -> Self {
        Self::new(format!("{}: {error}", path.display()))
    }

    /// The reader of standard output went away.
    pub fn pipe_closed() -> Self {
        Self { exit: Exit::PipeClosed, message: "standard output was closed".to_owned(), help: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Why the command ended.
    pub const fn reason(&self) -> Exit {
        self.exit
    }

    /// What is wrong and what to do, for a note on standard error.
    pub fn full(&self) -> String {
        match &self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.clone(),
        }
    }

    /// Prints the failure to standard error and gives its exit code.
    pub fn report(&self) -> ExitCode {
        if self.exit != Exit::PipeClosed {
            let mut text = format!("{} {}\n", label("error:", "31"), self.message);
            if let Some(help) = &self.help {
                text.push_str(&format!("{} {help}\n", label("help:", "36")));
            }
            // Nobody is left to tell when standard error is closed.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(self.exit.code())
    }
}

fn label(text: &str, colour: &str) -> String {
    if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[1;{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<TypesError> for Failure {
    fn from(error: TypesError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}
