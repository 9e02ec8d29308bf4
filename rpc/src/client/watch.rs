//! Watching over a WebSocket.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::error::ClientError;
use super::transport::{CONNECT_TIMEOUT, Transport};
use crate::api::{ApiError, Topic, WatchEvent, WatchRequest};
use crate::problem::Problem;
use crate::rest::ErrorFrame;

/// Events in ascending order of height. An error is the last item.
pub type ClientWatch = BoxStream<'static, Result<WatchEvent, ClientError>>;

/// A message of the server.
#[derive(Deserialize)]
#[serde(untagged)]
enum Frame {
    Error(ErrorFrame),
    Event(WatchEvent),
}

/// Opens a watch.
pub(super) async fn open(transport: &Transport, request: WatchRequest) -> Result<ClientWatch, ClientError> {
    let handshake = handshake(transport, &request)?;
    let connect = connect(transport, handshake);
    tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .unwrap_or_else(|_| Err(transport.unreachable(format!("no connection within {CONNECT_TIMEOUT:?}"))))
}

fn handshake(transport: &Transport, request: &WatchRequest) -> Result<Request, ClientError> {
    let topics: Vec<&str> = request.topics.iter().map(|topic: &Topic| topic.name()).collect();
    let mut query = vec![("topics", topics.join(","))];
    query.extend(request.from_height.map(|height| ("from_height", height.to_string())));
    query.extend(request.key_prefix.clone().map(|prefix| ("key_prefix", prefix)));
    let mut url = transport.endpoint(&["v1", "watch"], &query);
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    let bad = |reason: String| ClientError::BadUrl { url: transport.url(), reason };
    url.set_scheme(scheme).map_err(|()| bad("it cannot carry a WebSocket".to_owned()))?;
    let mut handshake = url.as_str().into_client_request().map_err(|error| bad(error.to_string()))?;
    if let Some(value) = &transport.authorization {
        handshake.headers_mut().insert(header::AUTHORIZATION, value.clone());
    }
    Ok(handshake)
}

async fn connect(transport: &Transport, handshake: Request) -> Result<ClientWatch, ClientError> {
    let host = transport.base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = transport.base.port_or_known_default().unwrap_or_default();
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| transport.unreachable(error.to_string()))?;
    if transport.base.scheme() != "https" {
        return upgrade(transport, handshake, stream).await;
    }
    let name = ServerName::try_from(host).map_err(|error| transport.unreachable(error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(transport.tls.clone()))
        .connect(name, stream)
        .await
        .map_err(|error| transport.no_connection(&error))?;
    upgrade(transport, handshake, stream).await
}

async fn upgrade<S>(transport: &Transport, handshake: Request, stream: S) -> Result<ClientWatch, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match tokio_tungstenite::client_async(handshake, stream).await {
        Ok((socket, _)) => Ok(events(socket, transport.url()).boxed()),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            match serde_json::from_slice::<Problem>(body) {
                Ok(problem) => Err(ApiError::from(problem).into()),
                Err(_) => Err(transport.unexpected(format!("status {}", response.status()))),
            }
        }
        Err(error) => Err(transport.unexpected(error.to_string())),
    }
}

/// Reads messages until the server's close, an error of it, or a broken connection.
fn events<S>(socket: WebSocketStream<S>, url: String) -> impl Stream<Item = Result<WatchEvent, ClientError>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    futures::stream::unfold(Some((socket, url)), |state| async move {
        let (mut socket, url) = state?;
        let error = loop {
            match socket.next().await {
                None | Some(Ok(Message::Close(_))) => return None,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Frame::Event(event)) => return Some((Ok(event), Some((socket, url)))),
                    Ok(Frame::Error(ErrorFrame { error })) => {
                        // Completes the closing handshake.
                        let _ = socket.close(None).await;
                        break ClientError::Api(error);
                    }
                    Err(error) => break ClientError::Unexpected { url, reason: error.to_string() },
                },
                Some(Ok(Message::Binary(_))) => {
                    break ClientError::Unexpected { url, reason: "a binary message".to_owned() };
                }
                Some(Err(error)) => break ClientError::Interrupted { url, reason: error.to_string() },
            }
        };
        Some((Err(error), None))
    })
}
