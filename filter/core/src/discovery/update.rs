//! A response of the discovery stream, validated whole; what is wrong with it goes into a NACK.

use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;
use prost::Message as _;

use crate::discovery::nack::{Nack, ResourceName, ResourceRejection};
use crate::snapshot::{AppId, AppPolicy, Catalogue, InvalidResource, KeyRecord, Position};

pub use wire::Part;

/// The longest tag of a position.
const MAX_TAG_BYTES: usize = 64;

/// A valid response.
#[derive(Clone, Debug, PartialEq)]
pub struct DiscoveryUpdate {
    /// Its place in a snapshot.
    pub part: Part,
    /// The position once this is applied.
    pub position: Option<Position>,
    pub catalogue: Option<EncodedResource>,
    pub apps: Vec<(AppId, EncodedResource)>,
    pub keys: Vec<KeyRecord>,
    pub removed_keys: Vec<KeyHash>,
    pub removed_apps: Vec<AppId>,
    /// A position at or after everything here.
    pub newest: Option<Position>,
}

/// A validated resource, as protobuf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedResource(pub Vec<u8>);

impl TryFrom<wire::DiscoveryResponse> for DiscoveryUpdate {
    type Error = Nack;

    fn try_from(response: wire::DiscoveryResponse) -> Result<Self, Nack> {
        let wire::DiscoveryResponse {
            nonce: _,
            part,
            position,
            catalogue,
            apps,
            keys,
            removed_keys,
            removed_apps,
            newest,
        } = response;
        let part = Part::try_from(part).map_err(|_| Nack::whole(format!("part {part} is unknown")))?;
        let position = position.map(Position::try_from).transpose()?;
        let newest = newest.map(Position::try_from).transpose()?;
        let mut rejected = Vec::new();
        let catalogue = catalogue.and_then(|catalogue| {
            keep(&mut rejected, || ResourceName::Catalogue, check_catalogue(catalogue))
        });
        let apps = apps
            .into_iter()
            .filter_map(|app| {
                let id = app.id.clone();
                keep(&mut rejected, || ResourceName::app(&id), check_app(app))
            })
            .collect();
        let keys = keys
            .into_iter()
            .filter_map(|key| {
                let hash = key.hash.clone();
                keep(&mut rejected, || ResourceName::key(&hash), KeyRecord::try_from(key))
            })
            .collect();
        let removed_keys = removed_keys
            .into_iter()
            .filter_map(|hash| keep(&mut rejected, || ResourceName::key(&hash), removed_key(&hash)))
            .collect();
        let removed_apps = removed_apps
            .into_iter()
            .filter_map(|id| keep(&mut rejected, || ResourceName::app(&id), AppId::try_from(id.as_slice())))
            .collect();
        if !rejected.is_empty() {
            return Err(Nack { error_detail: String::new(), rejected });
        }
        Ok(Self { part, position, catalogue, apps, keys, removed_keys, removed_apps, newest })
    }
}

impl TryFrom<wire::Position> for Position {
    type Error = Nack;

    fn try_from(position: wire::Position) -> Result<Self, Nack> {
        let wire::Position { revision, tag } = position;
        if tag.len() > MAX_TAG_BYTES {
            return Err(Nack::whole(format!("position.tag is longer than {MAX_TAG_BYTES} bytes")));
        }
        Ok(Self { revision, tag })
    }
}

impl From<Position> for wire::Position {
    fn from(Position { revision, tag }: Position) -> Self {
        Self { revision, tag }
    }
}

fn keep<T>(
    rejected: &mut Vec<ResourceRejection>,
    resource: impl FnOnce() -> ResourceName,
    checked: Result<T, InvalidResource>,
) -> Option<T> {
    match checked {
        Ok(valid) => Some(valid),
        Err(invalid) => {
            rejected.push(ResourceRejection { resource: resource(), reason: invalid.to_string() });
            None
        }
    }
}

fn check_catalogue(catalogue: wire::Catalogue) -> Result<EncodedResource, InvalidResource> {
    let encoded = EncodedResource(catalogue.encode_to_vec());
    Catalogue::try_from(catalogue)?;
    Ok(encoded)
}

