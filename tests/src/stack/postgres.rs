//! PostgreSQL databases for single tests, in the server that `tests/with-postgres.sh` runs.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

static CREATED: AtomicU32 = AtomicU32::new(0);

/// Creates an empty database, and tells its URL for [`Builder::database_url`](super::Builder::database_url).
///
/// # Errors
/// When no server was started for the tests.
pub async fn database() -> anyhow::Result<String> {
    let server =
        std::env::var("LATCHKEY_TEST_POSTGRES_URL").context("run this with tests/with-postgres.sh")?;
    let number = CREATED.fetch_add(1, Ordering::Relaxed);
    let name = format!("latchkey_{}_{number}", std::process::id());
    let create = format!("CREATE DATABASE {name}");
    let output =
        Command::new("psql").args([&server, "-c", &create]).output().await.context("running psql")?;
    ensure!(output.status.success(), "{create}: {}", String::from_utf8_lossy(&output.stderr));
    let (server, _) = server.rsplit_once('/').context("the server's URL names no database")?;
    Ok(format!("{server}/{name}"))
}
