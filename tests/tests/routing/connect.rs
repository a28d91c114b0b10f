//! What was never sent costs nothing: connections that are not made, and those that a gateway does not open.

use std::time::Duration;

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::ledger::Record;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

use super::{Act, COST, PATIENCE, Place, good, group, header, record, wait};

/// A listener whose queue is full, so that nobody gets a connection to it.
struct Deaf {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        let patience = Duration::from_millis(500);
        while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
            queue.push(connected.unwrap());
            assert!(queue.len() < 1_000, "its queue is endless");
        }
        Self { listener, _queue: queue }
    }

    fn url(&self) -> String {
        format!("http://{}/a/v1", self.listener.local_addr().unwrap())
    }
}

const BUDGET: &str = "1000";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_never_made_costs_nothing_whatever_ends_the_wait() {
    let settings =
        json!({ "limits": { "budget": { "usd": BUDGET, "per": "day" } }, "routing_groups": "all" });
    let place = Place::start(settings).await;
    let deaf = Deaf::start().await;
    let api = place.stack.api();
    // Envoy gives a connection five seconds, which is longer than the one group waits, and shorter than the other.
    for (number, headers_timeout_ms) in [(0, 700), (1, 20_000)] {
        place.add_group(number).await;
        let list = api.get("/api/v1/routing-groups").await.unwrap().ok().unwrap();
        let of_name = |group: &&Value| group["name"] == format!("fast-{number}");
        let id = list["items"].as_array().unwrap().iter().find(of_name).unwrap()["id"].clone();
        let failover = json!({ "attempts": 3, "headers_timeout_ms": headers_timeout_ms });
        let path = format!("/api/v1/routing-groups/{}", id.as_str().unwrap());
        api.edit(&path, json!({ "failover": failover })).await.unwrap();
    }
    let moved = json!({ "base_url": deaf.url(), "credential": "credential-of-a" });
    api.edit("/api/v1/providers/a", moved).await.unwrap();
    place.stack.until_synced().await.unwrap();
    wait::until("the first target to be deaf", PATIENCE, async || {
        let answer = place.ask(&json!({})).await;
        Ok((header(&answer, "x-latchkey-attempts") == Some("2")).then_some(()))
    })
    .await
    .unwrap();
    for number in 0..2 {
        let answer = place.ask(&json!({ "model": format!("fast-{number}") })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let record = record(&place, header(&answer, "x-request-id").unwrap()).await;
        assert_eq!(record.attempts.len(), 2, "{record:?}");
        assert_eq!(record.attempts[0]["end"], "connection", "{record:?}");
        assert_eq!((record.cost(), record.settlement.as_str()), (COST, "reported"), "{record:?}");
    }
    // The same where nobody else is left.
    let alone = json!({
        "name": "alone", "targets": [{ "provider": "a", "model": "model-a-0", "weight": 100 }],
        "failover": { "headers_timeout_ms": 700 },
    });
    api.post("/api/v1/routing-groups", alone).await.unwrap().ok().unwrap();
    place.stack.until_synced().await.unwrap();
    let answer = place.ask(&json!({ "model": "alone" })).await;
    assert_ne!(answer.status, 200, "{}", answer.text);
    let record = record(&place, header(&answer, "x-request-id").unwrap()).await;
    assert_eq!((record.cost(), record.settlement.as_str()), (0, "none"), "{record:?}");
    assert_eq!(record.attempts[0]["end"], "connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_costs_its_input() {
    for (act, end) in [(Act::HangUp, "connection"), (Act::Silence, "timeout")] {
        // Each in a fleet where no target has rested.
        let place = Place::start(json!({ "limits": { "budget": { "usd": BUDGET, "per": "day" } } })).await;
        place.targets[0].will(act);
        let answer = place.ask(&json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let record = record(&place, header(&answer, "x-request-id").unwrap()).await;
        assert_eq!(record.attempts[0]["end"], end);
        assert!(record.cost() > COST && record.settlement == "reserved", "{record:?}");
    }
}

/// A cluster of the mesh's own that serves groups as this provider: with these settings, at this address of Envoy's.
fn own_cluster(cluster: &str, provider: &str, settings: &str, address: &str) -> String {
    let wasm = "\"${FILTER_WASM}\"";
    format!(
        r#"
    - name: {cluster}
      type: STATIC
      connect_timeout: 1s
      {settings}
      load_assignment:
        cluster_name: {cluster}
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ {address} }} }}
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ http_protocol_options: {{}} }}
          http_filters:
            - name: latchkey.attempt
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
                config:
                  name: latchkey_attempt
                  root_id: latchkey_attempt
                  vm_config: {{ vm_id: latchkey, runtime: envoy.wasm.runtime.v8, code: {{ local: {{ filename: {wasm} }} }} }}
                  configuration:
                    "@type": type.googleapis.com/google.protobuf.StringValue
                    value: '{{"role":"attempt","provider":"{provider}"}}'
                  failure_policy: FAIL_RELOAD
                  allow_on_headers_stop_iteration: true
            - name: envoy.filters.http.upstream_codec
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
"#
    )
}

