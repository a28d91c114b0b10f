//! New databases with today's tables. They are copies of one that was migrated once, by the first test that
//! needed it: with migrations of its own, each test would take half as long again.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use latchkey_store::Store;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

/// Changes with the migrations.
fn version(database: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(database);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in files {
        fs::read(file).unwrap().hash(&mut hash);
    }
    format!("{:016x}", hash.finish())
}

async fn migrate(url: &str) {
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

async fn execute(connection: &mut AnyConnection, statement: String) {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

/// Writes a migrated SQLite database to a file that does not exist yet.
pub async fn sqlite(file: &Path) {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let migrated = cache.join(format!("migrated-{}.db", version("sqlite")));
    if !migrated.exists() {
        let work = tempfile::tempdir_in(cache).unwrap();
        let url = format!("sqlite://{}?mode=rwc", work.path().join("new.db").display());
        migrate(&url).await;
        let whole = work.path().join("whole.db");
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        execute(&mut connection, format!("VACUUM INTO '{}'", whole.display())).await;
        connection.close().await.unwrap();
        // Whole or not there at all, whichever of several tests is first.
        fs::rename(whole, migrated.clone()).unwrap();
    }
    fs::copy(migrated, file).unwrap();
}

/// Creates a migrated database in the server at `url`, which is that of a superuser.
pub async fn postgres(url: &str, name: &str, url_of: impl Fn(&str) -> String) {
    let migrated = format!("migrated_{}", version("postgres"));
    let mut admin = AnyConnection::connect(url).await.unwrap();
    // One test makes it, and the others wait for that.
    execute(&mut admin, "SELECT 1 FROM pg_advisory_lock(1)".to_owned()).await;
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(&migrated)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    if found == 0 {
        execute(&mut admin, format!("DROP DATABASE IF EXISTS {migrated}_new")).await;
        execute(&mut admin, format!("CREATE DATABASE {migrated}_new")).await;
        migrate(&url_of(&format!("{migrated}_new"))).await;
        execute(&mut admin, format!("ALTER DATABASE {migrated}_new RENAME TO {migrated}")).await;
    }
    execute(&mut admin, "SELECT 1 FROM (SELECT pg_advisory_unlock(1)) AS unlocked".to_owned()).await;
    execute(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {migrated}")).await;
    admin.close().await.unwrap();
}
