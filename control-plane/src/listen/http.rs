//! The API's port. It speaks HTTP/1.1: whatever else a client wants to speak, it says so in its first bytes, and
//! nothing waits for those.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::accept;
use super::connection_limit::{ConnectionLimit, ConnectionSlot};

/// How long a client may take until its next request's headers have come, from the connection's start or the
/// last answer on.
pub const HEAD: Duration = Duration::from_secs(30);

/// Serves until it is to stop, and then what is under way.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limit: Arc<ConnectionLimit>,
    head: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let connection = tokio::select! {
            connection = accept(&listener) => connection,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        // Those that have ended are let go.
        while connections.try_join_next().is_some() {}
        let (Some(place), Ok(client)) = (limit.enter(), connection.peer_addr()) else { continue };
        connections.spawn(converse(connection, client, router.clone(), place, head, stopping.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse(
    connection: TcpStream,
    client: SocketAddr,
    router: Router,
    place: ConnectionSlot,
    head: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let place = Arc::new(place);
    let answer = |request| answer(request, client, router.clone(), Arc::clone(&place));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(connection), service_fn(answer));
    let mut served = std::pin::pin!(served);
    let mut stops = std::pin::pin!(async {
        // An error means that the sender is gone, which is a stop as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    let mut stopped = false;
    loop {
        tokio::select! {
            outcome = &mut served => {
                if let Err(error) = outcome {
                    tracing::debug!(%client, %error, "a connection broke");
                }
                return;
            }
            () = std::future::poll_fn(|cx| place.poll_evicted(cx)) => {
                tracing::debug!(%client, "a connection that said nothing made room for another");
                return;
            }
            () = &mut stops, if !stopped => {
                stopped = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    router: Router,
    place: Arc<ConnectionSlot>,
) -> Result<Response<Body>, Infallible> {
    let turn = Arc::new(ActiveRequest { place, begun: AtomicBool::new(false) });
    let mut request = request.map(|body| Body::new(Received::new(body, Arc::clone(&turn))));
    request.extensions_mut().insert(ConnectInfo(client));
    let response = router.oneshot(request).await?;
    // The turn lasts until all of the answer is sent.
    let sending = |body: Body| Body::new(body.map_frame(move |frame| (frame, &turn).0));
    Ok(response.map(sending))
}

/// A request's part in its connection's place: at work from its last byte on until its answer is sent.
struct ActiveRequest {
    place: Arc<ConnectionSlot>,
    begun: AtomicBool,
}

impl ActiveRequest {
    fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
        self.place.mark_busy();
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.begun.load(Ordering::Relaxed) {
            self.place.mark_idle();
        }
    }
}

/// A request's body, whose end begins its turn.
struct Received {
    body: Incoming,
    turn: Option<Arc<ActiveRequest>>,
}

impl Received {
    fn new(body: Incoming, turn: Arc<ActiveRequest>) -> Self {
        let mut received = Self { body, turn: Some(turn) };
        received.look();
        received
    }

    fn look(&mut self) {
        if self.body.is_end_stream()
            && let Some(turn) = self.turn.take()
        {
            turn.begin();
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match frame {
            None => {
                if let Some(turn) = self.turn.take() {
                    turn.begin();
                }
            }
            Some(_) => self.look(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const A_WHILE: Duration = Duration::from_secs(10);

    async fn start(most: usize, head: Duration) -> (SocketAddr, watch::Sender<bool>) {
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(|ConnectInfo(_): ConnectInfo<SocketAddr>| async { "hello" }))
            .route("/slow", get(slow))
            .route("/body", post(|body: String| async move { body }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(serve(listener, router, ConnectionLimit::new(most), head, stopping));
        (address, stop)
    }

    async fn open(address: SocketAddr, said: &[u8]) -> TcpStream {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said).await.unwrap();
        connection
    }

    /// What comes until the other side closes, or holds this.
    async fn read(connection: &mut TcpStream, until: &str) -> String {
        let mut text = Vec::new();
        let all = async {
            while !String::from_utf8_lossy(&text).contains(until) || until.is_empty() {
                let mut buffer = [0; 1024];
                match connection.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(count) => text.extend_from_slice(&buffer[..count]),
                }
            }
        };
        tokio::time::timeout(A_WHILE, all).await.expect("neither end nor answer");
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn connections_that_say_nothing_or_half_of_it_are_closed() {
        let (address, _stop) = start(10, Duration::from_millis(100)).await;
        for said in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"PRI * HTTP/2.0\r\n\r\nSM"] {
            let text = read(&mut open(address, said).await, "").await;
            assert!(!text.contains("hello"), "{text}");
        }
        let mut idle = open(address, GET).await;
        assert!(read(&mut idle, "hello").await.starts_with("HTTP/1.1 200"));
        assert_eq!(read(&mut idle, "").await, "", "and so is one that asks no more");
    }

    #[tokio::test]
    async fn a_full_port_answers_whoever_asks() {
        let (address, _stop) = start(5, A_WHILE).await;
        let mut slow = open(address, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut silent = Vec::new();
        for n in 0..40 {
            let half = b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
            silent.push(open(address, if n % 2 == 0 { b"" } else { half }).await);
            let mut asking = open(address, GET).await;
            assert!(read(&mut asking, "hello").await.contains("hello"));
        }
        assert!(read(&mut slow, "slow").await.contains("slow"), "what is at work is answered");
        for mut early in silent.into_iter().take(30) {
            assert!(!read(&mut early, "").await.contains("200"));
        }
    }

    #[tokio::test]
    async fn what_is_under_way_is_answered_when_it_stops() {
        let (address, stop) = start(5, A_WHILE).await;
        let mut slow = open(address, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let mut idle = open(address, GET).await;
        read(&mut idle, "hello").await;
        stop.send_replace(true);
        assert_eq!(read(&mut idle, "").await, "");
        assert!(read(&mut slow, "").await.contains("slow"));
    }
}
