//! Receives messages, and answers as the test says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use serde_json::Value;
use tokio::net::TcpListener;

/// What was received.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

/// How messages are answered.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    after: Duration,
}

#[derive(Clone)]
pub struct Receiver {
    address: String,
    reply: Arc<Mutex<Reply>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reply = Reply { status: 204, headers: Vec::new(), body: String::new(), after: Duration::ZERO };
        let this = Self {
            address: listener.local_addr().unwrap().to_string(),
            reply: Arc::new(Mutex::new(reply)),
            received: Arc::default(),
        };
        let served = this.clone();
        let router = Router::new().fallback(move |request: Request| {
            let this = served.clone();
            async move { this.receive(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers from now on with this.
    pub fn answer(&self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let mut reply = self.reply.lock().unwrap();
        *reply = Reply { status, headers, body: body.to_owned(), after: reply.after };
    }

    /// Answers from now on so late.
    pub fn slow_down(&self, after: Duration) {
        self.reply.lock().unwrap().after = after;
    }

    /// What was received since this was last asked.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.received.lock().unwrap())
    }

    async fn receive(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        let received = Received { path: parts.uri.path().to_owned(), headers: parts.headers, body };
        self.received.lock().unwrap().push(received);
        let Reply { status, headers, body, after } = self.reply.lock().unwrap().clone();
        tokio::time::sleep(after).await;
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(Body::from(body)).unwrap()
    }
}
