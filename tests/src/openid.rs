//! A certified OpenID provider, with pages to sign in on.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::stack::{Stack, artifacts};

const CLIENT: &str = "latchkey";
const SECRET: &str = "client-secret";

/// The running provider; it ends when it is dropped.
#[derive(Debug)]
pub struct OpenIdProvider {
    _process: Child,
    // It ends when it cannot write.
    _output: BufReader<ChildStdout>,
}

impl OpenIdProvider {
    /// Starts one by which people sign in to this system, whose control plane is started anew. Its claim
    /// `groups` fills smart groups.
    ///
    /// # Errors
    /// When it or the control plane does not start.
    pub async fn serve(stack: &mut Stack) -> anyhow::Result<Self> {
        let portal = stack.api().url().to_owned();
        let script = artifacts::openid_provider()?;
        let mut process = Command::new("node")
            .arg(&script)
            .args([CLIENT, SECRET, &format!("{portal}/auth/oidc/callback")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("running node")?;
        let mut output = BufReader::new(process.stdout.take().context("its output is piped")?);
        let mut issuer = String::new();
        output.read_line(&mut issuer).await?;
        ensure!(!issuer.is_empty(), "{} did not start", script.display());
        for (name, value) in [
            ("LATCHKEY_PUBLIC_URL", portal.as_str()),
            ("LATCHKEY_OIDC_ISSUER", issuer.trim()),
            ("LATCHKEY_OIDC_CLIENT_ID", CLIENT),
            ("LATCHKEY_OIDC_CLIENT_SECRET", SECRET),
            ("LATCHKEY_OIDC_GROUPS_CLAIM", "groups"),
        ] {
            stack.control_plane().set_variable(name, value);
        }
        stack.control_plane().restart().await?;
        Ok(Self { _process: process, _output: output })
    }
}
