//! The sample provider as a process of its own.

use std::net::SocketAddr;

use clap::Parser;
use latchkey_tests::provider::Provider;

/// A provider that behaves like OpenAI, for trying things out and for tests.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, env = "SAMPLE_PROVIDER_ADDR", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// What every request must carry as its API key.
    #[arg(long, env = "SAMPLE_PROVIDER_CREDENTIAL", hide_env_values = true)]
    credential: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { listen, credential } = Arguments::parse();
    let mut provider = Provider::start(listen, credential.as_deref()).await?;
    println!("{}", provider.url());
    provider.wait().await;
    Ok(())
}
