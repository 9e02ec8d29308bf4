//! The server without connections (cargo feature `fuzzing`): requests go in and replies come out as values.
//!
//! Everything behind the connection is the real thing: entrance, routes, decoding, operations.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tokio::sync::watch;

use super::entry::Entry;
use super::operations::{Operations, Reads};
use super::origin::OriginRule;
use crate::api::NodeApi;
use crate::config::RpcLimits;
use crate::error::RpcError;
use crate::token::Token;

/// Most bytes of a reply that are read; no reply to one request is larger.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// A server on a loopback address that nobody can reach.
pub struct Unconnected {
    entry: Entry,
    /// Tasks behind the surfaces end when this is dropped.
    _running: watch::Sender<bool>,
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The HTTP status.
    pub status: u16,
    /// The media type; empty when there is none.
    pub media: String,
    /// The body, or as much of it as came before an error.
    pub body: Vec<u8>,
}

impl Unconnected {
    /// A server in front of a node. Must be called in a runtime.
    ///
    /// # Errors
    /// `Descriptors` when the embedded descriptors do not decode.
    pub fn new(api: Arc<dyn NodeApi>, token: Token, limits: RpcLimits) -> Result<Self, RpcError> {
        let (running, stopping) = watch::channel(false);
        let operations = Arc::new(Operations::new(api, Reads::Open, limits, stopping.clone()));
        let origin = OriginRule { bound: IpAddr::V4(Ipv4Addr::LOCALHOST), scheme: "http" };
        Ok(Self { entry: Entry::new(origin, Some(token), operations, stopping)?, _running: running })
    }

    /// The reply to a request; none when method, target or headers are not HTTP, which the connection refuses.
    pub async fn answer(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Option<Plain> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).ok()?;
        let Ok(reply) = self.entry.handle(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await;
        let (parts, body) = reply.into_parts();
        let media = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
        Some(Plain {
            status: parts.status.as_u16(),
            media: media.unwrap_or_default().to_owned(),
            body: to_bytes(body, REPLY_BYTES_MAX).await.map(Vec::from).unwrap_or_default(),
        })
    }
}
