//! One client's connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::entry::Entry;

/// Longest time for the TLS handshake, for the first request to begin, and for each later request's headers: clients on bad
/// lines need seconds, and who needs more holds a connection that others could use.
const PATIENCE: Duration = Duration::from_secs(15);

/// Most calls at a time on one HTTP/2 connection. A load generator needs few, as one stream carries many proposals.
const STREAMS_MAX: u32 = 256;

/// Largest header block: a few cookies and a token fit; the default of HTTP/2 is the same.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// How often a silent HTTP/2 connection is asked whether it is alive, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Serves a connection until it ends or `watcher` asks it to.
pub(crate) async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    entry: Arc<Entry>,
    watcher: Watcher,
) {
    // Small replies should not wait for one another.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_http(stream, client, entry, watcher).await,
        Some(acceptor) => match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => serve_http(stream, client, entry, watcher).await,
            Ok(Err(error)) => tracing::debug!(%client, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%client, "TLS handshake took too long"),
        },
    }
}

async fn serve_http<S>(stream: S, client: SocketAddr, entry: Arc<Entry>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let first_request = Arc::new(Notify::new());
    let service = {
        let first_request = Arc::clone(&first_request);
        service_fn(move |request| {
            first_request.notify_one();
            let entry = Arc::clone(&entry);
            async move { entry.handle(client.ip(), request).await }
        })
    };
    let builder = http_builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    let mut connection = std::pin::pin!(watcher.watch(connection));
    let result = tokio::select! {
        result = &mut connection => Some(result),
        () = first_request.notified() => None,
        () = tokio::time::sleep(PATIENCE) => {
            tracing::debug!(%client, "no request came");
            return;
        }
    };
    let result = match result {
        Some(result) => result,
        None => connection.await,
    };
    if let Err(error) = result {
        tracing::debug!(%client, %error, "connection ended");
    }
}

fn http_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}
