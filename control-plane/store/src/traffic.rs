//! An app's records as a simulation reads them: few columns, from the newest back, a page at a time, by the index
//! of the app's records. Nothing is locked, and no page takes long.

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::Store;
use super::row::Columns as _;

/// What a request did, as far as it decides what other settings would have made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficRecord {
    pub id: i64,
    /// When it came, by the gateway's clock.
    pub at: Timestamp,
    pub key_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    /// As the client asked; of an MCP server's tool, `server/tool`. Empty where it was not read. So with the other
    /// texts.
    pub model: String,
    /// As the provider was asked.
    pub served_model: String,
    /// The provider's name; of an MCP server, `mcp/` and its name.
    pub provider: String,
    pub endpoint: String,
    /// Why the gateway refused.
    pub code: String,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub cache_write_5m_tokens: u64,
    pub cache_write_1h_tokens: u64,
    pub output_tokens: u64,
    pub cost: NanoUsd,
    pub service_tier: String,
    pub client_address: String,
    /// Whether it named its conversation.
    pub has_conversation: bool,
    /// The email address that it claimed, and the app accepted.
    pub identity: String,
    /// `none`, `key`, `jwt` or `header`.
    pub identity_source: String,
    /// How many requests it stands for.
    pub repeats: u64,
}

impl FromRow<'_, AnyRow> for TrafficRecord {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let id = |column| match row.try_get(column)? {
            "" => Ok(None),
            _ => row.uuid(column).map(Some),
        };
        Ok(Self {
            id: row.try_get("id")?,
            at: row.time("at")?,
            key_id: id("key_id")?,
            user_id: id("user_id")?,
            model: row.try_get("model")?,
            served_model: row.try_get("served_model")?,
            provider: row.try_get("provider")?,
            endpoint: row.try_get("endpoint")?,
            code: row.try_get("code")?,
            input_tokens: row.count("input_tokens")?,
            cached_input_tokens: row.count("cached_input_tokens")?,
            cache_write_5m_tokens: row.count("cache_write_5m_tokens")?,
            cache_write_1h_tokens: row.count("cache_write_1h_tokens")?,
            output_tokens: row.count("output_tokens")?,
            cost: row.count("cost").map(NanoUsd)?,
            service_tier: row.try_get("service_tier")?,
            client_address: row.try_get("client_address")?,
            has_conversation: row.flag("has_conversation")?,
            identity: row.try_get("identity")?,
            identity_source: row.try_get("identity_source")?,
            repeats: row.count("repeats")?,
        })
    }
}

/// One record of so many, a power of two. Which they are is scattered over the ids: an app whose requests take turns
/// keeps its mix. Those of a sparser sample are among those of a denser one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleRate {
    halvings: u32,
}

/// The parts that ids are scattered over.
const PARTS: i64 = 1 << 16;

impl SampleRate {
    /// Every record.
    pub const ALL: Self = Self { halvings: 0 };

    /// Half as many. At 1 of 65,536 it stays.
    #[must_use]
    pub fn halved(self) -> Self {
        Self { halvings: self.halvings.saturating_add(1).min(16) }
    }

    /// For how many records each stands.
    #[must_use]
    pub fn stands_for(self) -> u64 {
        1 << self.halvings
    }

    /// Whether the record with this id is one of the sample: as [`PAGE`] has it.
    #[must_use]
    pub fn takes(self, id: i64) -> bool {
        (id.rem_euclid(1 << 20) * 2_654_435_761 / PARTS).rem_euclid(PARTS) < self.below()
    }

    fn below(self) -> i64 {
        PARTS >> self.halvings
    }
}

/// The multiplier is that of Knuth's multiplicative hash.
const PAGE: &str =
    "SELECT id, at, key_id, user_id, model, served_model, provider, endpoint, code, input_tokens, cached_input_tokens,
     cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, cost, service_tier, client_address,
     CASE WHEN conversation_id = '' THEN 0 ELSE 1 END AS has_conversation, identity, identity_source, repeats
     FROM records WHERE app_id = $1 AND id < $2 AND (id % 1048576) * 2654435761 / 65536 % 65536 < $3
     ORDER BY id DESC LIMIT $4";

