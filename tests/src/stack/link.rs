//! A network between a gateway and its control plane: it delays what passes, and may lead elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Passes TCP connections on. It stops when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A link to `target` on which everything, a connection's end included, takes `delay` each way.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: SocketAddr, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(target));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), delay));
        Ok(Self { address, target, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new connections elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<SocketAddr>>, delay: Duration) {
    while let Ok((near, _)) = listener.accept().await {
        let target = *target.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let Ok(far) = TcpStream::connect(target).await else { return };
            for socket in [&near, &far] {
                // Without it small messages wait for those before.
                let _ = socket.set_nodelay(true);
            }
            let (near, far) = (near.into_split(), far.into_split());
            tokio::join!(pass(near.0, far.1, delay), pass(far.0, near.1, delay));
        });
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buffer).await.unwrap_or(0);
            // Nothing is the end.
            let sent = late.send((Instant::now() + delay, buffer[..count].to_vec()));
            if count == 0 || sent.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
