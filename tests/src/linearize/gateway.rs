//! The way into a node's network namespace: a thread that lives there and does what it is handed.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a probe waits for a connection.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// A thread in a network namespace, or in the checker's own where there are none.
#[derive(Debug)]
pub struct Gateway {
    handle: Handle,
    /// Dropped with the gateway, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Gateway {
    /// Starts the thread, in the namespace whose file is given.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn open(namespace: Option<&Path>) -> anyhow::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, opened) = std::sync::mpsc::channel();
        let namespace = namespace.map(Path::to_owned);
        std::thread::Builder::new().name("gateway".to_owned()).spawn(move || {
            let runtime = enter(namespace.as_deref())
                .and_then(|()| Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?));
            match runtime {
                Ok(runtime) => {
                    // The other side waits for it.
                    let _ = sender.send(Ok(runtime.handle().clone()));
                    // An error says that the gateway was dropped, which is what is waited for.
                    let _ = runtime.block_on(stopped);
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                }
            }
        })?;
        Ok(Self { handle: opened.recv().context("a gateway ended at once")??, _stop: stop })
    }

    /// Does work on the thread: the sockets that it opens are in the namespace.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.handle.spawn(work).await.context("work at a gateway failed")
    }

    /// Whether a connection to an address comes about from here.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn reaches(&self, address: SocketAddr) -> anyhow::Result<bool> {
        let connecting = tokio::net::TcpStream::connect(address);
        self.run(async move { matches!(tokio::time::timeout(PROBE_TIMEOUT, connecting).await, Ok(Ok(_))) })
            .await
    }
}

fn enter(namespace: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = namespace else { return Ok(()) };
    let file = std::fs::File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    rustix::thread::move_into_link_name_space(file.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
        .with_context(|| format!("the namespace {} cannot be entered", path.display()))
}
