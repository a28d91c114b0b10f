//! HTTP/1.1 as a client speaks it.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Call, End, Leaves, Outcome};

/// A socket, and what was read from it too early.
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    closes: bool,
}

/// How long a body is.
enum Length {
    Bytes(usize),
    Chunked,
    UntilClosed,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), closes: false })
    }

    /// Whether another request can follow.
    pub(super) fn stays(&self) -> bool {
        !self.closes
    }

    pub(super) async fn write(&mut self, call: &Call) -> anyhow::Result<()> {
        let Call { path, key, body, sample, leaves: _ } = call;
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway.example.com\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\nanthropic-version: 2023-06-01\r\nx-sample: {sample}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).await.context("sending")
    }

    pub(super) async fn read(&mut self, outcome: &mut Outcome, leaves: Leaves) -> anyhow::Result<()> {
        let first = self.line().await.context("waiting for the answer")?;
        let status = first.split(' ').nth(1).with_context(|| format!("no status in {first:?}"))?;
        outcome.status = status.parse()?;
        loop {
            let line = self.line().await.context("reading headers")?;
            let Some((name, value)) = line.split_once(':') else { break };
            outcome.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        self.closes = outcome.header("connection") == "close";
        let mut length = match (outcome.headers.get("content-length"), outcome.header("transfer-encoding")) {
            (Some(bytes), _) => Length::Bytes(bytes.parse()?),
            (None, "chunked") => Length::Chunked,
            (None, _) => Length::UntilClosed,
        };
        self.closes |= matches!(length, Length::UntilClosed);

        while self.piece(&mut length, &mut outcome.body).await.context("reading the body")? {
            outcome.pieces.push(outcome.sent.elapsed());
            if matches!(leaves, Leaves::AfterBytes(enough) if outcome.body.len() >= enough) {
                return Ok(());
            }
        }
        outcome.end = End::Whole;
        Ok(())
    }

    /// Adds a piece of the body to `body`; false at its end.
    async fn piece(&mut self, length: &mut Length, body: &mut Vec<u8>) -> anyhow::Result<bool> {
        match length {
            Length::Bytes(0) => Ok(false),
            Length::Bytes(left) => {
                let begun = body.len();
                let read = (&mut self.stream).take(*left as u64).read_buf(body).await?;
                ensure!(read > 0, "closed with {left} bytes to come");
                *left -= body.len() - begun;
                Ok(true)
            }
            Length::Chunked => {
                let size = self.line().await?;
                let size =
                    usize::from_str_radix(&size, 16).with_context(|| format!("a chunk of {size:?}"))?;
                let read = (&mut self.stream).take(size as u64).read_to_end(body).await?;
                ensure!(read == size, "closed within a chunk");
                self.line().await?;
                Ok(size > 0)
            }
            Length::UntilClosed => Ok(self.stream.read_buf(body).await? > 0),
        }
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let whole = line.strip_suffix("\r\n").context("closed")?;
        Ok(whole.to_owned())
    }
}
