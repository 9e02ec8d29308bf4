//! Requests and replies over HTTP.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::ClientConfig;
use super::error::ClientError;
use super::tls;
use crate::api::ApiError;
use crate::problem::{PROBLEM_JSON, Problem};

/// How long a connection may take to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much longer than it asked the node to wait a client waits: the node's own word says more than silence.
const MARGIN: Duration = Duration::from_secs(5);

/// Largest reply that is read: a page of the largest values in JSON is below it.
const REPLY_BYTES_MAX: usize = 128 * 1024 * 1024;

/// A node's address and what is sent along with every request.
pub(super) struct Transport {
    pub(super) base: Url,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) tls: rustls::ClientConfig,
    http: reqwest::Client,
    timeout: Duration,
}

/// What a broken connection means.
#[derive(Clone, Copy)]
enum Broken {
    /// Nothing: reads change nothing.
    Interrupted,
    /// The node may have taken the request.
    OutcomeUnknown {
        /// How long the node was asked to wait.
        timeout_ms: u64,
    },
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let ClientConfig { url, token, ca, timeout } = config;
        let base = parse_url(&url)?;
        let authorization = token.map(|token| bearer(&token)).transpose()?;
        let tls = tls::config(base.scheme(), ca.as_deref())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ClientError::Tls { reason: cause(&error) })?;
        Ok(Self { base, authorization, tls, http, timeout })
    }

    /// The address as the user knows it.
    pub(super) fn url(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The URL of a path, given by segments that may hold any signs, and a query.
    pub(super) fn endpoint(&self, segments: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A read.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        let text = self.get_text(segments, query).await?;
        self.parse(&text)
    }

    /// A read of plain text.
    pub(super) async fn get_text(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<Vec<u8>, ClientError> {
        let request = self.request(Method::GET, self.endpoint(segments, query)).timeout(self.timeout);
        let response = request.send().await.map_err(|error| self.broken(&error, Broken::Interrupted))?;
        self.accept(response, Broken::Interrupted).await
    }

    /// A write that the node is asked to wait with for `timeout_ms`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &impl Serialize,
        timeout_ms: u64,
    ) -> Result<T, ClientError> {
        let broken = Broken::OutcomeUnknown { timeout_ms };
        let timeout = Duration::from_millis(timeout_ms).saturating_add(MARGIN);
        let request = self.request(Method::POST, self.endpoint(segments, &[])).timeout(timeout).json(body);
        let response = request.send().await.map_err(|error| self.broken(&error, broken))?;
        let text = self.accept(response, broken).await?;
        self.parse(&text)
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    async fn accept(&self, mut response: Response, broken: Broken) -> Result<Vec<u8>, ClientError> {
        let status = response.status();
        let media = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_problem = media.starts_with(PROBLEM_JSON.as_bytes());
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error, broken))? {
            if text.len().saturating_add(chunk.len()) > REPLY_BYTES_MAX {
                return Err(self.unexpected(format!("the reply has more than {REPLY_BYTES_MAX} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        if is_problem {
            let problem: Problem = self.parse(&text)?;
            return Err(ApiError::from(problem).into());
        }
        if !status.is_success() {
            return Err(self.unexpected(format!("status {status}")));
        }
        Ok(text)
    }

    fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(text).map_err(|error| self.unexpected(error.to_string()))
    }

    fn broken(&self, error: &reqwest::Error, broken: Broken) -> ClientError {
        if error.is_connect() {
            return self.no_connection(error);
        }
        match broken {
            Broken::Interrupted => ClientError::Interrupted { url: self.url(), reason: cause(error) },
            Broken::OutcomeUnknown { timeout_ms } => ApiError::outcome_unknown(timeout_ms).into(),
        }
    }

    /// Why no connection came about: nobody answers, or somebody with the wrong certificate.
    pub(super) fn no_connection(&self, error: &(dyn Error + 'static)) -> ClientError {
        match certificate_error(error) {
            Some(reason) => ClientError::Untrusted { url: self.url(), reason: reason.to_string() },
            None => self.unreachable(cause(error)),
        }
    }

    pub(super) fn unreachable(&self, reason: String) -> ClientError {
        ClientError::Unreachable { url: self.url(), reason }
    }

    pub(super) fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Unexpected { url: self.url(), reason }
    }
}

/// The innermost cause: the outer ones only say that a request failed.
/// The fault that TLS found in the other side's certificate, if that is what an error goes back to.
fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::CertificateError> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error keeps its custom error beside its chain of sources.
        let custom = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let custom = custom.map(|custom| custom as &(dyn Error + 'static));
        for candidate in [Some(error), custom].into_iter().flatten() {
            if let Some(rustls::Error::InvalidCertificate(fault)) = candidate.downcast_ref() {
                return Some(fault);
            }
        }
        next = error.source().or(custom);
    }
    None
}

fn cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn parse_url(text: &str) -> Result<Url, ClientError> {
    let bad = |reason: String| ClientError::BadUrl { url: text.to_owned(), reason };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(bad(format!("`{other}` is neither http nor https"))),
    }
}

fn bearer(token: &str) -> Result<HeaderValue, ClientError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| ClientError::BadToken)?;
    value.set_sensitive(true);
    Ok(value)
}
