//! A real SMTP server, which tells what it received.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stack::artifacts;

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Value>>>,
    process: Child,
}

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions<'a> {
    /// At which port it listens: any by default.
    pub port: Option<u16>,
    /// How the next emails are answered: with a reply, or by `die` or `hang`; those after them are taken.
    pub answers: &'a [&'a str],
    /// Its certificate and key, by which it offers STARTTLS.
    pub certificate: Option<(&'a str, &'a str)>,
    /// Whether it speaks TLS from the beginning instead.
    pub implicit_tls: bool,
    /// By which the user `latchkey` must sign in.
    pub password: Option<&'a str>,
}

impl SmtpServer {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(options: SmtpOptions<'_>) -> anyhow::Result<Self> {
        let SmtpOptions { port, answers, certificate, implicit_tls, password } = options;
        let script = artifacts::root().join("tests/mail/server.py");
        let mut command = Command::new(artifacts::python()?);
        command.arg(&script).env("PYTHONDONTWRITEBYTECODE", "1").env("ANSWERS", json!(answers).to_string());
        command.envs(port.map(|port| ("PORT", port.to_string())));
        command.envs(password.map(|password| ("PASSWORD", password)));
        command.envs(implicit_tls.then_some(("IMPLICIT_TLS", "1")));
        if let Some((certificate, key)) = certificate {
            command.env("CERT", certificate).env("KEY", key);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("running {}", script.display()))?;
        let mut lines = BufReader::new(process.stdout.take().context("its output is piped")?).lines();
        let address = lines.next_line().await?;
        ensure!(address.is_some(), "{} did not start", script.display());
        let address: String = serde_json::from_str(&address.unwrap_or_default())?;
        let received: Arc<Mutex<Vec<Value>>> = Arc::default();
        let told = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let (Ok(mail), Ok(mut received)) = (serde_json::from_str(&line), told.lock()) {
                    received.push(mail);
                }
            }
        });
        Ok(Self { address: address.parse()?, received, process })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it received, taken or not, in its order: the JSON that `tests/mail/server.py` prints.
    #[must_use]
    pub fn received(&self) -> Vec<Value> {
        self.received.lock().map(|received| received.clone()).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When that cannot be told.
    pub async fn until_ended(&mut self) -> anyhow::Result<()> {
        self.process.wait().await.map(drop).context("waiting for the SMTP server")
    }
}
