//! The node's onion service: streams that others open to it.
//!
//! Whoever knows the address can make this node build a circuit to a meeting point, before any key is proven. So circuits are
//! bounded in number, and each is served for as long as its first stream is open and no longer: the transport closes a stream
//! that proves no key in time. Introduction points are asked to pass on few enough requests that a flood of them, at their full
//! rate and all to dead meeting points, does not fill that number (`settings`); what they hold back is lost to honest peers
//! too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tor_cell::relaycell::msg::Connected;
use tor_hsservice::{RendRequest, StreamRequest};
use tor_proto::stream::IncomingStreamRequest;

use super::ONION_PORT;
use super::state::TorState;
use super::stream::TorStream;

/// Circuits to meeting points at once. Four times the inbound connections of a node: the rest is handshakes, and room for
/// validators while somebody fills it.
const CIRCUITS_MAX: usize = 1024;

/// From an introduction to the first stream: circuits to the meeting point, up to three tries of some seconds each, and one
/// round trip, since who has asked for a meeting opens the stream at once. With [`CIRCUITS_MAX`] it bounds the introductions
/// a second that a node can take.
const FIRST_STREAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Streams that wait for the swarm. It takes them at once unless it is overwhelmed; then the rest is dropped.
pub(super) const STREAMS_MAX: usize = 64;

/// A stream that somebody opened, with a number that tells it from all others.
#[derive(Debug)]
pub(super) struct IncomingTorStream {
    pub(super) number: u64,
    pub(super) stream: TorStream,
}

/// Takes in streams until nobody wants them any more. Its end is that of `streams`, and of the onion service.
pub(super) async fn accept(
    rendezvous: impl Stream<Item = RendRequest>,
    streams: mpsc::Sender<IncomingTorStream>,
    state: Arc<TorState>,
    stop: CancellationToken,
) {
    let mut rendezvous = std::pin::pin!(rendezvous);
    let circuits = Arc::new(Semaphore::new(CIRCUITS_MAX));
    let numbers = Arc::new(AtomicU64::new(0));
    // Circuits hold senders too; when this one says that the service has ended, they end with it.
    let ended = stop.child_token();
    let _end = ended.clone().drop_guard();
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => return,
            request = rendezvous.next() => request,
        };
        let Some(request) = request else { return };
        let Ok(permit) = Arc::clone(&circuits).try_acquire_owned() else {
            tracing::debug!("too many circuits are open: a meeting was declined");
            continue;
        };
        let circuit =
            Circuit { streams: streams.clone(), state: Arc::clone(&state), numbers: Arc::clone(&numbers) };
        let ended = ended.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = circuit.serve(request) => {}
            }
            drop(permit);
        });
    }
}

/// What one circuit's task needs.
struct Circuit {
    streams: mpsc::Sender<IncomingTorStream>,
    state: Arc<TorState>,
    numbers: Arc<AtomicU64>,
}

impl Circuit {
    async fn serve(self, request: RendRequest) {
        let Ok(Some((first, requests))) = timeout(FIRST_STREAM_TIMEOUT, self.meet(request)).await else {
            tracing::debug!("a meeting through Tor brought no stream");
            return;
        };
        // A peer that connects anew while its old connection still seems open comes on the same circuit.
        let more = async {
            let mut requests = std::pin::pin!(requests);
            while let Some(request) = requests.next().await {
                self.take(request).await;
            }
        };
        tokio::select! {
            () = first.cancelled() => {}
            () = more => {}
        }
    }

    /// Goes to the meeting point and takes the first stream there; what fires when that stream ends, and further streams.
    async fn meet(
        &self,
        request: RendRequest,
    ) -> Option<(CancellationToken, impl Stream<Item = StreamRequest>)> {
        let mut requests = match request.accept().await {
            Ok(requests) => requests,
            Err(error) => {
                tracing::debug!(%error, "a meeting through Tor did not come about");
                return None;
            }
        };
        let first = self.take(requests.next().await?).await?;
        Some((first, requests))
    }

    /// Hands a stream to the swarm; what fires when it ends.
    async fn take(&self, request: StreamRequest) -> Option<CancellationToken> {
        let is_ours = match request.request() {
            IncomingStreamRequest::Begin(begin) => begin.port() == ONION_PORT,
            _ => false,
        };
        let room = self.streams.try_reserve();
        let (true, Ok(room)) = (is_ours, room) else {
            // It fails only when the circuit is gone already.
            let _ = request.shutdown_circuit();
            return None;
        };
        match request.accept(Connected::new_empty()).await {
            Ok(stream) => {
                // Whoever is here has found the descriptor.
                self.state.change(|known| known.is_published = true);
                let end = CancellationToken::new();
                let guard = end.clone().drop_guard();
                room.send(IncomingTorStream {
                    number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    stream: TorStream::inbound(stream, Arc::clone(&self.state), guard),
                });
                Some(end)
            }
            Err(error) => {
                tracing::debug!(%error, "a stream through Tor was not accepted");
                None
            }
        }
    }
}
