use latchkey_proto::discovery as wire;
use proptest::prelude::*;

use super::*;
use crate::discovery::replica::DiscoveryOutcome;
use crate::request::header::Header;
use crate::testing::{self, FixedWorld, TestMemory};
use crate::upstream::call::{McpCall, ModelCall, UpstreamCall};

mod external;
mod guardrails;
mod limits;
mod mcp;
mod mcp_tools;
mod prompts;
mod routing;

const CHAT: &str = "/v1/chat/completions";
const BODY: &[u8] = br#"{"model":"gpt-4o","messages":[]}"#;

/// A gateway that has received the usual snapshot and then `update`.
fn gateway(update: wire::DiscoveryResponse) -> TestMemory {
    let store = TestMemory::default();
    assert_eq!(testing::synced(&store).receive(update), DiscoveryOutcome::Applied);
    store
}

fn with_app(edit: impl FnOnce(&mut wire::AppPolicy)) -> TestMemory {
    let mut app = testing::app();
    edit(&mut app);
    gateway(wire::DiscoveryResponse { apps: vec![app], ..testing::increment() })
}

fn with_key(edit: impl FnOnce(&mut wire::KeyRecord)) -> TestMemory {
    let mut key = testing::app_key_record();
    edit(&mut key);
    gateway(wire::DiscoveryResponse { keys: vec![key], ..testing::increment() })
}

