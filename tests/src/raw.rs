//! A provider that answers with exactly the bytes that a test gives it, because the sample provider
//! always answers well.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running raw provider. It stops when dropped.
#[derive(Debug)]
pub struct RawProvider {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// The request line and the headers, with their line ends.
    pub head: String,
    /// The body, without its chunk framing.
    pub body: Vec<u8>,
}

/// What happens on the connection, in order; after the last step it is closed.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
    /// Waits until the other side closes.
    Hold,
}

#[derive(Debug, Default)]
struct Shared {
    answer: Vec<Step>,
    requests: Vec<RawRequest>,
}

impl RawProvider {
    /// Starts on a free port of the loopback interface. Until told otherwise it closes without an answer.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let served = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    // A client that left is what some tests are about.
                    let _ = serve(connection, &served).await;
                });
            }
        });
        Ok(Self { address, shared, server })
    }

    /// The base URL of its API: `http://127.0.0.1:<port>/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The same without the version, as providers of Anthropic's kind are registered.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers every request from now on with these bytes, head and body, then closes.
    pub fn answer(&self, bytes: impl Into<Vec<u8>>) {
        self.play(vec![Step::Send(bytes.into())]);
    }

    /// Answers every request from now on with these steps.
    pub fn play(&self, steps: Vec<Step>) {
        lock(&self.shared).answer = steps;
    }

    /// What it was asked, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RawRequest> {
        lock(&self.shared).requests.clone()
    }

    /// Forgets what it was asked.
    pub fn forget(&self) {
        lock(&self.shared).requests.clear();
    }
}

impl Drop for RawProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RawRequest {
    /// A header's value; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let named = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(named)
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, value)| value.trim())
    }

    /// The body as JSON; null when it is something else.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A whole answer of status 200 with this content type, which ends where the connection does.
#[must_use]
pub fn answer(content_type: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body.as_bytes()].concat()
}

/// A JSON document.
#[must_use]
pub fn json(body: &str) -> Vec<u8> {
    answer("application/json", body)
}

/// An event stream.
#[must_use]
pub fn events(body: &str) -> Vec<u8> {
    answer("text/event-stream", body)
}

async fn serve(connection: TcpStream, shared: &Mutex<Shared>) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    let request = read(&mut connection).await?;
    let steps = {
        let mut shared = lock(shared);
        shared.requests.push(request);
        shared.answer.clone()
    };
    for step in steps {
        match step {
            Step::Send(bytes) => connection.get_mut().write_all(&bytes).await?,
            Step::Wait(duration) => tokio::time::sleep(duration).await,
            Step::Hold => while connection.read(&mut [0; 1024]).await? > 0 {},
        }
    }
    Ok(connection.get_mut().shutdown().await?)
}

async fn read(connection: &mut BufReader<TcpStream>) -> anyhow::Result<RawRequest> {
    let mut request = RawRequest { head: String::new(), body: vec![] };
    while !request.head.ends_with("\r\n\r\n") {
        anyhow::ensure!(connection.read_line(&mut request.head).await? > 0, "closed within the head");
    }
    if request.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        loop {
            let mut size = String::new();
            connection.read_line(&mut size).await?;
            let size = usize::from_str_radix(size.trim(), 16).context("a chunk's size")?;
            let mut chunk = vec![0; size + 2];
            connection.read_exact(&mut chunk).await?;
            request.body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(request);
            }
        }
    }
    request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    connection.read_exact(&mut request.body).await?;
    Ok(request)
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_with_what_it_was_given_and_tells_what_it_was_asked() {
        let provider = RawProvider::start().await.unwrap();
        provider.answer(events("data: x\n"));
        let asked =
            reqwest::Client::new().post(provider.url() + "/chat").body("{\"a\":1}").send().await.unwrap();
        assert_eq!(asked.headers()["content-type"], "text/event-stream");
        assert_eq!(asked.text().await.unwrap(), "data: x\n");
        let requests = provider.requests();
        assert!(requests[0].head.starts_with("POST /v1/chat HTTP/1.1\r\n"), "{}", requests[0].head);
        assert_eq!((requests.len(), requests[0].json()["a"].as_u64()), (1, Some(1)));
    }
}
