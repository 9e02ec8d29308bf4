//! Naming a proposal by the first digits of its id.

use aegis_rpc::api::{PageRequest, ProposalFilter};
use aegis_types::ProposalId;

use crate::cli::Failure;
use crate::cli::session::Session;

/// Digits of a whole id.
const DIGITS: usize = 64;
/// Fewest digits that name a proposal: fewer fit too many.
const DIGITS_MIN: usize = 6;
/// Pages that are looked through for an id that begins so; older proposals need their whole id.
const PAGES_MAX: usize = 10;

/// The proposal that `text` names: a whole id, or the beginning of a recent one's.
///
/// # Errors
/// When no proposal's id begins so, or several do.
pub async fn resolve(session: &Session, text: &str) -> Result<ProposalId, Failure> {
    if text.len() == DIGITS {
        return Ok(text.parse()?);
    }
    if text.len() < DIGITS_MIN || text.len() > DIGITS || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!(
            "`{text}` names no proposal: give its id, or at least the first {DIGITS_MIN} digits of it"
        )));
    }
    let beginning = text.to_ascii_lowercase();
    let mut found: Option<ProposalId> = None;
    let mut page = PageRequest { cursor: None, limit: PageRequest::LIMIT_MAX };
    for _ in 0..PAGES_MAX {
        let proposals = session.client.proposals(ProposalFilter::default(), page.clone()).await;
        let proposals = proposals.map_err(|error| session.failure(error))?;
        for proposal in proposals.items.iter().filter(|item| item.id.to_string().starts_with(&beginning)) {
            match found {
                Some(other) if other != proposal.id => {
                    return Err(Failure::usage(format!("several proposals begin with `{text}`"))
                        .help(format!("give more digits; two of them are {other} and {}", proposal.id)));
                }
                _ => found = Some(proposal.id),
            }
        }
        match proposals.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => break,
        }
    }
    found.ok_or_else(|| {
        Failure::new(format!("no recent proposal begins with `{text}`"))
            .help("`aegis proposal list` shows them; older ones need their whole id")
    })
}
