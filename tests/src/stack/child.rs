//! A process that never outlives the one that started it.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::wait;

/// A running process and its log. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// The two places that a process writes to.
#[derive(Clone, Debug)]
pub struct Output {
    /// Standard output.
    pub out: PathBuf,
    /// Standard error.
    pub err: PathBuf,
}

impl Process {
    /// Starts `program`. Both logs are appended to.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        program: &Path,
        arguments: &[String],
        variables: &[(String, String)],
        output: &Output,
    ) -> anyhow::Result<Self> {
        // The kernel kills it when this process ends in a way that drops nothing. Its own process
        // group keeps a terminal's Ctrl-C from it: whoever started it stops it, in order.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value))).process_group(0);
        command.stdin(Stdio::null()).stdout(append(&output.out)?).stderr(append(&output.err)?);
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: output.err.clone() })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended, with the end of its log.
    ///
    /// # Errors
    /// As said.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended ({status})\n{}", self.name, super::end_of(&self.log));
        }
        Ok(())
    }

    /// Waits until `url` answers with a success.
    ///
    /// # Errors
    /// When it ends, or has not within the limit; then with the end of its log.
    pub async fn until_ready(
        &mut self,
        what: &str,
        client: &reqwest::Client,
        url: &str,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let ready = wait::until(what, limit, async || {
            let ready = client.get(url).send().await.is_ok_and(|answer| answer.status().is_success());
            Ok(match self.check() {
                Err(ended) => Some(Err(ended)),
                Ok(()) => ready.then_some(Ok(())),
            })
        });
        let outcome = ready.await;
        outcome.with_context(|| super::end_of(&self.log))?
    }

    /// Asks it to end, and waits until it has; after 10 seconds it is killed.
    ///
    /// # Errors
    /// When it did not end by itself.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let what = format!("{} to end", self.name);
        let child = &mut self.child;
        wait::until(&what, Duration::from_secs(10), async || Ok(child.try_wait()?)).await.map(drop)
    }

    /// Kills it.
    pub fn kill(self) {}

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process")?;
        Ok(kill_process(id, signal)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn append(path: &Path) -> anyhow::Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}
