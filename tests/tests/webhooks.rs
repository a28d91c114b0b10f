//! Webhooks end to end: a receiver in this process, the real program, and what verifies the official library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use futures::future::join_all;
use latchkey_tests::python;
use latchkey_tests::stack::api::Api;
use latchkey_tests::stack::control_plane::ControlPlane;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{postgres, wait};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(30);

/// A message, as it arrived.
#[derive(Clone, Debug)]
struct Message {
    headers: HeaderMap,
    body: String,
}

/// Takes messages, and answers each with a status after a while.
#[derive(Clone)]
struct Receiver {
    url: String,
    answer: Arc<Mutex<(u16, Duration)>>,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Message {
    fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().unwrap()
    }

    /// As the verifier reads it.
    fn json(&self) -> Value {
        let header = |name: &str| (name.to_owned(), json!(self.headers[name].to_str().unwrap()));
        let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
        json!({"headers": serde_json::Map::from_iter(headers), "body": self.body})
    }
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let this =
            Self { url, answer: Arc::new(Mutex::new((204, Duration::ZERO))), messages: Arc::default() };
        let served = this.clone();
        let router = Router::new().fallback(move |request: Request| {
            let this = served.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                let body = String::from_utf8(body.to_vec()).unwrap();
                this.messages.lock().unwrap().push(Message { headers: parts.headers, body });
                let (status, after) = *this.answer.lock().unwrap();
                tokio::time::sleep(after).await;
                Response::builder().status(status).body(axum::body::Body::empty()).unwrap()
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        this
    }

    fn answer(&self, status: u16, after: Duration) {
        *self.answer.lock().unwrap() = (status, after);
    }

    fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Message> {
        let what = format!("{count} messages");
        wait::until(&what, SOON, async || Ok(Some(self.messages()).filter(|all| all.len() >= count)))
            .await
            .unwrap()
    }
}

/// Control planes without gateways.
struct Planes {
    planes: Vec<ControlPlane>,
    api: Api,
    dir: TempDir,
}

impl Planes {
    async fn start(count: usize, database_url: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut planes = Vec::new();
        for _ in 0..count {
            let mut plane = ControlPlane::new(dir.path(), Port::free().unwrap(), Port::free().unwrap());
            plane.set_variable("LATCHKEY_WEBHOOK_ALLOW", "127.0.0.0/8");
            if let Some(url) = &database_url {
                plane.set_variable("DATABASE_URL", url);
            }
            planes.push(plane);
        }
        let api = Api::new(&planes[0].url(), &planes[0].token("tests", "owner").await.unwrap());
        for plane in &mut planes {
            plane.start().await.unwrap();
        }
        Self { planes, api, dir }
    }

    async fn webhook(&self, receiver: &Receiver, events: &[&str]) -> Value {
        let new = json!({"name": "On-call", "url": receiver.url, "events": events, "apps": "all"});
        self.api.post("/api/v1/webhooks", new).await.unwrap().ok().unwrap()
    }

    /// Makes an app: an event `key.created`.
    async fn happen(&self, name: &str) {
        let app = json!({"name": name, "allowed_models": "all", "allowed_providers": "all"});
        self.api.post("/api/v1/apps", app).await.unwrap().ok().unwrap();
    }

    async fn deliveries(&self, webhook: &Value) -> Vec<Value> {
        let path = format!("/api/v1/webhooks/{}/deliveries?limit=200", webhook["id"].as_str().unwrap());
        self.api.get(&path).await.unwrap().ok().unwrap()["items"].as_array().unwrap().clone()
    }

