//! An OpenID provider that says exactly what a test gives it.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use latchkey_service::sign_in::oidc::Settings;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::browser::Browser;
use crate::support::{Answer, START_MS, Test};

const CLIENT: &str = "latchkey";

/// The running provider.
pub struct Scripted {
    pub issuer: String,
    says: Arc<Mutex<Says>>,
}

/// What it says of whoever signs in next.
#[derive(Default)]
struct Says {
    issuer: String,
    token: Value,
    userinfo: Value,
}

type Shared = State<Arc<Mutex<Says>>>;

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Says { issuer: issuer.clone(), ..Says::default() }));
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(async || Json(json!({ "keys": [jwk()] }))))
            .route("/token", post(tokens))
            .route("/userinfo", get(async |State(says): Shared| Json(says.lock().unwrap().userinfo.clone())))
            .with_state(Arc::clone(&says));
        tokio::spawn(async { axum::serve(listener, routes).await });
        Self { issuer, says }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            issuer: self.issuer.clone(),
            client_id: CLIENT.to_owned(),
            client_secret: None,
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            groups_claim: Some("groups".to_owned()),
            domains: Vec::new(),
            create_users: true,
            trust_email: false,
        }
    }

    /// Signs someone in of whom the ID token has these claims, and userinfo those.
    pub async fn sign_in(&self, test: &Test, token: Value, userinfo: Value) -> (Browser, Answer) {
        let (mut browser, to) = test.depart("/apps").await;
        let asked = |name| to.query_pairs().find(|(known, _)| known == name).unwrap().1.into_owned();
        let seconds = START_MS / 1000;
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": "s1", "nonce": asked("nonce"),
            "iat": seconds - 5, "exp": 4_000_000_000_u32,
        });
        claims.as_object_mut().unwrap().extend(token.as_object().unwrap().clone());
        let mut info = json!({ "sub": claims["sub"] });
        info.as_object_mut().unwrap().extend(userinfo.as_object().unwrap().clone());
        {
            let mut says = self.says.lock().unwrap();
            (says.token, says.userinfo) = (claims, info);
        }
        let path = format!("/auth/oidc/callback?code=c&state={}", asked("state"));
        let answer = test.visit(&browser, &path).await;
        browser.take_cookies(&answer);
        (browser, answer)
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "x": encode(key().verifying_key().to_bytes())})
}

async fn metadata(State(says): Shared) -> Json<Value> {
    let issuer = says.lock().unwrap().issuer.clone();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn tokens(State(says): Shared) -> Json<Value> {
    let claims = says.lock().unwrap().token.to_string();
    let signed = format!("{}.{}", encode(json!({"alg": "EdDSA", "kid": "k"}).to_string()), encode(claims));
    let signature = encode(key().sign(signed.as_bytes()).to_bytes());
    Json(json!({"access_token": "a", "token_type": "Bearer", "id_token": format!("{signed}.{signature}")}))
}
