//! Where every request comes in: refused here, or handed to its surface.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use axum::response::IntoResponse;
use axum::{BoxError, Router};
use tokio::sync::watch;
use tower::ServiceExt;

use super::operations::Operations;
use super::origin::OriginRule;
use super::rate::RateLimit;
use crate::api::{ApiError, ErrorCode};
use crate::error::RpcError;
use crate::problem::Problem;
use crate::token::Token;
use crate::{grpc, rest};

/// When a client that sends too fast may try again.
const RATE_RETRY_AFTER_MS: u64 = 1_000;

/// What a request has shown of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Nothing.
    Anonymous,
    /// The node's token.
    TokenHolder,
}

impl Caller {
    /// Refuses who has not shown the token.
    ///
    /// # Errors
    /// `unauthenticated`.
    pub(crate) fn need_token(self, what: &str) -> Result<(), ApiError> {
        match self {
            Self::TokenHolder => Ok(()),
            Self::Anonymous => Err(unauthenticated(&format!("{what} needs the token of the node's home"))),
        }
    }
}

/// The entrance: what must hold for any request, and the surfaces behind it.
pub(crate) struct Entry {
    origin: OriginRule,
    rate: RateLimit,
    token: Option<Token>,
    rest: Router,
    grpc: Router,
}

#[derive(Clone, Copy)]
enum Surface {
    Rest,
    Grpc,
}

impl Surface {
    fn of<B>(request: &Request<B>) -> Self {
        let media = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_grpc = media.starts_with(b"application/grpc") && !media.starts_with(b"application/grpc-web");
        if is_grpc { Self::Grpc } else { Self::Rest }
    }

    fn refuse(self, error: ApiError) -> Response<Body> {
        match self {
            Self::Rest => Problem::from(error).into_response(),
            Self::Grpc => grpc::to_status(error).into_http(),
        }
    }
}

impl Entry {
    /// The entrance to both surfaces. Spawns what they need until `stopping`.
    ///
    /// # Errors
    /// `Descriptors` when the embedded descriptors do not decode.
    pub(crate) fn new(
        origin: OriginRule,
        token: Option<Token>,
        operations: Arc<Operations>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, RpcError> {
        Ok(Self {
            origin,
            rate: RateLimit::new(operations.limits().requests_per_second),
            token,
            rest: rest::router(Arc::clone(&operations)),
            grpc: grpc::router(operations, stopping)?,
        })
    }

    /// Answers a request.
    pub(crate) async fn handle<B>(
        &self,
        client: IpAddr,
        mut request: Request<B>,
    ) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let surface = Surface::of(&request);
        let caller = match self.admit(client, &request) {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(%client, code = %error.code, "request refused");
                return Ok(surface.refuse(error));
            }
        };
        request.extensions_mut().insert(caller);
        match surface {
            Surface::Grpc => self.grpc.clone().oneshot(request).await,
            Surface::Rest => {
                let mut response = self.rest.clone().oneshot(request).await?;
                harden(response.headers_mut());
                Ok(response)
            }
        }
    }

    fn admit<B>(&self, client: IpAddr, request: &Request<B>) -> Result<Caller, ApiError> {
        if !self.rate.try_take(client, Instant::now()) {
            return Err(ApiError::busy("too many requests from this address", RATE_RETRY_AFTER_MS));
        }
        self.origin.check(request)?;
        self.identify(request.headers())
    }

    /// A wrong token is refused even where none is needed: its sender should learn of it.
    fn identify(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Caller::Anonymous) };
        let Some(token) = &self.token else {
            return Err(unauthenticated("this node has no token; configure one, or sign with an account"));
        };
        let offered = value.to_str().ok().and_then(|text| text.split_once(' '));
        match offered {
            Some((scheme, secret))
                if scheme.eq_ignore_ascii_case("bearer") && token.matches(secret.trim()) =>
            {
                Ok(Caller::TokenHolder)
            }
            _ => Err(unauthenticated(
                "the token is wrong; send `Authorization: Bearer` and the token of the node's home",
            )),
        }
    }
}

fn unauthenticated(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthenticated, message)
}

/// Replies are data of the moment: not to be sniffed, kept, framed or sent on.
fn harden(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
