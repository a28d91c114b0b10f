//! How long the portal's pages take, and what they weigh, where much was done.

mod company;

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use latchkey_tests::stack::Stack;
use reqwest::{Client, header};
use serde_json::json;

use crate::report::Report;
use crate::statistics::{median, percentile};
use company::{PASSWORD, Visitor};

const MOST_MS: f64 = 50.0;
const MOST_BYTES: f64 = 100_000.0;

/// How often each page is asked for.
const REQUESTS: usize = 20;

/// Follows all links, and times one page of each kind: as an owner, and as a user of some apps.
pub async fn measure(apps: u64, records: u64) -> anyhow::Result<Report> {
    let mut stack = Stack::builder().gateways(0).start().await?;
    let visitors = company::fill(&mut stack, apps, records).await?;
    let mut report =
        Report::new("Pages of the portal, on SQLite: half of the requests, 99 % of them, and the weight");
    report.note("apps", apps.to_string());
    report.note("records", records.to_string());
    for visitor in visitors {
        let browser = Browser::open(&stack, &visitor).await?;
        for (kind, page) in browser.walk(visitor.starts).await? {
            let title = format!("{}: {kind}", visitor.name);
            let times = || page.times_ms.iter().copied();
            let whole = format!(
                "{:.1} ms, {:.1} ms, {:.0} kB",
                median(times()),
                percentile(times(), 99),
                page.bytes / 1e3
            );
            let worst = f64::max(percentile(times(), 99) / MOST_MS, page.bytes / MOST_BYTES);
            report.at_most(&title, worst, 1.0, |share| {
                if share == 1.0 { "50 ms, 100 kB".to_owned() } else { whole.clone() }
            });
        }
    }
    Ok(report)
}

/// Somebody who has signed in.
struct Browser {
    url: String,
    cookie: String,
    client: Client,
}

/// A page that was looked at.
struct Page {
    times_ms: Vec<f64>,
    /// With all that it needs.
    bytes: f64,
    links: Vec<String>,
}

impl Browser {
    async fn open(stack: &Stack, visitor: &Visitor) -> anyhow::Result<Self> {
        let url = stack.api().url().to_owned();
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let request = client.post(format!("{url}/api/v1/auth/sign-in")).header(header::ORIGIN, &url);
        let answer = request.json(&json!({ "email": visitor.email, "password": PASSWORD })).send().await?;
        let answer = answer.error_for_status()?;
        let cookie =
            answer.headers().get(header::SET_COOKIE).context("signing in sets a cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { url, cookie, client })
    }

    /// Each kind of page, with the first page of it that is found.
    async fn walk(&self, starts: &[&str]) -> anyhow::Result<Vec<(String, Page)>> {
        let mut waiting: VecDeque<_> = starts.iter().map(|path| (*path).to_owned()).collect();
        let (mut known, mut found) = (BTreeSet::new(), vec![]);
        while let Some(path) = waiting.pop_front() {
            let kind = kind(&path);
            if !known.insert(kind.clone()) {
                continue;
            }
            let Some(page) = self.look(&path).await.with_context(|| path.clone())? else { continue };
            waiting.extend(page.links.iter().cloned());
            found.push((kind, page));
        }
        ensure!(found.len() > 1, "no page links to another");
        Ok(found)
    }

    /// The page at a path, unless there is something else.
    async fn look(&self, path: &str) -> anyhow::Result<Option<Page>> {
        let Some(html) = self.page(path).await? else { return Ok(None) };
        let mut times_ms = vec![];
        for _ in 0..REQUESTS {
            let begun = Instant::now();
            self.page(path).await?;
            times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let (parts, links) =
            targets(&html).into_iter().partition::<Vec<_>, _>(|path| path.starts_with("/assets/"));
        let mut bytes = html.len();
        for part in parts {
            bytes += self.client.get(self.url.clone() + &part).send().await?.bytes().await?.len();
        }
        Ok(Some(Page { times_ms, bytes: bytes as f64, links }))
    }

    async fn page(&self, path: &str) -> anyhow::Result<Option<String>> {
        let request = self.client.get(self.url.clone() + path).header(header::COOKIE, &self.cookie);
        let answer = request.send().await?;
        ensure!(answer.status().as_u16() < 400, "it answers {}", answer.status());
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
        let text = answer.text().await?;
        Ok(is_page.then_some(text))
    }
}

/// The same for all pages that one handler makes in one way: ids are `*`, and queries only names, but for
/// what a list is made by.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id =
        |part: &str| part.len() == 36 || (!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let parts = path.split('/').map(|part| if is_id(part) { "*" } else { part });
    let names = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name != "by" => name,
        _ => pair,
    });
    let names = names.filter(|name| !name.is_empty());
    let query = names.collect::<BTreeSet<_>>().into_iter().map(|name| format!("?{name}")).collect::<String>();
    parts.collect::<Vec<_>>().join("/") + &query
}

/// What of this site an HTML page links to or loads, each once.
fn targets(html: &str) -> BTreeSet<String> {
    let values = ["href=\"", "src=\""].map(|attribute| html.split(attribute).skip(1));
    let values = values.into_iter().flatten().filter_map(|rest| rest.split(['"', '#']).next());
    values
        .filter(|value| value.starts_with('/'))
        .map(|value| value.replace("&amp;", "&").replace("&#38;", "&"))
        .collect()
}
