//! `aegis kv list`

use aegis_rpc::api::{KvEntry, Page, PageRequest};
use clap::Args;

use super::glimpse;
use crate::cli::freshness::Freshness;
use crate::cli::session::Session;
use crate::cli::table::Table;
use crate::cli::{Failure, Global};

/// Keys and values in order of key
#[derive(Debug, Args)]
pub struct List {
    /// Only keys that start with this
    #[arg(default_value = "")]
    prefix: String,
    /// Most keys to print
    #[arg(long, default_value_t = PageRequest::LIMIT_DEFAULT)]
    limit: u32,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    freshness: Freshness,
}

impl List {
    /// Prints them.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn run(self, global: &Global) -> Result<(), Failure> {
        let session = Session::open(global)?.reading(self.freshness.consistency());
        let page = PageRequest { cursor: self.cursor, limit: self.limit };
        let page =
            session.client.kv_list(&self.prefix, page).await.map_err(|error| session.failure(error))?;
        session.output.document(&page, text)?;
        match &page.next_cursor {
            Some(cursor) if !session.output.is_json() => {
                session.output.note(&format!("note: there are more; add --cursor {cursor}"));
            }
            _ => {}
        }
        Ok(())
    }
}

fn text(page: &Page<KvEntry>) -> String {
    if page.items.is_empty() {
        return "no keys\n".to_owned();
    }
    let mut table = Table::new(["KEY", "VERSION", "HEIGHT", "VALUE"]);
    for entry in &page.items {
        table.row([
            entry.key.clone(),
            entry.version.to_string(),
            entry.modified_height.to_string(),
            glimpse(&entry.value),
        ]);
    }
    table.render()
}
