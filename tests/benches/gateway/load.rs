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

/// What a body says that asks for a stream.
pub const STREAMS: &[u8] = br#""stream":true"#;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A JSON answer.
    Whole,
    /// Server-sent events.
    Stream,
}

/// How long answers took.
#[derive(Clone, Debug, Default)]
pub struct Took {
    /// All of them.
    pub all: Duration,
    /// Each, from the request to the first byte of its body.
    pub first: Vec<Duration>,
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends the requests with these numbers, `key(number)` in each, over `connections` connections;
/// each connection waits for one answer before it sends the next request.
///
/// Fails at the first answer that is not 200.
pub fn send(
    address: SocketAddr,
    connections: usize,
    numbers: Range<u64>,
    ask: Ask,
    key: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Took> {
    send_body(address, connections, numbers, &body(ask), key)
}

/// The same with this body.
pub fn send_body(
    address: SocketAddr,
    connections: usize,
    numbers: Range<u64>,
    body: &str,
    key: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Took> {
    send_with("", address, connections, numbers, body, key)
}

/// The same with further headers, each a line that ends with `\r\n`.
pub fn send_with(
    headers: &str,
    address: SocketAddr,
    connections: usize,
    numbers: Range<u64>,
    body: &str,
    key: &(dyn Fn(u64) -> String + Sync),
) -> anyhow::Result<Took> {
    let next = AtomicU64::new(numbers.start);
    let begun = Instant::now();
    let first = thread::scope(|scope| {
        let drive = || -> anyhow::Result<Vec<Duration>> {
            let mut connection = Connection::open(address)?;
            let mut first = vec![];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(first);
                }
                first.push(connection.exchange(headers, &key(number), body)?);
            }
        };
        let drivers = (0..connections).map(|_| scope.spawn(drive)).collect::<Vec<_>>();
        let drivers = drivers.into_iter();
        drivers
            .map(|driver| driver.join().unwrap_or_else(|_| bail!("a connection's thread died")))
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(Took { all: begun.elapsed(), first: first.concat() })
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

    /// Sends one request and reads its answer; tells when the first byte of its body came.
    fn exchange(&mut self, headers: &str, key: &str, body: &str) -> anyhow::Result<Duration> {
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
             authorization: Bearer {key}\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let begun = Instant::now();
        self.stream.get_mut().write_all(&self.request)?;

        let status = self.read_line()?.to_owned();
        let mut length = None;
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.parse()?);
            }
        }
        self.answer.clear();
        self.stream.fill_buf().context("waiting for the body")?;
        let first = begun.elapsed();
        match length {
            Some(length) => self.read(length)?,
            None => self.read_chunks()?,
        }
        if !status.starts_with("HTTP/1.1 200") {
            bail!("{status}: {}", String::from_utf8_lossy(&self.answer));
        }
        Ok(first)
    }

    /// Adds so many bytes to the answer.
    fn read(&mut self, length: usize) -> anyhow::Result<()> {
        let begun = self.answer.len();
        self.answer.resize(begun + length, 0);
        Ok(self.stream.read_exact(&mut self.answer[begun..])?)
    }

    fn read_chunks(&mut self) -> anyhow::Result<()> {
        loop {
            let size = usize::from_str_radix(self.read_line()?, 16).context("an answer without a length")?;
            self.read(size)?;
            self.read_line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_line(&mut self) -> anyhow::Result<&str> {
        self.line.clear();
        self.stream.read_line(&mut self.line).context("waiting for an answer")?;
        self.line.strip_suffix("\r\n").context("the connection was closed")
    }
}

/// The body of such a request.
pub fn body(ask: Ask) -> String {
    let body = |prompt: &str| {
        let mut body = json!({
            "messages": [
                { "role": "system", "content": "You answer questions about the company's products." },
                { "role": "user", "content": prompt },
            ],
            "model": "gpt-4o-mini",
            "temperature": 0.2,
            "max_tokens": 1_000,
        });
        if ask == Ask::Stream {
            body["stream"] = json!(true);
        }
        body.to_string()
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
