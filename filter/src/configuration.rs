//! The plugin's configuration: which role it plays.

use serde::Deserialize;

use crate::grpc_service::{GrpcService, InvalidClusterName};

/// The JSON of the plugin's `configuration`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
pub enum PluginConfiguration {
    /// `{"role": "gate"}`: the HTTP filter.
    Gate {
        /// `"until": "…"`: the last part of its work that it does.
        #[cfg(feature = "anatomy")]
        #[serde(default)]
        until: crate::anatomy::Part,
    },
    /// `{"role": "floor"}`: makes the host calls of a gate, and does none of its work.
    #[cfg(feature = "anatomy")]
    Floor {},
    /// `{"role": "attempt", "provider": "…"}`: in front of a provider of routing groups.
    Attempt(AttemptConfiguration),
    /// `{"role": "sync", "control_plane_cluster": "…"}`: the bootstrap service.
    Sync(SyncConfiguration),
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptConfiguration {
    /// The provider's name in Latchkey.
    pub provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfiguration {
    /// The Envoy cluster that reaches the control plane; it must speak HTTP/2.
    pub control_plane_cluster: String,
    /// The gateway's name where Envoy has no node id.
    pub gateway: Option<String>,
    /// How many seconds rate limits hold for this gateway alone when the control plane is away; 600 if
    /// absent. After that, requests of limited keys are refused.
    pub alone_seconds: Option<u32>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfiguration {
    #[error("configuration: {0}")]
    Json(#[from] serde_json::Error),
    #[error("configuration: control_plane_cluster: {0}")]
    Cluster(#[from] InvalidClusterName),
}

impl PluginConfiguration {
    /// Reads the plugin's configuration.
    ///
    /// # Errors
    /// Names what is missing, unknown or too long.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidConfiguration> {
        let configuration = serde_json::from_slice(json)?;
        if let Self::Sync(sync) = &configuration {
            GrpcService::new(&sync.control_plane_cluster)?;
        }
        Ok(configuration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        PluginConfiguration::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn both_roles_are_read() {
        let gate = PluginConfiguration::parse(br#"{"role":"gate"}"#).unwrap();
        assert!(matches!(gate, PluginConfiguration::Gate { .. }), "{gate:?}");
        let sync = PluginConfiguration::parse(br#"{"role":"sync","control_plane_cluster":"cp"}"#).unwrap();
        assert_eq!(
            sync,
            PluginConfiguration::Sync(SyncConfiguration {
                control_plane_cluster: "cp".into(),
                gateway: None,
                alone_seconds: None
            })
        );
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        assert!(refused("").starts_with("configuration: "));
        assert!(refused(r#"{"role":"other"}"#).contains("unknown variant `other`"));
        assert!(refused(r#"{"role":"gate","gateway":"x"}"#).contains("unknown field `gateway`"));
        assert!(refused(r#"{"role":"sync"}"#).contains("missing field `control_plane_cluster`"));
        let long = format!(r#"{{"role":"sync","control_plane_cluster":"{}"}}"#, "x".repeat(126));
        assert!(refused(&long).contains("longer than 125"));
    }
}
