//! Somebody at a browser without a script: who follows links, fills forms, and presses buttons.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use http_body_util::BodyExt as _;
use scraper::{ElementRef, Html, Selector};
use tower::ServiceExt as _;
use url::form_urlencoded::Serializer;

use crate::people::browser::{Browser, PASSWORD};
use crate::support::Test;

/// Somebody, and the cookies that they hold.
pub struct Visitor<'a> {
    test: &'a Test,
    pub cookies: Vec<(String, String)>,
}

/// What a browser shows.
pub struct Shown {
    pub status: u16,
    /// The path and query at which it was found, after redirects.
    pub at: String,
    pub text: String,
    pub headers: axum::http::HeaderMap,
}

impl<'a> Visitor<'a> {
    /// Nobody yet.
    pub fn new(test: &'a Test) -> Self {
        Self { test, cookies: Vec::new() }
    }

    /// Somebody who has signed in; there must be no such user yet.
    pub async fn signed_in(test: &'a Test, email: &str) -> Self {
        test.local(email).await;
        Self::again(test, email).await
    }

    /// Somebody who was here before.
    pub async fn again(test: &'a Test, email: &str) -> Self {
        let browser = Browser::sign_in(test, "192.0.2.1", email).await;
        let (name, value) = browser.cookie.as_ref().unwrap().split_once('=').unwrap();
        Self { test, cookies: vec![(name.to_owned(), value.to_owned())] }
    }

    /// An owner, who is `boss@acme.com`.
    pub async fn owner(test: &'a Test) -> Self {
        Self::with_role(test, "boss@acme.com", "owner").await
    }

    /// Somebody with this role.
    pub async fn with_role(test: &'a Test, email: &str, role: &str) -> Self {
        let id = test.local(email).await;
        let edit = serde_json::json!({ "role": role });
        test.patch(&format!("/users/{id}"), edit).await.expect(axum::http::StatusCode::OK);
        Self::again(test, email).await
    }

    /// Opens a page, and goes where it leads.
    pub async fn open(&mut self, path: &str) -> Shown {
        let mut shown = self.send("GET", path, None).await;
        for _ in 0..5 {
            let Some(to) = shown.headers.get("location").map(|to| to.to_str().unwrap().to_owned()) else {
                break;
            };
            shown = self.send("GET", &to, None).await;
        }
        shown
    }

    /// Fills the form that posts to `action` on this page, and sends it: what it holds already stays, unless
    /// it is named here.
    pub async fn submit(&mut self, page: &Shown, action: &str, fields: &[(&str, &str)]) -> Shown {
        let mut filled = page.form(action);
        for (name, value) in fields {
            filled.retain(|(own, _)| own != name);
            filled.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.post(action, &filled).await
    }

    /// Sends a form as it is.
    pub async fn post(&mut self, path: &str, fields: &[(String, String)]) -> Shown {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let shown = self.send("POST", path, Some(body)).await;
        match shown.headers.get("location").map(|to| to.to_str().unwrap().to_owned()) {
            Some(to) => self.open(&to).await,
            None => shown,
        }
    }

    /// Asks with an empty form but for these fields, and tells the status.
    pub async fn ask(&mut self, method: &str, path: &str, fields: &[(String, String)]) -> u16 {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(method, path, Some(body).filter(|_| method == "POST")).await.status
    }

    pub async fn send(&mut self, method: &str, path: &str, body: Option<String>) -> Shown {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:8080")
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookies.join("; "))
            .body(Body::from(body.unwrap_or_default()))
            .unwrap();
        let peer = SocketAddr::new("192.0.2.1".parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.test.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(own, _)| own != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Shown { status: parts.status.as_u16(), at: path.to_owned(), text, headers: parts.headers }
    }
}

impl Shown {
    /// The texts of the elements that a CSS selector finds, with single blanks.
    pub fn all(&self, selector: &str) -> Vec<String> {
        let html = Html::parse_document(&self.text);
        html.select(&Selector::parse(selector).unwrap()).map(|element| words(&element)).collect()
    }

    /// The text of the page itself.
    pub fn main(&self) -> String {
        self.all("main").join(" ")
    }

    /// An attribute of the first element that a CSS selector finds.
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let html = Html::parse_document(&self.text);
        let found = html.select(&Selector::parse(selector).unwrap()).next()?;
        found.value().attr(name).map(str::to_owned)
    }

    /// What the form that posts to `action` would send as it stands.
    pub fn form(&self, action: &str) -> Vec<(String, String)> {
        let html = Html::parse_document(&self.text);
        let form = Selector::parse(&format!("form[method=post][action='{action}']")).unwrap();
        let form = html.select(&form).next().unwrap_or_else(|| panic!("no form for {action}: {}", self.text));
        let fields = Selector::parse("input[name], textarea[name], select[name]").unwrap();
        let attribute = |field: &ElementRef<'_>, name| field.value().attr(name).map(str::to_owned);
        form.select(&fields)
            .filter_map(|field| {
                let value = match (field.value().name(), field.value().attr("type")) {
                    ("textarea", _) => Some(field.text().collect()),
                    ("select", _) => {
                        let options = Selector::parse("option").unwrap();
                        let chosen =
                            field.select(&options).find(|one| one.value().attr("selected").is_some());
                        chosen.or(field.select(&options).next()).and_then(|one| attribute(&one, "value"))
                    }
                    (_, Some("checkbox" | "radio")) => {
                        field.value().attr("checked").and(attribute(&field, "value"))
                    }
                    _ => Some(attribute(&field, "value").unwrap_or_default()),
                };
                Some((attribute(&field, "name")?, value?))
            })
            .collect()
    }
}

/// The password of everyone who signs in here.
pub const TYPED: &str = PASSWORD;

fn words(element: &ElementRef<'_>) -> String {
    element.text().flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}
