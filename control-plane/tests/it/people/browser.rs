//! A browser, as far as the API sees one.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};

use crate::support::{Answer, Test};

pub const PASSWORD: &str = "correct horse battery";

/// Where a browser is, and what it holds.
#[derive(Clone, Debug)]
pub struct Browser {
    pub from: &'static str,
    pub cookie: Option<String>,
    pub csrf: Option<String>,
    pub headers: Vec<(&'static str, String)>,
}

impl Browser {
    pub fn at(from: &'static str) -> Self {
        Self { from, cookie: None, csrf: None, headers: Vec::new() }
    }

    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    pub async fn send(&self, test: &Test, method: &str, path: &str, body: Option<Value>) -> Answer {
        let mut request = test.request(method, path, body.as_ref());
        let headers = request.headers_mut();
        headers.remove("authorization");
        let own = [("cookie", &self.cookie), ("x-csrf-token", &self.csrf)];
        for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            headers.insert(name, value.parse().unwrap());
        }
        for (name, value) in &self.headers {
            headers.insert(*name, value.parse().unwrap());
        }
        let peer = SocketAddr::new(self.from.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        test.send(request).await
    }

    pub async fn get(&self, test: &Test, path: &str) -> Answer {
        self.send(test, "GET", path, None).await
    }

    pub async fn post(&self, test: &Test, path: &str, body: Value) -> Answer {
        self.send(test, "POST", path, Some(body)).await
    }

    /// Keeps the cookie and the CSRF token of an answer.
    pub fn signed_in(&mut self, answer: Answer) -> Value {
        let cookie = set_cookie(&answer.headers);
        let json = answer.expect(StatusCode::OK);
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        self.csrf = json["csrf_token"].as_str().map(str::to_owned);
        json
    }

    pub async fn try_sign_in(&self, test: &Test, email: &str, password: &str) -> Answer {
        self.post(test, "/auth/sign-in", json!({"email": email, "password": password})).await
    }

    /// A browser that signs in, with [`PASSWORD`].
    pub async fn sign_in(test: &Test, from: &'static str, email: &str) -> Self {
        let mut browser = Self::at(from);
        let answer = browser.try_sign_in(test, email, PASSWORD).await;
        browser.signed_in(answer);
        browser
    }
}

pub fn set_cookie(headers: &HeaderMap) -> String {
    headers.get("set-cookie").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

impl Test {
    /// A user who has [`PASSWORD`] and no session; gives their id.
    pub async fn local(&self, email: &str) -> String {
        let id = self.user(email).await;
        let link = self.act(&format!("/users/{id}/invite")).await.expect(StatusCode::CREATED);
        let mut browser = Browser::at("192.0.2.1");
        let body = json!({"token": link["token"], "password": PASSWORD});
        let answer = browser.post(self, "/auth/invitation", body).await;
        browser.signed_in(answer);
        browser.send(self, "POST", "/auth/sign-out", None).await.expect(StatusCode::NO_CONTENT);
        // So that no address is known.
        self.sql(&[format!("DELETE FROM sessions WHERE user_id = '{id}'")]).await;
        id
    }

    /// What the audit log has of these actions, oldest first: action, actor, address, subject and data.
    pub async fn audited(&self, prefix: &str) -> Vec<String> {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let sql = "SELECT action, actor_name, client_address, subject_name, data FROM audit
                   WHERE action LIKE $1 ORDER BY number";
        let rows = sqlx::query(sql).bind(format!("{prefix}%")).fetch_all(&mut connection).await.unwrap();
        let text = |row: &sqlx::any::AnyRow, column| row.get::<String, _>(column);
        rows.iter()
            .map(|row| {
                let columns = ["action", "actor_name", "client_address", "subject_name"];
                let words = columns.map(|column| text(row, column)).join(" ");
                let data: Value = serde_json::from_str(&text(row, "data")).unwrap();
                let reason = data["reason"].as_str().or(data["method"].as_str()).unwrap_or_default();
                format!("{words} {reason}").trim().to_owned()
            })
            .collect()
    }

    /// A table's texts and bytes, as one text.
    pub async fn dump(&self, table: &str) -> String {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"));
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        let column = |row: &sqlx::any::AnyRow, i: usize| {
            let text = row.try_get::<String, _>(i);
            text.or_else(|_| {
                row.try_get::<Vec<u8>, _>(i).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            })
        };
        let texts = rows.iter().flat_map(|row| (0..row.len()).filter_map(move |i| column(row, i).ok()));
        texts.collect::<Vec<_>>().join("\n")
    }
}
