//! Who users are to OpenID providers.

use jiff::Timestamp;
use sqlx::Row as _;
use uuid::Uuid;

use super::Tx;
use super::row::Columns as _;

/// Someone as an OpenID provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its name for them.
    pub subject: String,
}

impl Tx {
    /// The user who is this.
    ///
    /// # Errors
    /// The database is away.
    pub async fn user_of_identity(&mut self, identity: &Identity) -> sqlx::Result<Option<Uuid>> {
        sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(identity.issuer.clone())
            .bind(identity.subject.clone())
            .fetch_optional(&mut *self.inner)
            .await?
            .map(|row| row.uuid("user_id"))
            .transpose()
    }

    /// Whether the user is somebody to this provider.
    ///
    /// # Errors
    /// The database is away.
    pub async fn has_identity(&mut self, user: Uuid, issuer: &str) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT subject FROM identities WHERE user_id = $1 AND issuer = $2 LIMIT 1")
            .bind(user.to_string())
            .bind(issuer.to_owned())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Links a user to this.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_identity(
        &mut self,
        identity: &Identity,
        user: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)")
            .bind(identity.issuer.clone())
            .bind(identity.subject.clone())
            .bind(user.to_string())
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

/// A smart group that a claim fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedGroup {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    pub name: String,
    /// The claim's value.
    pub claim: String,
    /// Whether the user is in it because of the claim.
    pub by_claim: bool,
    /// Whether the user is in it at all.
    pub member: bool,
}

impl Tx {
    /// The groups that a claim fills, and whether the user is in them.
    ///
    /// # Errors
    /// The database is away.
    pub async fn claimed_groups(&mut self, user: Uuid) -> sqlx::Result<Vec<ClaimedGroup>> {
        sqlx::query(
            "SELECT groups.id, groups.name, groups.claim, COALESCE(group_members.source, '') AS source FROM groups
             LEFT JOIN group_members ON group_members.group_id = groups.id AND group_members.user_id = $1
             WHERE groups.claim IS NOT NULL OR group_members.source = 'claim' ORDER BY groups.id",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.inner)
        .await?
        .into_iter()
        .map(|row| {
            let source: String = row.try_get("source")?;
            Ok(ClaimedGroup {
                id: row.uuid("id")?,
                name: row.try_get("name")?,
                claim: row.try_get::<Option<String>, _>("claim")?.unwrap_or_default(),
                by_claim: source == "claim",
                member: !source.is_empty(),
            })
        })
        .collect()
    }

    /// Puts a user into a group because of the claim.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_claimed_member(
        &mut self,
        group: Uuid,
        user: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO group_members (group_id, user_id, source, added_at) VALUES ($1, $2, 'claim', $3)
             ON CONFLICT (group_id, user_id) DO NOTHING",
        )
        .bind(group.to_string())
        .bind(user.to_string())
        .bind(now.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes a user out of a group that the claim had put them into.
    ///
    /// # Errors
    /// The database is away.
    pub async fn remove_claimed_member(&mut self, group: Uuid, user: Uuid) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2 AND source = 'claim'")
            .bind(group.to_string())
            .bind(user.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
