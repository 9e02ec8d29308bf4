//! `aegis kv`

mod get;
mod list;
mod prove;
mod watch;

use clap::Subcommand;

use super::{Failure, Global};

/// Read and watch replicated values; writes are proposals: `aegis proposal submit kv.put KEY VALUE`
#[derive(Debug, Subcommand)]
pub enum Kv {
    /// Print a value
    Get(get::Get),
    /// Keys and values in order of key
    List(list::List),
    /// Changes of values as they happen
    Watch(watch::Watch),
}

impl Kv {
    /// Carries it out.
    ///
    /// # Errors
    /// When no node answers or there is no such key.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Get(get) => get.run(global).await,
            Self::List(list) => list.run(global).await,
            Self::Watch(watch) => watch.run(global).await,
        }
    }
}

/// The first characters of a value, on one line, for tables.
fn glimpse(value: &[u8]) -> String {
    /// Longest glimpse, in characters.
    const CHARS_MAX: usize = 60;
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().count() <= CHARS_MAX => super::output::printable(text),
        Ok(text) => {
            let start: String = text.chars().take(CHARS_MAX).collect();
            format!("{}... ({} bytes)", super::output::printable(&start), value.len())
        }
        Err(_) => format!("{} bytes, not text", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_and_bytes_are_shown_by_their_size() {
        assert_eq!(glimpse(b"short"), "short");
        assert!(glimpse(&[b'x'; 100]).ends_with("... (100 bytes)"));
        assert_eq!(glimpse(&[0xff, 0xfe]), "2 bytes, not text");
        assert_eq!(glimpse(b"a\nb"), "a\\nb");
    }
}