fn headers(method: &str, path: &str, extra: &[(&str, &str)]) -> Vec<Header> {
    [(":method", method), (":path", path), (":authority", "gateway")]
        .iter()
        .chain(extra)
        .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn run(store: &TestMemory, place: &FixedWorld, headers: &[Header], body: &[u8]) -> BodyDecision {
    let view = View::new(store);
    match admit(Headers(headers), &view, place) {
        HeadersDecision::Reply(reply) => BodyDecision::Reply(reply),
        HeadersDecision::NeedBody(admitted) => decide(&admitted, body, &view, place),
    }
}

fn decide(admitted: &Admitted, body: &[u8], view: &View<&TestMemory>, world: &FixedWorld) -> BodyDecision {
    admitted.decide(|| body.to_vec(), &Gate { view, world, has_room: true, patience: Patience::Whole })
}

fn ask(store: &TestMemory, key: &str, path: &str, body: &[u8]) -> BodyDecision {
    let bearer = format!("Bearer {key}");
    run(
        store,
        &FixedWorld::at(1000, "192.0.2.1"),
        &headers("POST", path, &[("authorization", &bearer)]),
        body,
    )
}

fn forwarded(outcome: BodyDecision) -> Forward {
    match outcome {
        BodyDecision::Forward(forward) => *forward,
        BodyDecision::Reply(reply) => panic!("{}", String::from_utf8_lossy(&reply.body)),
        other => panic!("{other:?}"),
    }
}

fn model_call(forward: &Forward) -> &ModelCall {
    match &forward.call {
        UpstreamCall::Model(call) => call,
        UpstreamCall::Mcp(call) => panic!("{call:?}"),
    }
}

fn denied(outcome: BodyDecision) -> Code {
    match outcome {
        BodyDecision::Reply(Reply { code: Some(code), .. }) => code,
        other => panic!("{other:?}"),
    }
}

fn chat(store: &TestMemory) -> BodyDecision {
    ask(store, testing::app_key().expose(), CHAT, BODY)
}

fn model(store: &TestMemory, path: &str, model: &str) -> BodyDecision {
    let body = format!("{{\"model\":\"{model}\"}}");
    ask(store, testing::app_key().expose(), path, body.as_bytes())
}

#[test]
fn a_good_key_reaches_the_provider() {
    let store = gateway(testing::increment());
    let forward = forwarded(chat(&store));
    assert_eq!(forward.path, "/v1/chat/completions");
    assert_eq!(forward.call.authority(), "openai.example");
    assert_eq!(forward.call.cluster(), "provider-openai");
    assert_eq!(forward.body, None);
    forwarded(ask(&store, testing::named_key().expose(), CHAT, BODY));
}

#[test]
fn the_address_is_not_asked_for_without_need() {
    let store = gateway(testing::increment());
    let place = FixedWorld::at(0, "192.0.2.1");
    let bearer = format!("Bearer {}", testing::app_key().expose());
    forwarded(run(&store, &place, &headers("POST", CHAT, &[("authorization", &bearer)]), BODY));
    assert!(!place.asked.get());
}

#[test]
fn a_gateway_without_a_snapshot_answers_503_to_whatever_key() {
    let store = TestMemory::default();
    assert_eq!(denied(chat(&store)), Code::SnapshotNotReady);
    assert_eq!(denied(ask(&store, "nonsense", CHAT, BODY)), Code::SnapshotNotReady);
}

#[test]
fn unknown_keys_are_refused_and_leave_no_trace() {
    let store = gateway(testing::increment());
    let entries = store.entries();
    let stranger = latchkey_proto::key::AppKey::new([9; 20]);
    assert_eq!(denied(ask(&store, stranger.expose(), CHAT, BODY)), Code::InvalidApiKey);
    assert_eq!(store.entries(), entries);
}

#[test]
fn keys_stop_by_status_expiry_and_rotation() {
    assert_eq!(denied(chat(&with_key(|key| key.status = 2))), Code::KeyInactive);
    assert_eq!(denied(chat(&with_key(|key| key.status = 3))), Code::KeyRevoked);
    assert_eq!(denied(chat(&with_key(|key| key.status = 4))), Code::KeySuspended);
    assert_eq!(denied(chat(&with_key(|key| key.expires_at_ms = 1000))), Code::KeyExpired);
    assert_eq!(denied(chat(&with_key(|key| key.retires_at_ms = 1000))), Code::KeyRotated);
    forwarded(chat(&with_key(|key| (key.expires_at_ms, key.retires_at_ms) = (1001, 1001))));
}

#[test]
fn a_replaced_secret_is_told_apart_while_it_works_and_afterwards() {
    let of = |edit: fn(&mut wire::KeyRecord)| {
        let (store, place) = (with_key(edit), FixedWorld::at(1000, "192.0.2.1"));
        let bearer = format!("Bearer {}", testing::app_key().expose());
        match admit(
            Headers(&headers("POST", CHAT, &[("authorization", &bearer)])),
            &View::new(&store),
            &place,
        ) {
            HeadersDecision::NeedBody(admitted) => admitted.attribution.old_secret,
            HeadersDecision::Reply(reply) => reply.attribution.unwrap().old_secret,
        }
    };
    assert!(!of(|_| {}));
    assert!(of(|key| key.retires_at_ms = 1001));
    assert!(of(|key| key.retires_at_ms = 1000));
}

#[test]
fn apps_stop_by_status_and_expiry() {
    assert_eq!(denied(chat(&with_app(|app| app.status = 2))), Code::AppInactive);
    assert_eq!(denied(chat(&with_app(|app| app.status = 3))), Code::AppRevoked);
    assert_eq!(denied(chat(&with_app(|app| app.expires_at_ms = 1000))), Code::AppExpired);
    let gone = wire::DiscoveryResponse { removed_apps: vec![testing::app().id], ..testing::increment() };
    assert_eq!(denied(chat(&gateway(gone))), Code::SnapshotNotReady);
}

#[test]
fn an_app_in_named_mode_takes_named_keys_only() {
    let store = with_app(|app| app.mode = 2);
    assert_eq!(denied(chat(&store)), Code::NamedKeyRequired);
    forwarded(ask(&store, testing::named_key().expose(), CHAT, BODY));
}

#[test]
fn an_address_outside_the_allow_list_is_refused() {
    let ranges = |ranges: &[&str]| {
        let ranges = ranges.iter().map(|range| (*range).to_owned()).collect();
        with_app(move |app| app.addresses = Some(wire::AddressList { ranges }))
    };
    forwarded(chat(&ranges(&["10.0.0.0/8", "192.0.2.0/24"])));
    assert_eq!(denied(chat(&ranges(&["10.0.0.0/8", "2001:db8::/32"]))), Code::IpNotAllowed);
    assert_eq!(denied(chat(&ranges(&[]))), Code::IpNotAllowed);
    let unknown = FixedWorld::at(0, "a pipe");
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer), ("x-forwarded-for", "10.0.0.1")]);
    assert_eq!(denied(run(&ranges(&["0.0.0.0/0"]), &unknown, &headers, BODY)), Code::IpNotAllowed);
}

