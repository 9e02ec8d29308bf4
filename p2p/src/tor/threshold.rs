//! Strangers at the door: streams through Tor whose remote has not proven a key yet.
//!
//! Who connects through Tor has no address by which it could be told from others, so no share of the room can be kept for
//! each. Instead the room for all of them is far smaller than what the swarm has for handshakes, so that those over TCP and QUIC
//! always find a place; and when it is full, the stream that has waited longest makes place for the newest. An honest handshake
//! takes a few seconds, so only a flood of many streams a second keeps others out, and silent ones do not.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use libp2p::Multiaddr;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent};

/// A transport that has at most so many inbound handshakes at once.
pub(crate) struct Threshold<O> {
    inner: Boxed<O>,
    waiting_max: usize,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
}

/// A handshake under way.
struct Waiting {
    /// Gone once the handshake is over, however it ended.
    life: Weak<()>,
    abort: AbortHandle,
}

impl<O> Threshold<O> {
    /// Bounds the inbound handshakes of `inner` by `waiting_max`, at least one.
    pub(crate) fn new(inner: Boxed<O>, waiting_max: usize) -> Self {
        Self { inner, waiting_max: waiting_max.max(1), waiting: VecDeque::new() }
    }

    /// Lets one in, and the oldest out if there is no room.
    fn admit<F>(&mut self, upgrade: F) -> BoxFuture<'static, io::Result<O>>
    where
        F: Future<Output = io::Result<O>> + Send + 'static,
        O: 'static,
    {
        self.waiting.retain(|waiting| waiting.life.strong_count() > 0);
        while self.waiting.len() >= self.waiting_max {
            if let Some(oldest) = self.waiting.pop_front() {
                tracing::debug!("a stranger who did not say who it is made place for the next");
                oldest.abort.abort();
            }
        }
        let life = Arc::new(());
        let (abort, registration) = AbortHandle::new_pair();
        self.waiting.push_back(Waiting { life: Arc::downgrade(&life), abort });
        let upgrade = Abortable::new(upgrade, registration).map(|ended| {
            ended.unwrap_or_else(|_| Err(io::Error::other("others came while its handshake was under way")))
        });
        async move {
            let _life = life;
            upgrade.await
        }
        .boxed()
    }
}

impl<O: 'static> Transport for Threshold<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<O>>;
    type Dial = <Boxed<O> as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = std::task::ready!(Pin::new(&mut self.inner).poll(context));
        Poll::Ready(event.map_upgrade(|upgrade| self.admit(upgrade)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;
    use crate::tor::testing::Instants;

    type Handshake = BoxFuture<'static, io::Result<Instant>>;

    fn stranger(threshold: &mut Threshold<Instant>) -> (oneshot::Sender<Instant>, Handshake) {
        let (key, proof) = oneshot::channel();
        let upgrade = threshold.admit(async move { proof.await.map_err(io::Error::other) });
        (key, upgrade)
    }

    #[tokio::test]
    async fn silent_strangers_make_place_for_who_comes_after_them() {
        let mut threshold = Threshold::new(Instants.boxed(), 4);
        let mut silent: Vec<_> = (0..4).map(|_| stranger(&mut threshold)).collect();
        let (key, mut honest) = stranger(&mut threshold);
        assert!((&mut silent[0].1).await.is_err(), "the oldest is sent away");
        for (_, waiting) in &mut silent[1..] {
            assert!(poll!(waiting).is_pending(), "there is room for the others");
        }
        assert!(poll!(&mut honest).is_pending());
        let proof = Instant::now();
        key.send(proof).unwrap();
        assert_eq!(honest.await.unwrap(), proof);
        assert!(threshold.waiting.len() <= 4);
    }

    #[tokio::test]
    async fn who_has_proven_a_key_or_is_gone_takes_no_room() {
        let mut threshold = Threshold::new(Instants.boxed(), 2);
        let (_waits, mut first) = stranger(&mut threshold);
        for index in 0..10 {
            let (key, upgrade) = stranger(&mut threshold);
            if index % 2 == 0 {
                let proof = Instant::now();
                key.send(proof).unwrap();
                assert_eq!(upgrade.await.unwrap(), proof);
            }
        }
        assert!(poll!(&mut first).is_pending(), "nobody had to make place");
    }
}
