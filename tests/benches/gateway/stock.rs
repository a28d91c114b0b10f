//! As many keys as wanted, written straight into the control plane's database.

use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use latchkey_proto::key::{ApiKey, AppKey, KeyClaim, NamedKey, RANDOM_BYTES};
use latchkey_tests::stack::Stack;
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Sqlite};
use uuid::{Builder, Uuid};

/// Apps that the keys are spread over; each user has one key of each.
const APPS: u64 = 100;

/// Rows per statement.
const ROWS: u64 = 1_000;

/// Named keys that the control plane knows. A key is made again from its number when it is needed.
pub struct Stock {
    apps: Vec<StockedApp>,
    keys: u64,
    created_at_ms: u64,
}

struct StockedApp {
    id: Uuid,
    key: AppKey,
}

impl Stock {
    /// Makes apps and users for `keys` keys, and the keys. The control plane is stopped meanwhile.
    pub async fn load(stack: &mut Stack, keys: u64) -> anyhow::Result<Self> {
        let mut apps = vec![];
        for number in 0..APPS.min(keys) {
            let app =
                stack.api().create_app(json!({ "name": format!("app-{number}"), "mode": "named" })).await?;
            let ApiKey::App(key) = ApiKey::parse(&app.key)? else { bail!("an app's key is no app key") };
            apps.push(StockedApp { id: app.id.parse()?, key });
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let stock = Self { apps, keys, created_at_ms: u64::try_from(now.as_millis())? };
        stack.control_plane().stop().await?;
        stock.write(&stack.dir().join("latchkey.db")).await.context("loading keys into the database")?;
        stack.control_plane().start().await?;
        Ok(stock)
    }

    /// Gives every app, and every named key, limits of each kind that are never reached.
    pub async fn limit(&self, stack: &Stack) -> anyhow::Result<()> {
        let limits = json!({
            "requests_per_minute": 1_000_000_000_u64, "requests_per_day": 1_000_000_000_000_u64,
            "tokens_per_minute": 100_000_000_000_000_u64,
            "token_budget": { "tokens": 100_000_000_000_000_u64, "per": "month" },
            "budget": { "usd": "1000000000", "per": "month" },
        });
        for app in &self.apps {
            let edit = json!({ "limits": limits, "named_key_limits": limits });
            stack.api().edit(&format!("/api/v1/apps/{}", app.id), edit).await?;
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.keys
    }

    /// A key that looks chosen at random, the same for the same `draw`.
    pub fn draw(&self, draw: u64) -> u64 {
        // SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
        let mut z = draw.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % self.keys
    }

    /// The value of the key `number`.
    pub fn value(&self, number: u64) -> String {
        self.key(number).expose().to_owned()
    }

    /// The path of the key `number` in the API.
    pub fn path(&self, number: u64) -> String {
        format!("/api/v1/apps/{}/keys/{}", self.app(number).id, self.id(number))
    }

    fn key(&self, number: u64) -> NamedKey {
        let mut random = [0; RANDOM_BYTES];
        random[..8].copy_from_slice(&number.to_be_bytes());
        let claim = KeyClaim { user: self.user(number / APPS), key: self.id(number) };
        NamedKey::new(&self.app(number).key, claim, random)
    }

    fn app(&self, number: u64) -> &StockedApp {
        &self.apps[number as usize % self.apps.len()]
    }

    /// Ids grow, as those that the control plane makes do.
    fn id(&self, number: u64) -> Uuid {
        self.uuid(1, number)
    }

    fn user(&self, number: u64) -> Uuid {
        self.uuid(0, number)
    }

    fn uuid(&self, kind: u8, number: u64) -> Uuid {
        let mut random = [0; 10];
        random[0] = kind;
        random[2..].copy_from_slice(&number.to_be_bytes());
        Builder::from_unix_timestamp_millis(self.created_at_ms, &random).into_uuid()
    }

    /// Writes users and keys as if each key had been created by itself, at a revision of its own.
    async fn write(&self, database: &Path) -> anyhow::Result<()> {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .pragma("synchronous", "OFF")
            .pragma("cache_size", "-1000000");
        let mut connection = options.connect().await?;
        let mut tx = connection.begin().await?;
        let users = self.keys.div_ceil(APPS);
        for first in (0..users).step_by(ROWS as usize) {
            self.write_users(&mut tx, first..users.min(first + ROWS)).await?;
        }
        let (head,): (i64,) =
            sqlx::query_as("SELECT revision FROM head WHERE id = 1").fetch_one(&mut *tx).await?;
        for first in (0..self.keys).step_by(ROWS as usize) {
            self.write_keys(&mut tx, first..self.keys.min(first + ROWS), head).await?;
        }
        sqlx::query("UPDATE head SET revision = $1, tag = randomblob(16) WHERE id = 1")
            .bind(head + i64::try_from(self.keys)?)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO revisions (revision, tag, created_at) SELECT revision, tag, 0 FROM head")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    async fn write_users(&self, connection: &mut SqliteConnection, numbers: Range<u64>) -> sqlx::Result<()> {
        let mut insert =
            QueryBuilder::<Sqlite>::new("INSERT INTO users (id, email, name, role, created_at) ");
        insert.push_values(numbers, |mut row, number| {
            row.push_bind(self.user(number).to_string())
                .push_bind(format!("user-{number}@example.com"))
                .push_bind(format!("User {number}"))
                .push_bind("user")
                .push_bind(self.created_at_ms.cast_signed());
        });
        insert.build().execute(connection).await.map(drop)
    }

    async fn write_keys(
        &self,
        connection: &mut SqliteConnection,
        numbers: Range<u64>,
        head: i64,
    ) -> sqlx::Result<()> {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO keys (id, app_id, user_id, name, status, created_at, hash, revision) ",
        );
        insert.push_values(numbers, |mut row, number| {
            let key = self.key(number);
            row.push_bind(key.claim().key.to_string())
                .push_bind(self.app(number).id.to_string())
                .push_bind(key.claim().user.to_string())
                .push_bind(format!("key-{number}"))
                .push_bind("active")
                .push_bind(self.created_at_ms.cast_signed())
                .push_bind(key.hash().as_bytes().to_vec())
                .push_bind(head + 1 + number.cast_signed());
        });
        insert.build().execute(connection).await.map(drop)
    }
}
