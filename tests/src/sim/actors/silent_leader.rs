//! A validator that votes, but is silent whenever it leads.

use aegis_consensus::Message;

/// Neither proposals nor new views leave it.
pub fn tamper(message: Message) -> Vec<Message> {
    match message {
        Message::PrePrepare(_) | Message::NewView(_) => Vec::new(),
        message => vec![message],
    }
}
