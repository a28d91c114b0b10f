//! A provider or MCP server that answers with the bytes that a test gives it, and keeps what it was sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with a request, once all of it is there.
#[derive(Clone, Debug)]
pub enum Act {
    /// Writes these bytes, and closes the connection.
    Answer(Vec<u8>),
    /// Closes the connection.
    HangUp,
    /// Says nothing for as long as it runs.
    Silence,
    /// Writes these bytes one after the other, at this pace, and closes the connection.
    Paced(Duration, Vec<Vec<u8>>),
}

/// A request that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// A running upstream; it stops when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    server: JoinHandle<()>,
}

impl Act {
    /// 200 with these headers (each `name: value\r\n`) and this JSON.
    #[must_use]
    pub fn ok(headers: &str, json: &str) -> Self {
        Self::status("200 OK", headers, json)
    }

    /// The same with another status line: `307 Temporary Redirect`.
    #[must_use]
    pub fn status(status: &str, headers: &str, json: &str) -> Self {
        let length = json.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n{headers}\r\n"
        );
        Self::Answer((head + json).into_bytes())
    }
}

impl Upstream {
    /// Starts it on a free port; `act` is given the head of each request.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, received, act) = (listener.local_addr()?, Arc::default(), Arc::new(act));
        let kept = Arc::clone(&received);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (kept, act) = (Arc::clone(&kept), Arc::clone(&act));
                tokio::spawn(async move { serve(connection, &kept, &*act).await });
            }
        });
        Ok(Self { address, received, server })
    }

    /// `http://127.0.0.1:<port>` and a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of the requests so far, in lower case.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|request| request.head.clone()).collect()
    }

    /// Forgets them, and tells them.
    pub fn take(&self) -> Vec<String> {
        self.take_requests().into_iter().map(|request| request.head).collect()
    }

    /// Forgets the requests so far, and tells them.
    pub fn take_requests(&self) -> Vec<Received> {
        std::mem::take(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    mut connection: TcpStream,
    received: &Mutex<Vec<Received>>,
    act: &(impl Fn(&str) -> Act + Sync),
) {
    let Some(request) = read(&mut connection).await else { return };
    let act = act(&request.head);
    received.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    match act {
        Act::Answer(bytes) => {
            // A gateway that has left needs no answer.
            let _ = connection.write_all(&bytes).await;
        }
        Act::Paced(pause, parts) => {
            for part in parts {
                if connection.write_all(&part).await.is_err() {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        }
        Act::HangUp => {}
        Act::Silence => {
            // Until the gateway leaves.
            let _ = connection.read(&mut [0]).await;
        }
    }
}

/// Reads one request.
async fn read(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return Some(Received { head, body: bytes.split_off(end + 4) });
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