fn check_app(app: wire::AppPolicy) -> Result<(AppId, EncodedResource), InvalidResource> {
    let encoded = EncodedResource(app.encode_to_vec());
    Ok((AppPolicy::try_from(app)?.id, encoded))
}

fn removed_key(hash: &[u8]) -> Result<KeyHash, InvalidResource> {
    KeyHash::try_from(hash).map_err(|_| InvalidResource::Length {
        field: "removed_keys",
        expected: 32,
        actual: hash.len(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    #[test]
    fn a_bad_resource_is_named_and_refuses_the_response_whole() {
        let mut response = testing::increment();
        response.keys =
            vec![testing::app_key_record(), wire::KeyRecord { hash: vec![0xab; 32], ..Default::default() }];
        response.apps = vec![wire::AppPolicy { models: None, ..testing::app() }];
        response.removed_apps = vec![vec![1, 2]];
        let refusal = DiscoveryUpdate::try_from(response).unwrap_err();
        let rejected: Vec<_> = refusal.rejected.into_iter().map(wire::Rejected::from).collect();
        let rejected: Vec<_> = rejected.iter().map(|r| (r.resource.as_str(), r.reason.as_str())).collect();
        assert_eq!(refusal.error_detail, "");
        assert_eq!(
            rejected,
            [
                ("app/00000000-0000-0000-0000-00000000000a", "models is not set, or not to a known value"),
                (format!("key/{}", "ab".repeat(32)).as_str(), "key_id has 0 bytes instead of 16"),
                ("app/0102", "app_id has 2 bytes instead of 16"),
            ]
        );
    }

    #[test]
    fn an_unknown_part_and_an_endless_tag_are_nobodys_fault() {
        let unknown = wire::DiscoveryResponse { part: 7, ..testing::increment() };
        assert_eq!(DiscoveryUpdate::try_from(unknown), Err(Nack::whole("part 7 is unknown")));
        let position = Some(wire::Position { revision: 1, tag: vec![0; 65] });
        let endless = wire::DiscoveryResponse { position, ..testing::increment() };
        assert_eq!(
            DiscoveryUpdate::try_from(endless),
            Err(Nack::whole("position.tag is longer than 64 bytes"))
        );
    }

    fn message() -> impl Strategy<Value = wire::DiscoveryResponse> {
        let bytes = || {
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                prop::array::uniform16(any::<u8>()).prop_map(Vec::from),
                prop::array::uniform32(any::<u8>()).prop_map(Vec::from)
            ]
        };
        let key = (bytes(), bytes(), bytes(), bytes(), -1..6i32, -1..3i64, -1..3i64).prop_map(
            |(hash, key_id, app_id, user_id, status, expires_at_ms, retires_at_ms)| wire::KeyRecord {
                hash,
                key_id,
                app_id,
                user_id,
                status,
                expires_at_ms,
                retires_at_ms,
                limits: None,
            },
        );
        (
            -1..6i32,
            prop::collection::vec(key, 0..4),
            prop::collection::vec(bytes(), 0..3),
            prop::collection::vec(bytes(), 0..3),
        )
            .prop_map(|(part, keys, removed_keys, removed_apps)| wire::DiscoveryResponse {
                part,
                keys,
                removed_keys,
                removed_apps,
                ..Default::default()
            })
    }

    /// A key record that may be accepted, by the rules of discovery.proto.
    fn is_valid(key: &wire::KeyRecord) -> bool {
        key.hash.len() == 32
            && key.key_id.len() == 16
            && key.app_id.len() == 16
            && [0, 16].contains(&key.user_id.len())
            && (1..=4).contains(&key.status)
            && key.expires_at_ms >= 0
            && key.retires_at_ms >= 0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Ok(response) = wire::DiscoveryResponse::decode(bytes.as_slice()) {
                let _ = DiscoveryUpdate::try_from(response);
            }
        }

        #[test]
        fn accepted_only_when_every_resource_is_valid(response in message()) {
            let valid = (0..4).contains(&response.part)
                && response.keys.iter().all(is_valid)
                && response.removed_keys.iter().all(|hash| hash.len() == 32)
                && response.removed_apps.iter().all(|id| id.len() == 16);
            prop_assert_eq!(DiscoveryUpdate::try_from(response).is_ok(), valid);
        }
    }
}
