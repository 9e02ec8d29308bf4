//! What goes to standard output and standard error.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where results and notes go.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: OutputFormat,
}

impl Output {
    /// An output of the given form.
    pub const fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// Whether results are JSON.
    pub const fn is_json(self) -> bool {
        matches!(self.format, OutputFormat::Json)
    }

    /// Prints a command's one result: as a JSON document, or as the text that `text` makes of it.
    ///
    /// # Errors
    /// When standard output is closed or cannot be written.
    pub fn document<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Text => write_text(&text(value)),
            OutputFormat::Json => write_text(&to_json(serde_json::to_string_pretty(value))?),
        }
    }

    /// Prints one of many results, each on a line of its own.
    ///
    /// # Errors
    /// When standard output is closed or cannot be written.
    pub fn line<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Text => write_text(&text(value)),
            OutputFormat::Json => write_text(&to_json(serde_json::to_string(value))?),
        }
    }

    /// Tells something beside the result, on standard error.
    pub fn note(self, note: &str) {
        // A note that nobody can see is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{note}");
    }
}

fn to_json(json: Result<String, serde_json::Error>) -> Result<String, Failure> {
    json.map_err(|error| Failure::new(format!("the result has no JSON form: {error}")))
}

fn write_text(text: &str) -> Result<(), Failure> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    write_bytes(format!("{text}{end}").as_bytes())
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// When standard output is closed or cannot be written.
pub fn write_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::pipe_closed(),
        _ => Failure::new(format!("standard output cannot be written: {error}")),
    })
}

/// Whether a person reads standard output.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Text from others, safe to show on a terminal: control characters are written as escapes.
pub fn printable(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
            .collect()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_others_cannot_steer_the_terminal() {
        assert_eq!(printable("plain ü"), "plain ü");
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