/// A call with the app key and further headers.
fn call(store: &TestMemory, path: &str, extra: &[(&str, &str)]) -> BodyDecision {
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", path, &[&[("authorization", bearer.as_str())], extra].concat());
    run(store, &FixedWorld::at(1000, "192.0.2.1"), &headers, BODY)
}

#[test]
fn a_body_that_a_provider_might_decode_otherwise_is_refused() {
    let store = gateway(testing::increment());
    let sent = |extra: &[(&str, &str)]| matches!(call(&store, CHAT, extra), BodyDecision::Forward(_));
    assert!(sent(&[("content-type", "application/json; charset=utf-8")]));
    assert!(!sent(&[("content-type", "application/json; charset=utf-7")]));
    assert!(!sent(&[("content-encoding", "gzip")]));
}

#[test]
fn headers_of_the_user_and_the_conversation_never_reach_a_provider() {
    let claims =
        [("x-user-email", "a@acme.com"), ("x-user-token", "x"), ("x-conversation-id", "c"), ("x-app", "y")];
    let store = gateway(testing::increment());
    let forward = forwarded(call(&store, CHAT, &claims));
    let headers = headers("POST", CHAT, &claims);
    let removed: Vec<_> = forward
        .edits(Headers(&headers))
        .into_iter()
        .filter(|edit| edit.value.is_none())
        .map(|edit| edit.name)
        .collect();
    assert_eq!(removed, ["x-user-email", "x-user-token", "x-conversation-id"]);
}

#[test]
fn a_conversation_is_asked_for_where_the_app_wants_it() {
    let with = |store: &TestMemory, id: &str| call(store, CHAT, &[("x-conversation-id", id)]);
    let store = with_app(|app| app.conversation_required = true);
    assert_eq!(denied(call(&store, CHAT, &[])), Code::ConversationIdRequired);
    assert_eq!(denied(with(&store, "a b")), Code::InvalidConversationId);
    forwarded(with(&store, "chat-7"));
    let BodyDecision::Reply(list) = run(
        &store,
        &FixedWorld::at(1000, "192.0.2.1"),
        &headers("GET", "/v1/models", &[("x-api-key", testing::app_key().expose())]),
        b"",
    ) else {
        panic!("a list of models is answered");
    };
    assert_eq!(list.status, 200, "it is no part of a conversation");
    let store = gateway(testing::increment());
    forwarded(with(&store, "a b"));
}

#[test]
fn who_it_is_comes_after_the_address_and_before_the_body() {
    let identity = wire::Identity { header: true, enforce: true, ..wire::Identity::default() };
    let store = with_app(|app| app.identity = Some(identity.clone()));
    assert_eq!(denied(call(&store, CHAT, &[])), Code::IdentityRequired);
    let BodyDecision::Reply(list) = run(
        &store,
        &FixedWorld::at(1000, "192.0.2.1"),
        &headers("GET", "/v1/models", &[("x-api-key", testing::app_key().expose())]),
        b"",
    ) else {
        panic!("a list of models is answered");
    };
    assert_eq!(list.code, Some(Code::IdentityRequired), "it tells what the app may use");
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let claims = headers("POST", CHAT, &[("authorization", &bearer), ("x-user-email", "Al@acme.com")]);
    let BodyDecision::Reply(reply) = run(&store, &FixedWorld::at(1000, "192.0.2.1"), &claims, b"{}") else {
        panic!("no model is named");
    };
    assert_eq!(
        reply.attribution.unwrap().identity.email(),
        Some("al@acme.com"),
        "refusals are attributed too"
    );
    let store = with_app(|app| {
        app.identity = Some(identity);
        app.addresses = Some(wire::AddressList { ranges: vec!["10.0.0.0/8".into()] });
    });
    assert_eq!(denied(call(&store, CHAT, &[])), Code::IpNotAllowed);
}

#[test]
fn models_are_refused_by_the_first_rule_that_excludes_them() {
    let store = with_app(|app| app.models = Some(testing::only(&["gpt-*"])));
    forwarded(model(&store, CHAT, "gpt-4o"));
    assert_eq!(denied(model(&store, CHAT, "claude")), Code::ModelNotAllowed);
    assert_eq!(denied(model(&store, CHAT, "gpt-5")), Code::ModelNotFound);
    let store = with_app(|app| app.providers = Some(testing::only(&["azure"])));
    assert_eq!(denied(model(&store, CHAT, "claude")), Code::ProviderNotAllowed);
}

