//! One stream through Tor.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arti_client::DataStream;
use futures::{AsyncRead, AsyncWrite};

use super::state::TorState;

/// A stream that is counted as long as it is open.
#[derive(Debug)]
pub(crate) struct TorStream {
    stream: DataStream,
    state: Arc<TorState>,
}

impl TorStream {
    pub(super) fn new(stream: DataStream, state: Arc<TorState>) -> Self {
        state.opened();
        Self { stream, state }
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
