//! A certified OpenID provider on this machine, and a browser that goes through its pages.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use axum::http::{Request, StatusCode, header};
use latchkey_service::outbound::Outbound;
use latchkey_service::sign_in::SignIn;
use latchkey_service::sign_in::oidc::{Oidc, Settings};
use url::Url;

use super::browser::Browser;
use crate::support::{Answer, Test};

const REDIRECT: &str = "http://127.0.0.1:8080/auth/oidc/callback";

/// The running provider; it ends with the test.
pub struct Provider {
    process: Child,
    // The provider ends when it cannot write.
    _output: BufReader<ChildStdout>,
    pub issuer: String,
}

impl Provider {
    pub fn start() -> Self {
        Self::start_at(0)
    }

    /// On this port, or, with 0, on a free one.
    pub fn start_at(port: u16) -> Self {
        let beside = concat!(env!("CARGO_TARGET_TMPDIR"), "/../oidc/server.mjs");
        let script = std::env::var("LATCHKEY_OIDC_PROVIDER").unwrap_or_else(|_| beside.to_owned());
        let mut process = Command::new("node")
            .args([&script, "latchkey", "client-secret", REDIRECT, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed: see tests/install.sh");
        let mut issuer = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut issuer).unwrap();
        assert!(!issuer.is_empty(), "{script} did not start: see tests/install.sh");
        Self { process, _output: output, issuer: issuer.trim().to_owned() }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            issuer: self.issuer.clone(),
            client_id: "latchkey".to_owned(),
            client_secret: Some("client-secret".into()),
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            groups_claim: Some("groups".to_owned()),
            domains: Vec::new(),
            create_users: true,
            trust_email: false,
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Test {
    pub fn use_provider(&mut self, settings: Settings) {
        let usual = SignIn::new("http://127.0.0.1:8080".parse().unwrap(), &self.world);
        let oidc = Some(Oidc::new(settings).unwrap());
        self.api.sign_in = Arc::new(SignIn { oidc, ..usual });
        self.renew_router();
    }

    /// Asks for a path outside the API.
    pub async fn visit(&self, browser: &Browser, path: &str) -> Answer {
        let mut request = Request::builder().uri(path);
        if let Some(cookie) = &browser.cookie {
            request = request.header("cookie", cookie);
        }
        self.send(request.body(axum::body::Body::empty()).unwrap()).await
    }

    /// A browser on its way to the provider, and where it was sent.
    pub async fn depart(&self, return_to: &str) -> (Browser, Url) {
        let answer =
            self.visit(&Browser::at("192.0.2.1"), &format!("/auth/oidc?return_to={return_to}")).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{:#}", answer.json);
        let mut browser = Browser::at("192.0.2.1");
        browser.take_cookies(&answer);
        (browser, answer.headers["location"].to_str().unwrap().parse().unwrap())
    }

    /// Signs in at the provider as `person`, and gives the path that it sends the browser back to.
    pub async fn return_path(&self, to: &Url, person: &str) -> String {
        let http = Outbound::new().unwrap();
        let (mut url, mut form, mut jar) = (to.clone(), None::<String>, Vec::<(String, String)>::new());
        for _ in 0..12 {
            let cookies =
                jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let request = Request::builder().uri(url.as_str()).header(header::COOKIE, cookies);
            let request = match form.take() {
                Some(form) => request
                    .method("POST")
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.into_bytes()),
                None => request.body(Vec::new()),
            };
            let response = http.send(request.unwrap()).await.unwrap();
            for line in response.headers().get_all(header::SET_COOKIE) {
                let pair = line.to_str().unwrap().split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                jar.retain(|(known, _)| known != name);
                jar.push((name.to_owned(), value.to_owned()));
            }
            if let Some(location) = response.headers().get(header::LOCATION) {
                url = url.join(location.to_str().unwrap()).unwrap();
                if url.as_str().starts_with(REDIRECT) {
                    return format!("{}?{}", url.path(), url.query().unwrap_or_default());
                }
                continue;
            }
            let page = String::from_utf8(response.into_body()).unwrap();
            let action = page.split("action=\"").nth(1).and_then(|rest| rest.split('"').next());
            url = url.join(action.unwrap_or_else(|| panic!("no form at {url}: {page}"))).unwrap();
            let fields: &[(&str, &str)] = if page.contains("name=\"login\"") {
                &[("prompt", "login"), ("login", person), ("password", "x")]
            } else {
                &[("prompt", "consent")]
            };
            form = Some(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish());
        }
        panic!("the provider does not send the browser back");
    }

    /// The whole way; gives the answer to the callback, with the browser as it is then.
    pub async fn sign_in_as(&self, person: &str) -> (Browser, Answer) {
        let (mut browser, to) = self.depart("/apps").await;
        let path = self.return_path(&to, person).await;
        let answer = self.visit(&browser, &path).await;
        browser.take_cookies(&answer);
        (browser, answer)
    }
}

impl Browser {
    /// Keeps what an answer sets.
    pub fn take_cookies(&mut self, answer: &Answer) {
        let lines = answer.headers.get_all("set-cookie").into_iter().map(|line| line.to_str().unwrap());
        let pairs = lines.map(|line| line.split(';').next().unwrap()).filter(|pair| !pair.ends_with('='));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        self.cookie = Some(cookies).filter(|cookies| !cookies.is_empty());
    }
}
