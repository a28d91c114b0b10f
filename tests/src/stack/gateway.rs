//! An Envoy with the filter.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Client, Method, RequestBuilder};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::answer::Answer;
use super::child::{Output, Process};
use super::port::Port;
use super::{artifacts, end_of, text, wait};
use crate::python;

/// What an Envoy is started with.
#[derive(Clone, Debug)]
pub struct Options {
    name: String,
    control_plane: SocketAddr,
    token: String,
    concurrency: u32,
    trusted_hops: u32,
    flood_limit: u32,
    config: Option<PathBuf>,
    filter: Option<PathBuf>,
    port: Option<u16>,
    cors_origins: String,
}

impl Options {
    /// An Envoy with one worker and no trusted proxy in front.
    #[must_use]
    pub fn new(name: &str, control_plane: SocketAddr, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            control_plane,
            token: token.to_owned(),
            concurrency: 1,
            trusted_hops: 0,
            flood_limit: 1_000_000,
            config: None,
            filter: None,
            port: None,
            cors_origins: "none".to_owned(),
        }
    }

    /// Another token for the control plane.
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.token = token.to_owned();
        self
    }

    /// Another control plane.
    #[must_use]
    pub fn control_plane(mut self, address: SocketAddr) -> Self {
        self.control_plane = address;
        self
    }

    /// This many workers.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// As many proxies in front are trusted to name the client.
    #[must_use]
    pub fn trusted_hops(mut self, hops: u32) -> Self {
        self.trusted_hops = hops;
        self
    }

    /// At most this many requests per second, over all keys.
    #[must_use]
    pub fn flood_limit(mut self, per_second: u32) -> Self {
        self.flood_limit = per_second;
        self
    }

    /// A configuration other than `envoy/envoy.yaml`, with the same placeholders.
    #[must_use]
    pub fn config(mut self, path: &Path) -> Self {
        self.config = Some(path.to_path_buf());
        self
    }

    /// Another build of the filter.
    #[must_use]
    pub fn filter(mut self, path: &Path) -> Self {
        self.filter = Some(path.to_path_buf());
        self
    }

    /// A fixed port for requests.
    #[must_use]
    pub fn port(mut self, requests: u16) -> Self {
        self.port = Some(requests);
        self
    }

    /// A regular expression of the origins whose pages may read answers.
    #[must_use]
    pub fn cors_origins(mut self, origins: &str) -> Self {
        origins.clone_into(&mut self.cors_origins);
        self
    }
}

/// An Envoy that can be stopped and started under the same name and on the same port.
#[derive(Debug)]
pub struct Gateway {
    options: Options,
    dir: PathBuf,
    requests: Port,
    process: Option<Process>,
    client: Client,
    /// Speaks to Envoy's admin interface, on a socket in `dir`.
    admin: Client,
}

/// Where Envoy's admin interface listens, in a gateway's folder.
const ADMIN_SOCKET: &str = "admin.sock";

impl Gateway {
    /// A gateway that keeps its files in a folder of `dir`, not yet started.
    ///
    /// # Errors
    /// When the folder cannot be written, or no port is free.
    pub fn new(dir: &Path, options: Options) -> anyhow::Result<Self> {
        let dir = dir.join(&options.name);
        fs::create_dir_all(&dir)?;
        let requests = options.port.map_or_else(Port::free, |port| Ok(Port::fixed(port)))?;
        let admin = Client::builder().unix_socket(dir.join(ADMIN_SOCKET)).build()?;
        Ok(Self { options, dir, requests, process: None, client: Client::new(), admin })
    }

