//! One stream through Tor.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arti_client::DataStream;
use futures::{AsyncRead, AsyncWrite};
use tokio_util::sync::DropGuard;

use super::state::TorState;

/// A stream that is counted as long as it is open.
#[derive(Debug)]
pub(crate) struct TorStream {
    stream: DataStream,
    state: Arc<TorState>,
    /// Tells who waits for the end of an inbound stream.
    _end: Option<DropGuard>,
}

impl TorStream {
    /// A stream that we opened.
    pub(super) fn outbound(stream: DataStream, state: Arc<TorState>) -> Self {
        state.opened();
        Self { stream, state, _end: None }
    }

    /// A stream that somebody opened to us; `end` fires when it is dropped.
    pub(super) fn inbound(stream: DataStream, state: Arc<TorState>, end: DropGuard) -> Self {
        state.opened();
        Self { stream, state, _end: Some(end) }
    }
}

impl Drop for TorStream {
    fn drop(&mut self) {
        self.state.closed();
    }
}

impl AsyncRead for TorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
