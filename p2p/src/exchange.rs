//! Requests and responses: one question and one answer on a stream of their own.
//!
//! Both are a length of four bytes, big-endian, and as many bytes.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, Codec, ProtocolSupport};
use tokio::sync::oneshot;

use crate::config::NetworkLimits;
use crate::error::{P2pError, ReplyError, RequestError};
use crate::framing::{Oversized, read_message, write_message};
use crate::protocols::Protocols;

/// Largest request, in bytes: a list of eight thousand digests.
pub const MAX_REQUEST_BYTES: usize = 256 << 10;

/// Largest response, in bytes: a largest block with its certificate.
pub const MAX_RESPONSE_BYTES: usize = 10 << 20;

/// Streams with questions or answers on one connection, both directions together, per request that a peer may have under
/// way: a peer that opens more has its streams closed.
const STREAMS_PER_REQUEST: usize = 4;

/// Where the answer to a request goes. Dropping it refuses the request.
#[derive(Debug)]
pub struct Reply {
    sender: oneshot::Sender<Bytes>,
}

impl Reply {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender }, receiver)
    }

    /// Answers.
    ///
    /// # Errors
    /// `TooLarge` above [`MAX_RESPONSE_BYTES`]; `Gone` when nobody waits any more.
    pub fn send(self, response: Bytes) -> Result<(), ReplyError> {
        if response.len() > MAX_RESPONSE_BYTES {
            return Err(ReplyError::TooLarge { actual: response.len(), limit: MAX_RESPONSE_BYTES });
        }
        self.sender.send(response).map_err(|_| ReplyError::Gone)
    }
}

/// How messages stand on a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LengthPrefixed;

impl Codec for LengthPrefixed {
    type Protocol = StreamProtocol;
    type Request = Bytes;
    type Response = Bytes;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, MAX_REQUEST_BYTES).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Bytes>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_message(io, MAX_RESPONSE_BYTES).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, &request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Bytes) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, &response).await
    }
}

/// Request-response with our codec.
pub(crate) type RequestResponse = request_response::Behaviour<LengthPrefixed>;

pub(crate) fn behaviour(protocols: &Protocols, limits: &NetworkLimits) -> Result<RequestResponse, P2pError> {
    let config = request_response::Config::default()
        .with_request_timeout(limits.request_timeout)
        .with_max_concurrent_streams(limits.requests_per_peer.saturating_mul(STREAMS_PER_REQUEST));
    let protocols = [(protocols.sync()?, ProtocolSupport::Full)];
    Ok(RequestResponse::with_codec(LengthPrefixed, protocols, config))
}

/// What a failure of libp2p means to the one who asked.
pub(crate) fn request_error(failure: &request_response::OutboundFailure) -> RequestError {
    use request_response::OutboundFailure as F;
    match failure {
        F::DialFailure => RequestError::NotConnected,
        F::Timeout => RequestError::Timeout,
        F::ConnectionClosed => RequestError::Disconnected,
        F::UnsupportedProtocols => RequestError::Refused,
        F::Io(error) => match Oversized::in_error(error) {
            Some(Oversized { actual, limit }) => RequestError::TooLarge { actual, limit },
            None => RequestError::Refused,
        },
    }
}

/// How long the swarm may take beyond a request's timeout to say that it timed out.
pub(crate) const TIMEOUT_SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let mut stream = Cursor::new(Vec::new());
        write_message(&mut stream, b"question").await.unwrap();
        stream.set_position(0);
        assert_eq!(read_message(&mut stream, 8).await.unwrap(), "question");
    }

    #[tokio::test]
    async fn an_oversized_message_is_refused_before_it_is_read() {
        let error = read_message(&mut Cursor::new(vec![0xff; 4]), MAX_REQUEST_BYTES).await.unwrap_err();
        let failure = request_response::OutboundFailure::Io(error);
        assert_eq!(
            request_error(&failure),
            RequestError::TooLarge { actual: 0xffff_ffff, limit: MAX_REQUEST_BYTES }
        );
    }
}
