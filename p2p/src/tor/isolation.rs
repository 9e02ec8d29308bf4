//! Which circuits a dial may share with earlier ones: those to the same onion address, and no others.
//!
//! arti keeps a record for each pair of an onion address and an isolation token. The record of a dial that failed stays for the
//! life of the process unless a dial with the same token follows and begins it anew, so a new token for each dial would fill
//! the memory. A dial that gets no answer in time is another matter: arti goes on with it, and the next one with its token would
//! wait for it too. So each address has a few tokens that are used in turn, and the turn passes only when nobody answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arti_client::IsolationToken;

/// Tokens for one onion address. By the time that the first one's turn comes again, its dial has ended: three others have run
/// to the end of their patience meanwhile.
const TOKENS: usize = 4;

/// Onion addresses that have tokens. Far more than a node has peers; the addresses come from others. The one that was dialled
/// longest ago makes place for a new one.
const ADDRESSES_MAX: usize = 1024;

/// The tokens of all onion addresses that are dialled.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    rings: Mutex<HashMap<String, Ring>>,
}

/// The tokens of one onion address.
#[derive(Debug)]
struct Ring {
    tokens: [IsolationToken; TOKENS],
    turn: usize,
    dialled: Instant,
}

impl Ring {
    fn current(&self) -> IsolationToken {
        let [first, ..] = self.tokens;
        self.tokens.get(self.turn).copied().unwrap_or(first)
    }
}

impl Isolation {
    /// The token for a dial to this address.
    pub(super) fn token(&self, onion: &str) -> IsolationToken {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        if !rings.contains_key(onion) && rings.len() >= ADDRESSES_MAX {
            let oldest = rings.iter().min_by_key(|(_, ring)| ring.dialled).map(|(onion, _)| onion.clone());
            oldest.and_then(|oldest| rings.remove(&oldest));
        }
        let now = Instant::now();
        let ring = rings.entry(onion.to_owned()).or_insert_with(|| Ring {
            tokens: std::array::from_fn(|_| IsolationToken::new()),
            turn: 0,
            dialled: now,
        });
        ring.dialled = now;
        ring.current()
    }

    /// A dial with this token got no answer in time: the next one goes other ways.
    pub(super) fn on_silence(&self, onion: &str, token: IsolationToken) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        // Another dial may have passed the turn on already.
        if let Some(ring) = rings.get_mut(onion).filter(|ring| ring.current() == token) {
            ring.turn = (ring.turn + 1) % TOKENS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_to_one_address_share_circuits_and_dials_to_two_never_do() {
        let isolation = Isolation::default();
        let first = isolation.token("first.onion");
        assert!(first == isolation.token("first.onion"));
        assert!(first != isolation.token("second.onion"));
    }

    #[test]
    fn an_address_that_never_answers_uses_a_few_tokens_in_turn_for_ever() {
        let isolation = Isolation::default();
        let mut used: Vec<IsolationToken> = Vec::new();
        for dial in 0..100 {
            let token = isolation.token("dead.onion");
            assert!(dial % TOKENS == 0 || !used[dial - dial % TOKENS..].contains(&token));
            used.push(token);
            isolation.on_silence("dead.onion", token);
            isolation.on_silence("dead.onion", token);
        }
        let mut distinct: Vec<IsolationToken> = Vec::new();
        for token in used {
            if !distinct.contains(&token) {
                distinct.push(token);
            }
        }
        assert_eq!(distinct.len(), TOKENS);
    }

    #[test]
    fn addresses_that_peers_make_up_do_not_fill_the_memory() {
        let isolation = Isolation::default();
        let kept = isolation.token("kept.onion");
        for index in 0..ADDRESSES_MAX * 2 {
            isolation.token(&format!("{index}.onion"));
            assert!(kept == isolation.token("kept.onion"), "what is dialled often stays");
        }
        assert_eq!(isolation.rings.lock().unwrap().len(), ADDRESSES_MAX);
    }
}
