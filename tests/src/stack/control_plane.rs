//! The control plane's process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::ensure;
use sqlx::Connection as _;
use tokio::process::Command;

use super::child::{Output, Process};
use super::port::Port;
use super::{artifacts, end_of, text};

const DATABASE: &str = "latchkey.db";

/// A control plane that can be stopped and started over the same data.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    http: Port,
    grpc: Port,
    variables: Vec<(String, String)>,
    descriptors: Option<u32>,
    process: Option<Process>,
}

impl ControlPlane {
    /// A control plane that keeps its data in `dir`, not yet started.
    #[must_use]
    pub fn new(dir: &Path, http: Port, grpc: Port) -> Self {
        let variables = [
            ("DATABASE_URL", format!("sqlite://{}", dir.join(DATABASE).display())),
            ("LATCHKEY_HTTP_ADDR", http.address().to_string()),
            ("LATCHKEY_GRPC_ADDR", grpc.address().to_string()),
            ("LATCHKEY_MASTER_KEY_FILE", dir.join("master.key").display().to_string()),
            // The sample provider and the MCP servers of tests run on this machine.
            ("LATCHKEY_UPSTREAM_ALLOW", "127.0.0.0/8,::1".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { dir: dir.to_path_buf(), http, grpc, variables, descriptors: None, process: None }
    }

    /// Lets it have at most so many file descriptors, from its next start on.
    pub fn limit_descriptors(&mut self, most: u32) {
        self.descriptors = Some(most);
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Changes its environment, from its next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The API's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http.address())
    }

    /// Where gateways connect to.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// Runs one of its commands, and tells what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub async fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(artifacts::control_plane()?)
            .args(arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "latchkey {} failed: {errors}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Creates a token: `owner`, `admin`, `auditor` or `gateway`, which any gateway may use.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn token(&self, name: &str, role: &str) -> anyhow::Result<String> {
        let any: &[&str] = if role == "gateway" { &["--gateway", "*"] } else { &[] };
        let token =
            self.command(&[&["token", "create", "--name", name, "--role", role], any].concat()).await?;
        ensure!(!token.is_empty() && !token.contains(char::is_whitespace), "no token was printed: {token}");
        Ok(token)
    }

    /// Starts it, and returns once it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready after 20 seconds.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let output = Output { out: self.log(), err: self.log() };
        // A file that may not grow is then an error of the one who writes it.
        let mut arguments = vec!["--ignore-signal=XFSZ".to_owned()];
        if let Some(most) = self.descriptors {
            arguments.extend(["prlimit".to_owned(), format!("--nofile={most}:{most}")]);
        }
        arguments.extend([text(&artifacts::control_plane()?), "serve".to_owned()]);
        let process =
            Process::start("control plane", Path::new("env"), &arguments, &self.variables, &output)?;
        let process = self.process.insert(process);
        let url = format!("http://{}/readyz", self.http.address());
        let client = reqwest::Client::new();
        process.until_ready("the control plane to be ready", &client, &url, Duration::from_secs(20)).await
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

    /// Runs a statement on its SQLite database, past all its rules.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn sql(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection =
            sqlx::SqliteConnection::connect(&format!("sqlite://{}", self.dir.join(DATABASE).display()))
                .await?;
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Copies its SQLite database to a backup, while it is stopped.
    ///
    /// # Errors
    /// When it runs, or the files cannot be copied.
    pub fn back_up(&self, name: &str) -> anyhow::Result<()> {
        self.copy_database(&self.dir, &self.dir.join(name))
    }

    /// Puts a backup in the place of its SQLite database, while it is stopped.
    ///
    /// # Errors
    /// When it runs, or the files cannot be copied.
    pub fn restore(&self, name: &str) -> anyhow::Result<()> {
        self.copy_database(&self.dir.join(name), &self.dir)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        end_of(&self.log())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("control-plane.log")
    }

    fn copy_database(&self, from: &Path, to: &Path) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the control plane must be stopped first");
        fs::create_dir_all(to)?;
        for file in [DATABASE, "latchkey.db-wal", "latchkey.db-shm"] {
            match fs::exists(from.join(file))? {
                true => drop(fs::copy(from.join(file), to.join(file))?),
                false if fs::exists(to.join(file))? => fs::remove_file(to.join(file))?,
                false => {}
            }
        }
        Ok(())
    }
}
