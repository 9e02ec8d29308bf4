//! Both kinds of ways to one peer: the direct ones first, and the onion address once they have had their time.
//!
//! libp2p starts all dials to a peer within a fraction of a second and takes the first connection that comes about. A direct
//! connection that takes longer than that would lose to circuits that happen to stand already. So the transport that has both
//! kinds remembers to whom a direct dial was begun, and holds an onion dial to the same peer back.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::{Multiaddr, PeerId};
use tokio::time::{Instant, sleep_until};

use crate::address::{split_peer, transport_of};
use crate::peers::TransportKind;

/// How long direct dials have before an onion dial to the same peer begins. A handshake over TCP or QUIC takes some four round
/// trips, less than this on nearly all links; all of it is lost when no direct way works.
pub(crate) const HEAD_START: Duration = Duration::from_secs(2);

/// When the last direct dial to a peer was begun; older ones than [`HEAD_START`] are forgotten at the next.
type Begun = Arc<Mutex<HashMap<PeerId, Instant>>>;

/// Two transports as one.
pub(crate) struct DirectFirst<O> {
    direct: Boxed<O>,
    onion: Boxed<O>,
    begun: Begun,
}

impl<O> DirectFirst<O> {
    /// Dials onion addresses with `onion` and all others with `direct`.
    pub(crate) fn new(direct: Boxed<O>, onion: Boxed<O>) -> Self {
        Self { direct, onion, begun: Begun::default() }
    }
}

/// Completes when direct dials to the peer have had their head start; at once when there are none.
async fn head_start(begun: Begun, peer: Option<PeerId>) {
    // Looked up only now: the swarm makes all dials to a peer before it runs any of them, in whatever order.
    let noted = |peer| begun.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).copied();
    if let Some(start) = peer.and_then(noted) {
        sleep_until(start + HEAD_START).await;
    }
}

impl<O: 'static> Transport for DirectFirst<O> {
    type Output = O;
    type Error = io::Error;
    type ListenerUpgrade = <Boxed<O> as Transport>::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<O>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        match transport_of(&address) {
            TransportKind::Tor => self.onion.listen_on(id, address),
            TransportKind::Quic | TransportKind::Tcp | TransportKind::Other => {
                self.direct.listen_on(id, address)
            }
        }
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.direct.remove_listener(id) || self.onion.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let (_, peer) = split_peer(&address);
        if transport_of(&address) == TransportKind::Tor {
            let dial = self.onion.dial(address, options)?;
            let begun = Arc::clone(&self.begun);
            return Ok(async move {
                head_start(begun, peer).await;
                dial.await
            }
            .boxed());
        }
        let dial = self.direct.dial(address, options)?;
        if let Some(peer) = peer {
            let now = Instant::now();
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.retain(|_, start| *start + HEAD_START > now);
            begun.insert(peer, now);
        }
        Ok(dial)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        match Pin::new(&mut self.direct).poll(context) {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending => Pin::new(&mut self.onion).poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;

    use super::*;
    use crate::tor::testing::Instants;

    const ONION: &str = "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:7003";
    const DIRECT: &str = "/ip4/192.0.2.1/tcp/7003";

    fn transport() -> DirectFirst<std::time::Instant> {
        DirectFirst::new(Instants.boxed(), Instants.boxed())
    }

    fn dial(
        transport: &mut DirectFirst<std::time::Instant>,
        peer: PeerId,
        address: &str,
    ) -> BoxFuture<'static, io::Result<std::time::Instant>> {
        let address = address.parse::<Multiaddr>().unwrap().with_p2p(peer).unwrap();
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };
        transport.dial(address, options).unwrap()
    }

    #[tokio::test]
    async fn an_onion_address_waits_for_direct_ones_of_the_same_peer_whichever_was_named_first() {
        for addresses in [[DIRECT, ONION], [ONION, DIRECT]] {
            let (mut transport, peer) = (transport(), PeerId::random());
            let [first, second] = addresses.map(|address| dial(&mut transport, peer, address));
            let (first, second) = futures::join!(first, second);
            let (first, second) = (first.unwrap(), second.unwrap());
            let apart = first.max(second) - first.min(second);
            assert!(apart >= HEAD_START - Duration::from_millis(100), "only {apart:?} apart");
        }
    }

    #[tokio::test]
    async fn an_onion_address_alone_is_dialled_at_once() {
        let (mut transport, begun) = (transport(), std::time::Instant::now());
        drop(dial(&mut transport, PeerId::random(), DIRECT));
        let alone = dial(&mut transport, PeerId::random(), ONION).await.unwrap();
        assert!(alone.duration_since(begun) < HEAD_START, "another peer's direct dial held it back");
    }
}
