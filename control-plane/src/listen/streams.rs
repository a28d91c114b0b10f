//! The gateways' port. A connection has little time until a stream is admitted on it: TLS, HTTP/2 and the token.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{Request, Response};
use futures::Stream;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tonic::transport::server::Connected;
use tower::{Layer, Service};

use super::accept;
use super::connection_limit::{ConnectionLimit, ConnectionSlot};

/// How long a connection may take until a stream is admitted on it.
pub const OPENING: Duration = Duration::from_secs(10);

/// A connection that ends unless a stream is admitted on it in time.
#[derive(Debug)]
pub struct Guarded {
    connection: TcpStream,
    place: Arc<ConnectionSlot>,
    deadline: Pin<Box<Sleep>>,
}

/// The connections that come to this port, as long as somebody asks for them.
pub fn incoming(
    listener: TcpListener,
    limit: Arc<ConnectionLimit>,
    opening: Duration,
) -> impl Stream<Item = Result<Guarded, Infallible>> {
    futures::stream::unfold((listener, limit), move |(listener, limit)| async move {
        loop {
            let connection = accept(&listener).await;
            if let Some(place) = limit.enter() {
                let deadline = Box::pin(tokio::time::sleep(opening));
                let guarded = Guarded { connection, place: Arc::new(place), deadline };
                return Some((Ok(guarded), (listener, limit)));
            }
            tracing::warn!("a connection is refused: all that there may be are gateways'");
        }
    })
}

impl Guarded {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        !self.place.is_busy()
            && (self.place.poll_evicted(cx).is_ready() || self.deadline.as_mut().poll(cx).is_ready())
    }
}

impl Connected for Guarded {
    type ConnectInfo = Arc<ConnectionSlot>;

    fn connect_info(&self) -> Arc<ConnectionSlot> {
        Arc::clone(&self.place)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.connection).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

/// Lets connections stay on which a stream was admitted.
#[derive(Clone, Copy, Debug)]
pub struct Admit;

/// A service below [`Admit`].
#[derive(Clone, Debug)]
pub struct Admitting<S>(S);

impl<S> Layer<S> for Admit {
    type Service = Admitting<S>;

    fn layer(&self, service: S) -> Admitting<S> {
        Admitting(service)
    }
}

impl<S, B, C> Service<Request<B>> for Admitting<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Send + 'static,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<C>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let place = request.extensions().get::<Arc<ConnectionSlot>>().cloned();
        let answered = self.0.call(request);
        Box::pin(async move {
            let answer = answered.await?;
            // A refusal is told at once, in the headers.
            let admitted = answer.status().is_success() && !answer.headers().contains_key("grpc-status");
            if let Some(place) = place.filter(|_| admitted) {
                place.mark_busy();
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn small_messages_to_gateways_do_not_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = std::pin::pin!(incoming(listener, ConnectionLimit::new(1), OPENING));
        let _gateway = TcpStream::connect(address).await.unwrap();
        let Ok(guarded) = incoming.next().await.unwrap();
        assert!(guarded.connection.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_connection_without_a_stream_ends_and_one_with_a_stream_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming =
            std::pin::pin!(incoming(listener, ConnectionLimit::new(3), Duration::from_millis(50)));
        let mut connections = Vec::new();
        for _ in 0..2 {
            let gateway = TcpStream::connect(address).await.unwrap();
            let Ok(guarded) = incoming.next().await.unwrap();
            connections.push((gateway, guarded));
        }
        connections[1].1.place.mark_busy();
        let error = connections[0].1.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let (gateway, guarded) = &mut connections[1];
        tokio::time::sleep(Duration::from_millis(60)).await;
        gateway.write_all(b"x").await.unwrap();
        assert_eq!(guarded.read_u8().await.unwrap(), b'x');
    }
}
