//! Coding agents as people run them, with their sign-in, telemetry and updates off. Nothing of theirs
//! reaches the Internet: whatever is not on this machine goes to a proxy that does not exist.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::stack::artifacts;
use crate::stack::gateway::Gateway;

/// How long an agent may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an agent has said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended well.
    pub success: bool,
    /// Its answer.
    pub output: String,
    /// What it reported beside it.
    pub errors: String,
}

/// An agent's own home, and where it works.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
}

impl Home {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("latchkey-agent-").tempdir()?;
        fs::create_dir(dir.path().join("work"))?;
        Ok(Self { dir })
    }

    /// Asks Codex with these settings beside those of its `config.toml`.
    ///
    /// # Errors
    /// When it does not run, or not end.
    pub async fn codex(
        &self,
        gateway: &Gateway,
        key: &str,
        model: &str,
        settings: &[&str],
        prompt: &str,
    ) -> anyhow::Result<Said> {
        let url = gateway.url();
        let config = format!(
            r#"model = "{model}"
model_provider = "latchkey"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.latchkey]
name = "Latchkey"
base_url = "{url}/v1"
env_key = "LATCHKEY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"#
        );
        fs::write(self.dir.path().join("config.toml"), config)?;
        let mut command = self.command("codex")?;
        command.arg("exec").args(settings.iter().flat_map(|setting| ["-c", setting]));
        command.args(["--skip-git-repo-check", prompt]);
        command.env("CODEX_HOME", self.dir.path()).env("LATCHKEY_KEY", key);
        run(command).await
    }

    /// Asks Claude Code.
    ///
    /// # Errors
    /// When it does not run, or not end.
    pub async fn claude(
        &self,
        gateway: &Gateway,
        key: &str,
        model: &str,
        prompt: &str,
    ) -> anyhow::Result<Said> {
        let mut command = self.command("claude")?;
        command.args(["-p", prompt]);
        command
            .env("ANTHROPIC_BASE_URL", gateway.url() + "/anthropic_messages")
            .env("ANTHROPIC_AUTH_TOKEN", key);
        for name in ["ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL"] {
            command.env(name, model);
        }
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_ERROR_REPORTING",
            "DISABLE_TELEMETRY",
        ] {
            command.env(name, "1");
        }
        run(command).await
    }

    /// A command in an environment of its own.
    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let path = artifacts::agents()?.join(name);
        if !path.exists() {
            bail!("{} is not there: run `make install`", path.display());
        }
        let mut command = Command::new(path);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).current_dir(work(self.dir.path()));
        command.env("NO_PROXY", "127.0.0.1,localhost").env("HTTPS_PROXY", "http://127.0.0.1:9");
        Ok(command)
    }
}

fn work(home: &Path) -> std::path::PathBuf {
    home.join("work")
}

async fn run(mut command: Command) -> anyhow::Result<Said> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output());
    let output = output.await.context("an agent does not end")?.context("running an agent")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { success: output.status.success(), output: text(&output.stdout), errors: text(&output.stderr) })
}