/// The product's configuration with a cluster of the mesh's own.
fn with_cluster(stack: &Stack, cluster: &str) -> std::path::PathBuf {
    let path = stack.dir().join("own-cluster.yaml");
    let template = super::template();
    std::fs::write(&path, template.replacen("\n  clusters:\n", &format!("\n  clusters:{cluster}"), 1))
        .unwrap();
    path
}

const BREAKERS: &str = "circuit_breakers: { thresholds: [{ max_retries: 1000 }] }";

/// No connection is opened.
const OPEN_BREAKER: &str =
    "circuit_breakers: { thresholds: [{ max_pending_requests: 0, max_retries: 1000 }] }";

/// A provider of that name with one model, which costs what the others do.
async fn add_provider(place: &Place, name: &str, base_url: &str, cluster: Option<&str>) {
    let api = place.stack.api();
    let mut provider = json!({ "name": name, "kind": "openai_compatible", "base_url": base_url });
    provider["cluster"] = json!(cluster);
    api.post("/api/v1/providers", provider).await.unwrap().ok().unwrap();
    let price = json!({ "input": "1", "cached_input": "1", "output": "10" });
    let model = json!({
        "name": format!("model-{name}"), "provider": name, "max_output_tokens": 100, "context_window": 1_000_000,
        "price": price,
    });
    api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
}

/// A group that tries these providers in this order.
async fn add_ordered_group(place: &Place, name: &str, providers: [&str; 2]) {
    let [first, second] = providers.map(|provider| (provider, format!("model-{provider}")));
    let group = group(json!({ "name": name, "targets": [
        { "provider": first.0, "model": first.1, "weight": 100 },
        { "provider": second.0, "model": second.1, "weight": 0 },
    ] }));
    place.stack.api().post("/api/v1/routing-groups", group).await.unwrap().ok().unwrap();
    place.stack.until_synced().await.unwrap();
}

fn ends(told: &Record) -> Vec<(Value, Value)> {
    told.attempts.iter().map(|it| (it["provider"].clone(), it["end"].clone())).collect()
}

