//! A server that Envoy asks about each request, and that looks the key up in PostgreSQL: how one would build
//! keys beside Envoy without Latchkey.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::serve::ListenerExt as _;
use latchkey_tests::stack::port::Port;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// Connections to the database, each a process of its own there.
pub const CONNECTIONS: u32 = 8;

/// Fills a database with active keys.
pub async fn fill(database: &str, keys: &[String]) -> anyhow::Result<()> {
    let pool = PgPool::connect(database).await?;
    let table = "CREATE TABLE keys (hash bytea PRIMARY KEY, status text NOT NULL, expires_at timestamptz)";
    sqlx::query(table).execute(&pool).await?;
    let insert =
        "INSERT INTO keys SELECT sha256(convert_to(key, 'UTF8')), 'active' FROM unnest($1::text[]) AS key";
    sqlx::query(insert).bind(keys).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

/// The ids of the processes that serve the authorizer's connections.
pub async fn processes(database: &str) -> anyhow::Result<Vec<u32>> {
    let pool = PgPool::connect(database).await?;
    let others =
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ids: Vec<i32> = sqlx::query_scalar(others).fetch_all(&pool).await?;
    pool.close().await;
    ids.into_iter().map(|id| Ok(u32::try_from(id)?)).collect()
}

/// Answers 200 to requests with an active key, and 401 to others, until the process is killed.
pub async fn serve(database: &str, port: u16) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new()
        .min_connections(CONNECTIONS)
        .max_connections(CONNECTIONS)
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .test_before_acquire(false)
        .connect(database)
        .await?;
    let router = Router::new().fallback(check).with_state(Arc::new(pool));
    let listener = tokio::net::TcpListener::bind(Port::fixed(port).address()).await?;
    let listener = listener.tap_io(|connection| {
        // Without it the answers are right, but may be late.
        let _ = connection.set_nodelay(true);
    });
    axum::serve(listener, router).await.context("serving")
}

async fn check(State(pool): State<Arc<PgPool>>, headers: HeaderMap) -> StatusCode {
    let key = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(key) = key else { return StatusCode::UNAUTHORIZED };
    let active = "SELECT status = 'active' AND coalesce(expires_at > now(), true) \
                  FROM keys WHERE hash = sha256(convert_to($1, 'UTF8'))";
    match sqlx::query_scalar::<_, bool>(active).bind(key).fetch_optional(&*pool).await {
        Ok(Some(true)) => StatusCode::OK,
        Ok(_) => StatusCode::UNAUTHORIZED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