    /// Its node id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.requests.address())
    }

    /// The same, for a socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.requests.address()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Whether it was started and not stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it, and returns once it listens. What it knows by then depends on the control plane.
    ///
    /// # Errors
    /// When it ends, or does not listen after 30 seconds.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let config = self.write_config()?;
        let arguments = [
            ["--config-path", &text(&config)],
            ["--service-node", &self.options.name],
            ["--concurrency", &self.options.concurrency.to_string()],
            ["--file-flush-interval-msec", "50"],
            ["--log-level", "info"],
        ];
        let mut arguments = arguments.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        arguments.push("--use-dynamic-base-id".to_owned());
        let output = Output { out: self.dir.join("access.log"), err: self.dir.join("envoy.log") };
        let process = Process::start(&self.options.name, &artifacts::envoy()?, &arguments, &[], &output)?;
        let process = self.process.insert(process);

        let what = format!("{} to listen", self.options.name);
        process.until_ready(&what, &self.admin, "http://envoy/ready", Duration::from_secs(90)).await
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Freezes it: it answers nothing and applies nothing until [`Gateway::resume`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("it does not run")?.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.as_ref().context("it does not run")?.signal(Signal::CONT)
    }

    /// Stops and starts it.
    ///
    /// # Errors
    /// When it does not stop or does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Fails when it has ended without being asked to.
    ///
    /// # Errors
    /// As said.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// A request to be shaped further.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url() + path)
    }

    /// Sends JSON with a key.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        Answer::read(self.request(Method::POST, path).bearer_auth(key).json(body).send().await?).await
    }

    /// Reads with a key.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn get(&self, path: &str, key: &str) -> anyhow::Result<Answer> {
        Answer::read(self.request(Method::GET, path).bearer_auth(key).send().await?).await
    }

    /// A chat completion.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn chat(&self, key: &str, body: Value) -> anyhow::Result<Answer> {
        self.post("/v1/chat/completions", key, &body).await
    }

    /// The plainest chat completion.
    ///
    /// # Errors
    /// When there is no answer; a refusal is one.
    pub async fn hello(&self, key: &str) -> anyhow::Result<Answer> {
        self.chat(
            key,
            json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] }),
        )
        .await
    }

    /// Says hello with a key until the answer has this status.
    ///
    /// # Errors
    /// When it has not, after 10 seconds; then with the last answer.
    pub async fn until_status(&self, key: &str, status: u16) -> anyhow::Result<Answer> {
        let what = format!("{} to answer {status}", self.name());
        wait::until(&what, Duration::from_secs(10), async || {
            let answer = self.hello(key).await?;
            ensure!(answer.status == status, "it answered {}: {}", answer.status, answer.text);
            Ok(Some(answer))
        })
        .await
    }

    /// Runs a script of `tests/sdk` against this gateway.
    ///
    /// # Errors
    /// When the script fails.
    pub async fn sdk(&self, script: &str, key: &str, variables: &[(&str, &str)]) -> anyhow::Result<Value> {
        let base = self.url() + "/v1";
        let anthropic = self.url() + "/anthropic_messages";
        let own = [
            ("OPENAI_BASE_URL", base.as_str()),
            ("OPENAI_API_KEY", key),
            ("ANTHROPIC_BASE_URL", &anthropic),
            ("ANTHROPIC_API_KEY", key),
        ];
        python::run(&format!("sdk/{script}"), &[&own, variables].concat()).await
    }

    /// What Envoy's admin interface says at a path.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn admin(&self, path: &str) -> anyhow::Result<Answer> {
        Answer::read(self.admin.get(format!("http://envoy{path}")).send().await?).await
    }

    /// Sets how much Envoy logs of a component (`wasm`, …) from now on: `trace`, `info`, …
    ///
    /// # Errors
    /// When it refuses.
    pub async fn set_log_level(&self, component: &str, level: &str) -> anyhow::Result<()> {
        let url = format!("http://envoy/logging?{component}={level}");
        self.admin.post(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Envoy's own log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.dir.join("envoy.log"))?)
    }

    /// A counter or a gauge of Envoy's; 0 when it has none of that name.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let stats = self.admin("/stats?format=json").await?.ok()?;
        let all = stats["stats"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(all.iter().find(|stat| stat["name"] == name).and_then(|stat| stat["value"].as_u64()).unwrap_or(0))
    }

    /// How many clusters it has from the control plane.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn provider_clusters(&self) -> anyhow::Result<usize> {
        let dump = self.admin("/config_dump?resource=dynamic_active_clusters").await?.ok()?;
        Ok(dump["configs"].as_array().map_or(0, Vec::len))
    }

    /// The access log so far.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of the access log.
    ///
    /// # Errors
    /// When there is none after 10 seconds.
    pub async fn until_logged(&self, mut wanted: impl FnMut(&Value) -> bool) -> anyhow::Result<Value> {
        let what = format!("a line in the access log of {}", self.name());
        wait::until(&what, Duration::from_secs(10), async || {
            Ok(self.access_log().into_iter().find(|line| wanted(line)))
        })
        .await
    }

    /// The ends of its logs.
    #[must_use]
    pub fn log_end(&self) -> String {
        [end_of(&self.dir.join("envoy.log")), end_of(&self.dir.join("access.log"))].join("\n")
    }

    fn write_config(&self) -> anyhow::Result<PathBuf> {
        let token = self.dir.join("token");
        let mut file =
            fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&token)?;
        file.write_all(self.options.token.as_bytes())?;
        let template =
            self.options.config.clone().unwrap_or_else(|| artifacts::root().join("envoy/envoy.yaml"));
        let template =
            fs::read_to_string(&template).with_context(|| format!("reading {}", template.display()))?;
        let config = self.dir.join("envoy.yaml");
        let control_plane = self.options.control_plane;
        let filter = self.options.filter.clone().map_or_else(artifacts::filter, Ok)?;
        let filled = fill(
            &template,
            &[
                ("LISTEN_ADDRESS", self.requests.address().ip().to_string()),
                ("LISTEN_PORT", self.requests.number().to_string()),
                ("ADMIN_SOCKET", text(&self.dir.join(ADMIN_SOCKET))),
                ("CORS_ORIGINS", self.options.cors_origins.clone()),
                ("TRUSTED_HOPS", self.options.trusted_hops.to_string()),
                ("FLOOD_LIMIT", self.options.flood_limit.to_string()),
                ("FILTER_WASM", text(&filter)),
                ("CONTROL_PLANE_HOST", control_plane.ip().to_string()),
                ("CONTROL_PLANE_PORT", control_plane.port().to_string()),
                ("TOKEN_FILE", text(&token)),
            ],
        )?;
        fs::write(&config, filled)?;
        Ok(config)
    }
}

/// The template with a value for each `${NAME}`.
fn fill(template: &str, values: &[(&str, String)]) -> anyhow::Result<String> {
    let filled = values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    if let Some((_, rest)) = filled.split_once("${") {
        let name = rest.split('}').next().unwrap_or_default();
        anyhow::bail!("envoy's configuration has a placeholder without a value: {name}");
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn every_placeholder_needs_a_value() {
        assert_eq!(fill("port: ${PORT}", &[("PORT", "1".to_owned())]).ok().as_deref(), Some("port: 1"));
        let error = fill("${PORT} ${HOST}", &[("PORT", "1".to_owned())]).unwrap_err();
        assert_eq!(error.to_string(), "envoy's configuration has a placeholder without a value: HOST");
    }
}
