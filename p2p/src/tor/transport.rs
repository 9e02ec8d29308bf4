//! Onion addresses as a libp2p transport. What comes out are raw streams; Noise and Yamux follow as over TCP.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::multiaddr::Protocol;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::client::Client;
use super::onion_service::IncomingTorStream;
use super::stream::TorStream;
use crate::address::split_peer;

/// The transport. It owns the Tor client: when it is dropped, all of Tor's tasks end.
pub(crate) struct TorTransport {
    client: Arc<Client>,
    address: Multiaddr,
    streams: mpsc::Receiver<IncomingTorStream>,
    listener: Listener,
    _stop: DropGuard,
}

/// How listening on the one address that we have stands.
#[derive(Debug, Clone, Copy)]
enum Listener {
    Off,
    Asked(ListenerId),
    On(ListenerId),
    Removed(ListenerId),
}

impl TorTransport {
    pub(super) fn new(
        client: Arc<Client>,
        address: Multiaddr,
        streams: mpsc::Receiver<IncomingTorStream>,
        stop: DropGuard,
    ) -> Self {
        Self { client, address, streams, listener: Listener::Off, _stop: stop }
    }

    /// The address of our onion service.
    pub(crate) fn address(&self) -> &Multiaddr {
        &self.address
    }
}

impl Transport for TorTransport {
    type Output = TorStream;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<TorStream>>;
    type Dial = BoxFuture<'static, io::Result<TorStream>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        match self.listener {
            Listener::Off if address == self.address => {
                self.listener = Listener::Asked(id);
                Ok(())
            }
            Listener::Off | Listener::Asked(_) | Listener::On(_) | Listener::Removed(_) => {
                Err(TransportError::MultiaddrNotSupported(address))
            }
        }
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        match self.listener {
            Listener::Asked(ours) | Listener::On(ours) if ours == id => {
                self.listener = Listener::Removed(id);
                true
            }
            Listener::Off | Listener::Asked(_) | Listener::On(_) | Listener::Removed(_) => false,
        }
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((onion, port)) = onion_of(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let client = Arc::clone(&self.client);
        Ok(async move { client.dial(onion, port).await }.boxed())
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let listen_addr = self.address.clone();
        match self.listener {
            Listener::Off => Poll::Pending,
            Listener::Asked(listener_id) => {
                self.listener = Listener::On(listener_id);
                Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr })
            }
            Listener::Removed(listener_id) => {
                self.listener = Listener::Off;
                Poll::Ready(TransportEvent::ListenerClosed { listener_id, reason: Ok(()) })
            }
            Listener::On(listener_id) => match std::task::ready!(self.streams.poll_recv(context)) {
                Some(IncomingTorStream { number, stream }) => Poll::Ready(TransportEvent::Incoming {
                    listener_id,
                    upgrade: ready(Ok(stream)),
                    local_addr: listen_addr,
                    send_back_addr: incoming_name(number),
                }),
                None => {
                    self.listener = Listener::Off;
                    let reason = Err(io::Error::other("the onion service has ended; restart the node"));
                    Poll::Ready(TransportEvent::ListenerClosed { listener_id, reason })
                }
            },
        }
    }
}

/// What stands for the address of somebody who connected through Tor: distinct, and of no use to anybody.
fn incoming_name(number: u64) -> Multiaddr {
    Multiaddr::empty().with(Protocol::Memory(number))
}

/// Name and port of an onion address; nothing for any other.
fn onion_of(address: &Multiaddr) -> Option<(String, u16)> {
    let (bare, _) = split_peer(address);
    let mut parts = bare.iter();
    let (Some(Protocol::Onion3(onion)), None) = (parts.next(), parts.next()) else { return None };
    // The library spells base32 for its text form only.
    let text = Protocol::Onion3(onion.clone()).to_string();
    let host = text.strip_prefix("/onion3/")?.split(':').next()?;
    Some((format!("{host}.onion"), onion.port()))
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;

    const NAME: &str = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd";

    #[test]
    fn an_onion_address_is_dialled_by_its_name_with_or_without_the_peer() {
        let address: Multiaddr = format!("/onion3/{NAME}:7003").parse().unwrap();
        let expected = Some((format!("{NAME}.onion"), 7003));
        assert_eq!(onion_of(&address), expected);
        assert_eq!(onion_of(&address.with(Protocol::P2p(PeerId::random()))), expected);
    }

    #[test]
    fn nothing_else_is_dialled() {
        for text in ["/ip4/192.0.2.1/tcp/7003", "/dns/a.example/tcp/1", "/memory/3"] {
            assert_eq!(onion_of(&text.parse().unwrap()), None);
        }
        let onward = format!("/onion3/{NAME}:7003/tcp/1");
        assert_eq!(onion_of(&onward.parse().unwrap()), None);
    }
}
