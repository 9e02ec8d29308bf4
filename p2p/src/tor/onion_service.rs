//! The node's onion service: streams that others open to it.
//!
//! Whoever knows the address can make this node build a circuit to a meeting point, before any key is proven. Circuits are
//! bounded in number, and one that carries nothing for a while is given up.

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

/// A circuit without a new stream for so long is no longer waited on. Streams on it stay open.
const CIRCUIT_PATIENCE: Duration = Duration::from_secs(60);

/// Streams that wait for the swarm. It takes them at once unless it is overwhelmed; then the rest is dropped.
pub(super) const STREAMS_MAX: usize = 64;

/// A stream that somebody opened, with a number that tells it from all others.
#[derive(Debug)]
pub(super) struct IncomingTorStream {
    pub(super) number: u64,
    pub(super) stream: TorStream,
}

/// Takes in streams until nobody wants them any more.
pub(super) async fn accept(
    rendezvous: impl Stream<Item = RendRequest>,
    streams: mpsc::Sender<IncomingTorStream>,
    state: Arc<TorState>,
    stop: CancellationToken,
) {
    let mut rendezvous = std::pin::pin!(rendezvous);
    let circuits = Arc::new(Semaphore::new(CIRCUITS_MAX));
    let numbers = Arc::new(AtomicU64::new(0));
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => return,
            request = rendezvous.next() => request,
        };
        let Some(request) = request else {
            tracing::warn!("the onion service has stopped: nobody can connect through Tor");
            return;
        };
        let Ok(permit) = Arc::clone(&circuits).try_acquire_owned() else {
            tracing::debug!("too many circuits are open: a meeting was declined");
            continue;
        };
        let circuit =
            Circuit { streams: streams.clone(), state: Arc::clone(&state), numbers: Arc::clone(&numbers) };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
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
        let accepted = match request.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a meeting through Tor did not come about");
                return;
            }
        };
        let mut requests = std::pin::pin!(accepted);
        while let Ok(Some(request)) = timeout(CIRCUIT_PATIENCE, requests.next()).await {
            self.take(request).await;
        }
    }

    async fn take(&self, request: StreamRequest) {
        let is_ours = match request.request() {
            IncomingStreamRequest::Begin(begin) => begin.port() == ONION_PORT,
            _ => false,
        };
        let room = self.streams.try_reserve();
        let (true, Ok(room)) = (is_ours, room) else {
            // It fails only when the circuit is gone already.
            let _ = request.shutdown_circuit();
            return;
        };
        match request.accept(Connected::new_empty()).await {
            Ok(stream) => {
                // Whoever is here has found the descriptor.
                self.state.change(|status| status.is_reachable = true);
                room.send(IncomingTorStream {
                    number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    stream: TorStream::new(stream, Arc::clone(&self.state)),
                });
            }
            Err(error) => tracing::debug!(%error, "a stream through Tor was not accepted"),
        }
    }
}