/// What was used by an app, and by each of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedBefore {
    pub app: UsedUnits,
    pub keys: BTreeMap<Uuid, UsedUnits>,
}

/// Tokens of input and output, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsedUnits {
    pub tokens: u64,
    pub cost: NanoUsd,
}

impl UsedUnits {
    fn add(&mut self, Self { tokens, cost }: Self) {
        self.tokens = self.tokens.saturating_add(tokens);
        self.cost = NanoUsd(self.cost.0.saturating_add(cost.0));
    }
}

/// The day on which sums are split, in UTC.
pub const DAY_MS: i64 = 86_400_000;

impl Store {
    /// Records of an app, newest first: those older than `before`, of a sample.
    pub async fn traffic(
        &self,
        app: Uuid,
        before: Option<i64>,
        rate: SampleRate,
        limit: i64,
    ) -> sqlx::Result<Vec<TrafficRecord>> {
        sqlx::query_as(PAGE)
            .bind(app.to_string())
            .bind(before.unwrap_or(i64::MAX))
            .bind(rate.below())
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// What an app and its keys have used from one moment until another.
    pub async fn used_before(&self, app: Uuid, start_ms: i64, end_ms: i64) -> sqlx::Result<UsedBefore> {
        let first_day = start_ms.div_euclid(DAY_MS) + i64::from(start_ms.rem_euclid(DAY_MS) != 0);
        let end_day = end_ms.div_euclid(DAY_MS);
        let days = sqlx::query(
            "SELECT key_id, CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) AS tokens,
             CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost FROM usage_days
             WHERE app_id = $1 AND day >= $2 AND day < $3 GROUP BY key_id",
        );
        let mut rows = days.bind(app.to_string()).bind(first_day).bind(end_day).fetch_all(&self.pool).await?;
        // Sums are by days of UTC: what comes before the first whole one and after the last is asked of the records.
        let (head_end, tail_start) = (first_day * DAY_MS, end_day * DAY_MS);
        let parts = match head_end <= tail_start {
            true => [(start_ms, head_end), (tail_start, end_ms)],
            false => [(start_ms, end_ms), (end_ms, end_ms)],
        };
        for (from, to) in parts.into_iter().filter(|(from, to)| from < to) {
            let part = sqlx::query(
                "SELECT key_id, CAST(COALESCE(SUM(input_tokens + output_tokens), 0) AS BIGINT) AS tokens,
                 CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost FROM records
                 WHERE app_id = $1 AND at >= $2 AND at < $3 GROUP BY key_id",
            );
            let part = part.bind(app.to_string()).bind(from).bind(to);
            rows.extend(part.fetch_all(&self.pool).await?);
        }
        let mut used = UsedBefore::default();
        for row in rows {
            let units = UsedUnits { tokens: row.count("tokens")?, cost: row.count("cost").map(NanoUsd)? };
            used.app.add(units);
            if !row.try_get::<&str, _>("key_id")?.is_empty() {
                used.keys.entry(row.uuid("key_id")?).or_default().add(units);
            }
        }
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparser_sample_is_part_of_a_denser_one() {
        let mut rate = SampleRate::ALL;
        assert!((0..100_000).all(|id| rate.takes(id)));
        for halvings in 1..=10 {
            let half = rate.halved();
            assert_eq!(half.stands_for(), 1 << halvings);
            assert!((0..100_000).all(|id| rate.takes(id) || !half.takes(id)));
            rate = half;
        }
    }

    #[test]
    fn a_sample_is_fair_to_requests_that_take_turns() {
        for rate in [SampleRate::ALL.halved(), SampleRate::ALL.halved().halved().halved()] {
            for turns in 2..=7 {
                let taken: Vec<_> = (0..turns)
                    .map(|turn| (0..70_000).filter(|id| id % turns == turn && rate.takes(*id)).count() as u64)
                    .collect();
                let fair = 70_000 / turns as u64 / rate.stands_for();
                let is_fair = |count: &u64| count.abs_diff(fair) <= fair / 20;
                assert!(taken.iter().all(is_fair), "{taken:?} of 1 in {} by {turns}", rate.stands_for());
            }
        }
    }
}