    async fn until_delivered(&self, webhook: &Value, count: usize) -> Vec<Value> {
        let what = format!("{count} deliveries");
        wait::until(&what, 2 * SOON, async || {
            let deliveries = self.deliveries(webhook).await;
            let delivered = deliveries.iter().filter(|delivery| delivery["state"] == "delivered").count();
            Ok((delivered == count && deliveries.len() == count).then_some(deliveries))
        })
        .await
        .unwrap()
    }
}

fn ids(messages: &[Message]) -> Vec<String> {
    let mut ids: Vec<_> = messages.iter().map(|message| message.id().to_owned()).collect();
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test]
async fn the_official_library_verifies_messages_also_while_a_secret_is_replaced() {
    let planes = Planes::start(1, None).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.*"]).await;
    let path = format!("/api/v1/webhooks/{}", webhook["id"].as_str().unwrap());
    planes.happen("first").await;
    receiver.until(1).await;
    let rotated = planes.api.post(&format!("{path}/rotate-secret"), json!({})).await.unwrap().ok().unwrap();
    planes.happen("second").await;
    let messages = receiver.until(2).await;
    let (old, new) = (&webhook["secret"], &rotated["secret"]);
    let with = |secret: &Value, message: &Message| json!({"secret": secret, "message": message.json()});
    let mut changed = messages[1].clone();
    changed.body = changed.body.replace("second", "third");
    let asked = json!([
        with(old, &messages[0]),
        with(new, &messages[0]),
        with(old, &messages[1]),
        with(new, &messages[1]),
        with(new, &changed),
    ]);
    let verified = python::run("sdk/webhooks.py", &[("MESSAGES", &asked.to_string())]).await.unwrap();
    assert_eq!(verified, json!(["key.created", null, "key.created", "key.created", null]));
    planes.until_delivered(&webhook, 2).await;
}

#[tokio::test]
async fn a_program_that_is_killed_between_commit_and_delivery_delivers_later() {
    let mut planes = Planes::start(1, None).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.created"]).await;
    // Committed, and killed at once: whatever was sent by then, all of it arrives.
    for index in 0..5 {
        planes.happen(&format!("app {index}")).await;
        planes.planes[0].kill();
        planes.planes[0].start().await.unwrap();
    }
    let deliveries = planes.until_delivered(&webhook, 5).await;
    let sent: Vec<_> =
        deliveries.iter().map(|delivery| delivery["message_id"].as_str().unwrap().to_owned()).collect();
    let received = ids(&receiver.messages());
    assert_eq!(received.len(), 5);
    assert!(sent.iter().all(|id| received.contains(id)), "{sent:?} {received:?}");
    assert!(planes.dir.path().exists());
}

#[tokio::test]
async fn a_message_is_taken_over_from_a_program_that_is_killed_while_it_sends() {
    let mut planes = Planes::start(1, None).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.created"]).await;
    receiver.answer(204, Duration::from_secs(3600));
    planes.happen("app").await;
    receiver.until(1).await;
    planes.planes[0].kill();
    receiver.answer(204, Duration::ZERO);
    planes.planes[0].start().await.unwrap();
    let [delivery] = planes.until_delivered(&webhook, 1).await.try_into().unwrap();
    let messages = receiver.messages();
    assert_eq!((messages.len(), ids(&messages).len()), (2, 1));
    assert_eq!((messages[0].body == messages[1].body, &delivery["attempts"]), (true, &json!(1)));
}

#[tokio::test]
async fn a_program_that_is_stopped_ends_what_it_sends_and_gives_the_rest_back() {
    let mut planes = Planes::start(1, None).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.created"]).await;
    receiver.answer(204, Duration::from_millis(700));
    planes.happen("quick").await;
    receiver.until(1).await;
    planes.planes[0].stop().await.unwrap();
    planes.planes[0].start().await.unwrap();
    planes.until_delivered(&webhook, 1).await;
    assert_eq!(receiver.messages().len(), 1, "it ended before the program did");

    // One that takes longer is given back, and is not waited for by whoever comes next.
    receiver.answer(204, Duration::from_secs(3600));
    planes.happen("slow").await;
    receiver.until(2).await;
    planes.planes[0].stop().await.unwrap();
    receiver.answer(204, Duration::ZERO);
    planes.planes[0].start().await.unwrap();
    wait::until("the message again", Duration::from_secs(10), async || {
        Ok((receiver.messages().len() == 3).then_some(()))
    })
    .await
    .unwrap();
    planes.until_delivered(&webhook, 2).await;
    assert_eq!(ids(&receiver.messages()).len(), 2);
}

#[tokio::test]
async fn two_replicas_deliver_each_message_once() {
    let mut planes = Planes::start(2, Some(postgres::database().await.unwrap())).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.created"]).await;
    receiver.answer(204, Duration::from_millis(30));
    let names: Vec<_> = (0..60).map(|index| format!("app {index}")).collect();
    join_all(names.iter().map(|name| planes.happen(name))).await;
    let deliveries = planes.until_delivered(&webhook, 60).await;
    assert!(deliveries.iter().all(|delivery| delivery["attempts"] == 1));
    let messages = receiver.messages();
    assert_eq!((messages.len(), ids(&messages).len()), (60, 60));

    // One of them is killed while it sends.
    receiver.answer(204, Duration::from_secs(3600));
    join_all(names[..8].iter().map(|name| planes.happen(name))).await;
    receiver.until(64).await;
    planes.planes[1].kill();
    receiver.answer(204, Duration::ZERO);
    planes.until_delivered(&webhook, 68).await;
    assert_eq!(ids(&receiver.messages()).len(), 68);
}

#[tokio::test]
async fn a_receiver_that_fails_gets_the_message_until_it_takes_it() {
    let planes = Planes::start(1, None).await;
    let receiver = Receiver::start().await;
    let webhook = planes.webhook(&receiver, &["key.created"]).await;
    receiver.answer(500, Duration::ZERO);
    planes.happen("app").await;
    // The first again comes after 5 seconds; for later ones time is moved.
    receiver.until(2).await;
    for count in 3..6 {
        wait::until("the attempt to be noted", SOON, async || {
            let waits =
                planes.deliveries(&webhook).await.iter().all(|delivery| delivery["attempts"] == count - 1);
            Ok(waits.then_some(()))
        })
        .await
        .unwrap();
        planes.planes[0].sql("UPDATE deliveries SET next_at = 0").await.unwrap();
        receiver.until(count).await;
    }
    receiver.answer(204, Duration::ZERO);
    wait::until("the attempt to be noted", SOON, async || {
        Ok((planes.deliveries(&webhook).await[0]["attempts"] == 5).then_some(()))
    })
    .await
    .unwrap();
    planes.planes[0].sql("UPDATE deliveries SET next_at = 0").await.unwrap();
    let [delivery] = planes.until_delivered(&webhook, 1).await.try_into().unwrap();
    assert_eq!(delivery["attempts"], 6);
    assert_eq!(ids(&receiver.messages()).len(), 1);
}
