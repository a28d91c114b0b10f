use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;

use super::{AppId, InvalidResource, KeyId, Limits, Status, UnixMs, UserId, id, moment};

/// The record of one secret of a key. A rotated key within its grace period has two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// What the secret hashes to.
    pub hash: KeyHash,
    pub key: KeyId,
    /// The app that the key belongs to.
    pub app: AppId,
    /// A named key's user; none for an app key.
    pub user: Option<UserId>,
    pub status: Status,
    /// The key is refused from this time on.
    pub expires: Option<UnixMs>,
    /// This secret, replaced by a rotation, is refused from this time on.
    pub retires: Option<UnixMs>,
    /// Replaces the app's limits for named keys. Only on a named key.
    pub limits: Option<Limits>,
}

impl TryFrom<wire::KeyRecord> for KeyRecord {
    type Error = InvalidResource;

    fn try_from(record: wire::KeyRecord) -> Result<Self, InvalidResource> {
        let wire::KeyRecord { hash, key_id, app_id, user_id, status, expires_at_ms, retires_at_ms, limits } =
            record;
        if user_id.is_empty() && limits.is_some() {
            return Err(InvalidResource::AppKeyLimits);
        }
        Ok(Self {
            hash: KeyHash::try_from(hash.as_slice()).map_err(|_| InvalidResource::Length {
                field: "hash",
                expected: 32,
                actual: hash.len(),
            })?,
            key: KeyId(id(&key_id, "key_id")?),
            app: AppId(id(&app_id, "app_id")?),
            user: match user_id.as_slice() {
                [] => None,
                bytes => Some(UserId(id(bytes, "user_id")?)),
            },
            status: Status::read(status, "status")?,
            expires: moment(expires_at_ms, "expires_at_ms")?,
            retires: moment(retires_at_ms, "retires_at_ms")?,
            limits: limits.map(Limits::try_from).transpose()?,
        })
    }
}
