//! Chat completions over connections that are kept open, as many as a gateway takes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

/// The length of a request's body.
const BODY_BYTES: usize = 1_400;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends the requests with these numbers, `key(number)` in each, over `connections` connections;
/// each connection waits for one answer before it sends the next request. Tells how long that took.
///
/// Fails at the first answer that is not 200.
pub fn send(
    address: SocketAddr,
    connections: usize,
    numbers: Range<u64>,
    key: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Duration> {
    let next = AtomicU64::new(numbers.start);
    let body = body();
    let begun = Instant::now();
    thread::scope(|scope| {
        let drive = || -> anyhow::Result<()> {
            let mut connection = Connection::open(address)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(());
                }
                connection.exchange(&key(number), &body)?;
            }
        };
        let drivers = (0..connections).map(|_| scope.spawn(drive)).collect::<Vec<_>>();
        drivers
            .into_iter()
            .try_for_each(|driver| driver.join().unwrap_or_else(|_| bail!("a connection's thread died")))
    })?;
    Ok(begun.elapsed())
}

struct Connection {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    line: String,
    answer: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::with_capacity(1 << 14, stream);
        Ok(Self { stream, request: vec![], line: String::new(), answer: vec![] })
    }

    /// Sends one request and reads its answer.
    fn exchange(&mut self, key: &str, body: &str) -> anyhow::Result<()> {
        self.request.clear();
        // The headers of OpenAI's own SDK for Python.
        write!(
            self.request,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.example.com\r\naccept: application/json\r\n\
             accept-encoding: gzip, deflate\r\nconnection: keep-alive\r\ncontent-type: application/json\r\n\
             user-agent: OpenAI/Python 2.8.0\r\nx-stainless-lang: python\r\n\
             x-stainless-package-version: 2.8.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n\
             x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.13.5\r\n\
             x-stainless-async: false\r\nx-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n\
             authorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.stream.get_mut().write_all(&self.request)?;

        let status = self.read_line()?.to_owned();
        let mut length = None;
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = Some(value.parse()?);
            }
        }
        self.answer.resize(length.context("an answer without a length")?, 0);
        self.stream.read_exact(&mut self.answer)?;
        if !status.starts_with("HTTP/1.1 200") {
            bail!("{status}: {}", String::from_utf8_lossy(&self.answer));
        }
        Ok(())
    }

    fn read_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line).context("waiting for an answer")?;
        self.line.strip_suffix("\r\n").context("the connection was closed")
    }
}

fn body() -> String {
    let body = |prompt: &str| {
        json!({
            "messages": [
                { "role": "system", "content": "You answer questions about the company's products." },
                { "role": "user", "content": prompt },
            ],
            "model": "gpt-4o-mini",
            "temperature": 0.2,
        })
        .to_string()
    };
    let prompt = "Which of our plans includes \"single sign-on\", and since when?\n".repeat(BODY_BYTES / 40);
    let mut room = BODY_BYTES;
    loop {
        let text = body(&prompt[..room]);
        match text.len().checked_sub(BODY_BYTES) {
            None | Some(0) => return text,
            Some(excess) => room -= excess.div_ceil(2).max(1),
        }
    }
}