#[test]
fn the_first_allowed_provider_serves_under_its_own_name_for_the_model() {
    let store = with_app(|app| app.providers = Some(testing::only(&["azure"])));
    let forward = forwarded(ask(
        &store,
        testing::app_key().expose(),
        "/openai_compatible/embeddings?a=b&beta=true",
        BODY,
    ));
    assert_eq!(forward.path, "/openai/v1/embeddings?beta=true");
    assert_eq!(forward.body.as_deref(), Some(br#"{"model":"my-deployment","messages":[]}"#.as_slice()));
    assert_eq!(model_call(&forward).model, "gpt-4o");
}

#[test]
fn each_api_goes_to_a_provider_that_speaks_it() {
    let store = gateway(testing::increment());
    let messages = "/anthropic_messages/v1/messages";
    assert_eq!(forwarded(model(&store, messages, "claude")).path, "/v1/messages");
    assert_eq!(forwarded(model(&store, CHAT, "claude")).path, "/v1/chat/completions");
    assert_eq!(denied(model(&store, messages, "gpt-4o")), Code::EndpointNotSupported);
    assert_eq!(denied(model(&store, "/v1/embeddings", "claude")), Code::EndpointNotSupported);
}

#[test]
fn a_body_that_cannot_be_read_is_refused_after_the_key() {
    let store = gateway(testing::increment());
    let key = testing::app_key();
    assert_eq!(denied(ask(&store, key.expose(), CHAT, b"")), Code::InvalidJson);
    assert_eq!(denied(ask(&store, key.expose(), CHAT, b"{}")), Code::ModelRequired);
    let store = with_key(|key| key.status = 3);
    assert_eq!(denied(ask(&store, key.expose(), CHAT, b"")), Code::KeyRevoked);
}

/// Refused once the body is there, after `update` came in the meantime.
fn overtaken(update: wire::DiscoveryResponse) -> Code {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let view = View::new(&store);
    let place = FixedWorld::at(1000, "192.0.2.1");
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &place) else {
        panic!("answered")
    };
    assert_eq!(replica.receive(update), DiscoveryOutcome::Applied);
    // Longer after the headers than what they found is taken for the truth.
    denied(decide(&admitted, BODY, &view, &FixedWorld::at(1006, "192.0.2.1")))
}

#[test]
fn what_changes_while_a_body_is_on_its_way_counts() {
    let key = |edit: fn(&mut wire::KeyRecord)| {
        let mut key = testing::app_key_record();
        edit(&mut key);
        overtaken(wire::DiscoveryResponse { keys: vec![key], ..testing::increment() })
    };
    assert_eq!(key(|key| key.status = 3), Code::KeyRevoked);
    assert_eq!(key(|key| key.status = 2), Code::KeyInactive);
    assert_eq!(key(|key| key.expires_at_ms = 1000), Code::KeyExpired);
    let app = |edit: fn(&mut wire::AppPolicy)| {
        let mut app = testing::app();
        edit(&mut app);
        overtaken(wire::DiscoveryResponse { apps: vec![app], ..testing::increment() })
    };
    assert_eq!(app(|app| app.status = 3), Code::AppRevoked);
    assert_eq!(app(|app| app.mode = 2), Code::NamedKeyRequired);
    assert_eq!(app(|app| app.models = Some(testing::only(&["claude"]))), Code::ModelNotAllowed);
    let elsewhere = || Some(wire::AddressList { ranges: vec!["203.0.113.0/24".into()] });
    let mut moved = testing::app();
    moved.addresses = elsewhere();
    let moved = wire::DiscoveryResponse { apps: vec![moved], ..testing::increment() };
    assert_eq!(overtaken(moved), Code::IpNotAllowed);
    let removed_keys = vec![testing::app_key_record().hash];
    let gone = wire::DiscoveryResponse { removed_keys, ..testing::increment() };
    assert_eq!(overtaken(gone), Code::InvalidApiKey);
    let catalogue = Some(wire::Catalogue::default());
    let empty = wire::DiscoveryResponse { catalogue, ..testing::increment() };
    assert_eq!(overtaken(empty), Code::ModelNotFound);
}

#[test]
fn a_key_that_expires_while_the_body_is_on_its_way_is_refused() {
    let store = with_key(|key| key.expires_at_ms = 2000);
    let view = View::new(&store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let admission = admit(Headers(&headers), &view, &FixedWorld::at(1999, ""));
    let HeadersDecision::NeedBody(admitted) = admission else { panic!("answered") };
    forwarded(decide(&admitted, BODY, &view, &FixedWorld::at(1999, "")));
    assert_eq!(denied(decide(&admitted, BODY, &view, &FixedWorld::at(2005, ""))), Code::KeyExpired);
}

#[test]
fn a_key_in_the_query_is_refused_and_not_looked_up() {
    let store = gateway(testing::increment());
    let key = testing::app_key();
    for query in ["?key=sk-quilr-x", "?a=b&%73%6b-quilr%2dx=1", "?api_key=Bearer%20sk-quilr-"] {
        for path in [CHAT, "/anthropic_messages/v1/messages"] {
            let outcome = ask(&store, key.expose(), &format!("{path}{query}"), BODY);
            assert_eq!(denied(outcome), Code::KeyInQuery, "{path}{query}");
        }
    }
    forwarded(ask(&store, key.expose(), "/v1/chat/completions?a=sk-proj&b=%ff%", BODY));
}

#[test]
fn models_to_fall_back_on_are_refused() {
    let store = with_app(|app| app.models = Some(testing::only(&["gpt-4o"])));
    let body = br#"{"model":"gpt-4o","models":["claude"],"messages":[]}"#;
    let outcome = ask(&store, testing::app_key().expose(), CHAT, body);
    assert_eq!(denied(outcome), Code::ModelListNotSupported);
}

#[test]
fn a_form_may_name_its_model_too() {
    let store = gateway(testing::increment());
    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o\r\n--b--\r\n";
    let extra = [
        ("x-api-key", testing::app_key().expose().to_owned()),
        ("content-type", "multipart/form-data; boundary=b".to_owned()),
    ];
    let extra: Vec<_> = extra.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let at = |path| run(&store, &FixedWorld::at(0, ""), &headers("POST", path, &extra), form.as_bytes());
    assert_eq!(model_call(&forwarded(at("/v1/audio/transcriptions"))).model, "gpt-4o");
    assert_eq!(denied(at(CHAT)), Code::InvalidJson);
}

#[test]
fn models_are_listed_once_and_only_those_that_may_be_called() {
    let store = with_app(|app| app.providers = Some(testing::only(&["azure"])));
    let extra = [("api-key", testing::app_key().expose().to_owned())];
    let get = |path| {
        let extra: Vec<_> = extra.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&store, &FixedWorld::at(0, ""), &headers("GET", path, &extra), b"")
    };
    let BodyDecision::Reply(reply) = get("/v1/models") else { panic!("forwarded") };
    assert_eq!(reply.attribution.map(|by| by.app), Some(testing::APP));
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","created":7,"owned_by":"azure"}]}"#
    );
    let BodyDecision::Reply(reply) = get("/v1/models/gpt-4o") else { panic!("forwarded") };
    assert_eq!(reply.body, br#"{"id":"gpt-4o","object":"model","created":7,"owned_by":"azure"}"#);
    assert_eq!(denied(get("/v1/models/claude")), Code::ProviderNotAllowed);
    assert_eq!(denied(get("/v1/models/none")), Code::ModelNotFound);
}

#[test]
fn anthropics_clients_are_shown_what_speaks_their_api() {
    let extra = [("x-api-key", testing::app_key().expose().to_owned())];
    let get = |path: &str| {
        let extra: Vec<_> = extra.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(&with_app(|_| ()), &FixedWorld::at(0, ""), &headers("GET", path, &extra), b"")
    };
    let BodyDecision::Reply(reply) = get("/anthropic_messages/v1/models?limit=1000") else {
        panic!("forwarded")
    };
    assert_eq!((reply.status, reply.endpoint), (200, "models"));
    assert_eq!(
        String::from_utf8(reply.body).unwrap(),
        r#"{"data":[{"type":"model","id":"claude","display_name":"claude","created_at":"1970-01-01T00:00:07Z","max_input_tokens":null,"max_tokens":null}],"has_more":false,"first_id":"claude","last_id":"claude"}"#
    );
    let BodyDecision::Reply(reply) = get("/anthropic_messages/v1/models/claude") else { panic!("forwarded") };
    assert!(reply.status == 200 && reply.body.starts_with(br#"{"type":"model","id":"claude""#));
    assert_eq!(denied(get("/anthropic_messages/v1/models/gpt-4o")), Code::ModelNotFound);
    let BodyDecision::Reply(reply) = get("/anthropic_messages/v1/models/none") else { panic!("forwarded") };
    assert!(reply.status == 404 && reply.body.starts_with(br#"{"error":{"code":"model_not_found""#));
}

#[test]
fn denials_are_attributed_once_the_key_is_known() {
    let bearer = format!("Bearer {}", testing::named_key().expose());
    let store = with_app(|app| app.status = 2);
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let BodyDecision::Reply(reply) = run(&store, &FixedWorld::at(0, ""), &headers, BODY) else {
        panic!("forwarded")
    };
    let by = reply.attribution.unwrap();
    assert_eq!((by.app, by.user.map(|user| user.0)), (testing::APP, Some(testing::USER)));
}

#[test]
fn ready_once_a_snapshot_is_complete_and_the_sync_role_lives() {
    let ready = |store: &TestMemory, now| match run(
        store,
        &FixedWorld::at(now, ""),
        &headers("GET", "/latchkey/ready", &[]),
        b"",
    ) {
        BodyDecision::Reply(reply) => (reply.status, reply.code),
        other => panic!("{other:?}"),
    };
    let store = TestMemory::default();
    assert_eq!(ready(&store, 0), (503, Some(Code::SnapshotNotReady)));
    let replica = testing::synced(&store);
    assert_eq!(ready(&store, 0), (503, Some(Code::SyncStalled)));
    replica.beat(UnixMs(1000)).unwrap();
    assert_eq!(ready(&store, 10_999), (200, None));
    assert_eq!(ready(&store, 11_000), (503, Some(Code::SyncStalled)));
}

#[test]
fn credentials_and_our_own_headers_never_reach_the_provider() {
    let store = with_app(|app| app.providers = Some(testing::only(&["azure"])));
    let forward = forwarded(chat(&store));
    let extra = [
        ("authorization", "Bearer x"),
        ("x-api-key", "x"),
        ("x-api-key", "y"),
        ("cookie", "a=b"),
        ("x-latchkey-cluster", "other"),
        ("x-latchkey-user", "root"),
        ("openai-organization", "org-x"),
        ("openai-project", "proj_x"),
        ("x-forwarded-authorization", "Bearer sk-quilr-x"),
        ("user-agent", "1"),
        ("content-length", "32"),
        ("content-type", "application/json"),
    ];
    let headers = headers("POST", CHAT, &extra);
    let edits: Vec<_> = forward
        .edits(Headers(&headers))
        .into_iter()
        .map(|edit| (edit.name.into_owned(), edit.value.map(String::from)))
        .collect();
    let edits: Vec<_> = edits.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let set = |value: &str| Some(value.to_owned());
    assert_eq!(
        edits,
        [
            (":path", set("/openai/v1/chat/completions")),
            (":authority", set("azure.example")),
            ("x-latchkey-cluster", set("provider-azure")),
            ("content-length", set("39")),
            ("authorization", None),
            ("x-api-key", None),
            ("cookie", None),
            ("x-latchkey-user", None),
            ("openai-organization", None),
            ("openai-project", None),
            ("x-forwarded-authorization", None),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn nothing_is_forwarded_without_a_key(pairs in prop::collection::vec(("authorization|x-api-key|api-key|x-user-email|[a-z-]{1,8}", "(Bearer )?(sk-quilr-)?[ -~]{0,50}"), 0..5), path in "/(v1|openai_compatible)/(chat/completions|models|models/gpt-4o)", method in "GET|POST", body: Vec<u8>) {
        let store = gateway(testing::increment());
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let outcome = run(&store, &FixedWorld::at(0, ""), &headers(&method, &path, &pairs), &body);
        prop_assert!(matches!(denied(outcome).status(), 401 | 405));
    }

    #[test]
    fn no_body_panics(body: Vec<u8>) {
        let store = gateway(testing::increment());
        let _ = ask(&store, testing::app_key().expose(), CHAT, &body);
    }
}