/// A target on a Unix socket that takes requests and hangs up.
async fn hang_up(listener: UnixListener) {
    while let Ok((mut connection, _)) = listener.accept().await {
        let _ended_or_not = connection.read_u8().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_over_a_unix_socket_costs_its_input() {
    let mut place = Place::start(json!({
        "limits": { "budget": { "usd": BUDGET, "per": "day" } }, "routing_groups": "all",
    }))
    .await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("model.sock");
    let target = tokio::spawn(hang_up(UnixListener::bind(&socket).unwrap()));
    let url = place.targets[0].upstream.url("/a/v1");
    add_provider(&place, "socket", &url, Some("my-socket")).await;
    add_ordered_group(&place, "by-socket", ["socket", "b"]).await;
    let provider = place.stack.api().get("/api/v1/providers/socket").await.unwrap().ok().unwrap();
    let cluster = provider["group_cluster"].as_str().unwrap();
    let pipe = format!("pipe: {{ path: \"{}\" }}", socket.display());
    let config = with_cluster(&place.stack, &own_cluster(cluster, "socket", BREAKERS, &pipe));
    let options = place.stack.options("own-socket").config(&config);
    place.stack.add_gateway(options).await.unwrap();
    place.stack.until_synced().await.unwrap();
    place.targets.iter().for_each(|target| target.will(good()));
    let body = super::body(&json!({ "model": "by-socket" }));
    let answer = place.stack.gateways()[1].chat(&place.app.key, body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let told = record(&place, header(&answer, "x-request-id").unwrap()).await;
    assert_eq!(ends(&told), [(json!("socket"), json!("connection")), (json!("b"), json!("served"))]);
    assert!(told.cost() > COST && told.settlement == "reserved", "it may have been read: {told:?}");
    target.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_circuit_breaker_is_open_costs_nothing_and_is_passed_by() {
    let mut place = Place::start(json!({
        "limits": { "budget": { "usd": BUDGET, "per": "day" } }, "routing_groups": "all",
    }))
    .await;
    let url = place.targets[0].upstream.url("/a/v1");
    add_provider(&place, "mine", &url, Some("my-own")).await;
    add_ordered_group(&place, "overloaded", ["mine", "b"]).await;
    let mine = place.stack.api().get("/api/v1/providers/mine").await.unwrap().ok().unwrap();
    let cluster = mine["group_cluster"].as_str().unwrap();
    let address = place.targets[0].upstream.address();
    let address = format!("socket_address: {{ address: {}, port_value: {} }}", address.ip(), address.port());
    let config = with_cluster(&place.stack, &own_cluster(cluster, "mine", OPEN_BREAKER, &address));
    let options = place.stack.options("open-breaker").config(&config);
    place.stack.add_gateway(options).await.unwrap();
    place.stack.until_synced().await.unwrap();
    place.targets.iter().for_each(|target| target.will(good()));

    let ask = async |model: &str| {
        let body = super::body(&json!({ "model": model }));
        place.stack.gateways()[1].chat(&place.app.key, body).await.unwrap()
    };
    let refused = ask("overloaded").await;
    for _ in 0..3 {
        let served = ask("overloaded").await;
        assert_eq!(served.status, 200, "{}", served.text);
    }
    assert_eq!((refused.status, refused.code()), (503, "gateway_overloaded"), "{}", refused.text);
    assert_eq!(place.taken().map(|requests| requests.len()), [0, 3, 0]);
    let told = record(&place, header(&refused, "x-request-id").unwrap()).await;
    assert_eq!((told.cost(), told.settlement.as_str()), (0, "none"), "{told:?}");
    assert_eq!(ends(&told), [(json!("mine"), json!("connection"))]);

    // The one before was sent.
    add_ordered_group(&place, "second", ["b", "mine"]).await;
    place.targets[1].will(Act::HangUp);
    let refused = ask("second").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let told = record(&place, header(&refused, "x-request-id").unwrap()).await;
    assert_eq!(ends(&told), [(json!("b"), json!("connection")), (json!("mine"), json!("connection"))]);
    assert!(told.cost() > 0 && told.settlement == "reserved", "b has read the input: {told:?}");

    // The one before could not be connected to: it is not the one whose breaker is open.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    add_provider(&place, "closed", &format!("http://{closed}/v1"), None).await;
    add_ordered_group(&place, "third", ["closed", "mine"]).await;
    let refused = ask("third").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let told = record(&place, header(&refused, "x-request-id").unwrap()).await;
    assert_eq!(ends(&told), [(json!("closed"), json!("connection")), (json!("mine"), json!("connection"))]);
    assert_eq!((told.cost(), told.settlement.as_str()), (0, "none"), "{told:?}");
}
