//! Servers that answer everything alike, as fast as they can, on a thread of their own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use crate::load;
use crate::usage::Usage;

/// A chat completion as a provider answers it.
pub const COMPLETION: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I assist you today?","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":319,"completion_tokens":10,"total_tokens":329,"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"fp_06737a9306"}"#;

/// Chunks of a stream, besides its end.
pub const CHUNKS: usize = 200;

/// A server with one answer. It lives as long as the process.
pub struct Fixed {
    address: SocketAddr,
    usage: Usage,
    answers: Arc<AtomicU64>,
}

impl Fixed {
    /// A server that answers 200 with `body`, or with a chat completion's stream to who asks for one.
    pub fn start(name: &str, body: &'static str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let answers = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answers);
        let (started, starting) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let served = started.send(Usage::of_this_thread()).map_err(anyhow::Error::from);
            served.and_then(|()| serve(listener, body, counter))
        })?;
        Ok(Self { address, usage: starting.recv()??, answers })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// CPU time per answer, over all answers so far.
    pub fn cpu_per_answer(&self) -> anyhow::Result<Duration> {
        let answers = self.answers.load(Ordering::Relaxed).max(1);
        Ok(self.usage.cpu()?.div_f64(answers as f64))
    }
}

fn serve(listener: TcpListener, body: &'static str, answers: Arc<AtomicU64>) -> anyhow::Result<()> {
    let events: Arc<[Bytes]> = events().into();
    let answer = move |asked: Bytes| {
        answers.fetch_add(1, Ordering::Relaxed);
        std::future::ready(match asked.windows(load::STREAMS.len()).any(|bytes| bytes == load::STREAMS) {
            true => streamed(Arc::clone(&events)),
            false => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        })
    };
    let router = Router::new().fallback(answer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|connection| {
            // Without it the answers are right, but may be late.
            let _ = connection.set_nodelay(true);
        });
        Ok(axum::serve(listener, router).await?)
    })
}

/// The events of a stream, with the usage that the gate asks for.
fn events() -> Vec<Bytes> {
    let chunk = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\
             \"created\":1741569952,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\
             \"system_fingerprint\":\"fp_06737a9306\",\"choices\":[{choices}],\"usage\":{usage}}}\n\n"
        )
    };
    let delta = r#"{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}"#;
    let usage =
        format!(r#"{{"prompt_tokens":319,"completion_tokens":{CHUNKS},"total_tokens":{}}}"#, 319 + CHUNKS);
    let ends = [
        chunk(r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}"#, "null"),
        chunk("", &usage),
        "data: [DONE]\n\n".to_owned(),
    ];
    let chunks = (0..CHUNKS).map(|_| chunk(delta, "null")).chain(ends);
    chunks.map(Bytes::from).collect()
}

fn streamed(events: Arc<[Bytes]>) -> Response {
    let events = stream::iter(0..events.len()).then(move |number| {
        let event = events[number].clone();
        async move {
            // Each event is a write of its own.
            tokio::task::yield_now().await;
            std::io::Result::Ok(event)
        }
    });
    ([(CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(events)).into_response()
}
