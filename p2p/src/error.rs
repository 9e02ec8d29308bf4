//! What can go wrong, and what to do about it.

use libp2p::Multiaddr;

/// Why the network could not be started. All variants are fatal to the start and name the setting to mend.
#[derive(Debug, thiserror::Error)]
pub enum P2pError {
    /// A listen address is taken or not usable.
    #[error(
        "cannot listen on {address}: {reason}; stop the process that uses it or choose another one in `p2p.listen` (--listen)"
    )]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the operating system said.
        reason: String,
    },
    /// A setting contradicts another or a limit.
    #[error("the network setting `{setting}` cannot be used: {reason}")]
    Config {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong and which values are possible.
        reason: String,
    },
    /// This program was built without Tor.
    #[error(
        "this program was built without Tor; build one that has it with `cargo build --release -p aegis-node --features \
         tor`, or set `p2p.tor.mode` to \"off\""
    )]
    NoTor,
    /// The Tor client could not be started.
    #[error("Tor cannot be started: {reason}; its folder must be in a home that only this user can read")]
    Tor {
        /// What failed.
        reason: String,
    },
    /// The node's key was refused.
    #[error("the node's key cannot be used for the network: {reason}; make a new one with `aegis keys new`")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// The transports could not be set up.
    #[error("the network transports cannot be set up: {reason}")]
    Transport {
        /// What failed.
        reason: String,
    },
}

/// Why a frame was not queued. The frame is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No direct streams to this node are open; `DirectReady` announces when they are.
    #[error("no direct stream to this node is open: send again after it is ready")]
    NotConnected,
    /// The peer takes frames slower than they are sent; older frames are still queued.
    #[error("the queue to this node is full: it reads slower than we send; send again later")]
    Full,
    /// The frame is larger than its lane allows.
    #[error("the frame has {actual} bytes, its lane takes at most {limit}: split it")]
    TooLarge {
        /// Size of the frame, in bytes.
        actual: usize,
        /// Largest size of the lane, in bytes.
        limit: usize,
    },
}

/// Why a request brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The node is not connected.
    #[error("this node is not connected: ask another one")]
    NotConnected,
    /// No answer within the timeout; the request may have been handled all the same.
    #[error("no answer in time: ask again or ask another node")]
    Timeout,
    /// The request or the answer is larger than allowed.
    #[error("the message has {actual} bytes, at most {limit} are allowed: ask for less")]
    TooLarge {
        /// Size in bytes, as announced.
        actual: usize,
        /// Largest size in bytes.
        limit: usize,
    },
    /// The node received the request and gave no answer: it is busy, or does not have what was asked for.
    #[error("the node gave no answer: ask another one")]
    Refused,
    /// Too many requests of this node are under way.
    #[error("too many requests are under way to this node: wait for one to end, or ask another node")]
    Busy,
    /// The connection broke before the answer.
    #[error("the connection broke before the answer: ask again once it is back")]
    Disconnected,
    /// The network has stopped.
    #[error("the network has stopped: nothing more can be asked")]
    Stopped,
}

/// Why an answer was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The answer is larger than allowed; the asking node sees a refusal.
    #[error("the answer has {actual} bytes, at most {limit} are allowed: answer with less")]
    TooLarge {
        /// Size in bytes.
        actual: usize,
        /// Largest size in bytes.
        limit: usize,
    },
    /// The asking node is gone or has stopped waiting.
    #[error("nobody waits for this answer any more: drop it")]
    Gone,
}

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message is larger than gossip carries.
    #[error(
        "the message has {actual} bytes, gossip carries at most {limit}: announce it, and let it be requested"
    )]
    TooLarge {
        /// Size in bytes.
        actual: usize,
        /// Largest size in bytes.
        limit: usize,
    },
    /// Earlier messages still wait to be published.
    #[error("too many messages wait to be published: publish again later")]
    Busy,
    /// The network has stopped.
    #[error("the network has stopped: nothing more can be published")]
    Stopped,
}

/// An error and its causes in one line: libp2p hides the interesting one innermost.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            let separator = if text.is_empty() || text.ends_with(": ") { "" } else { ": " };
            text.push_str(separator);
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn empty_and_repeated_layers_of_an_error_are_left_out() {
        let inner = Layer { text: "address in use", source: None };
        let middle = Layer { text: "address in use", source: Some(Box::new(inner)) };
        let outer = Layer { text: "", source: Some(Box::new(middle)) };
        assert_eq!(chain_of(&outer), "address in use");
    }
}
