//! A provider's credential as Envoy's generic secret.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{GenericSecret, Secret};
use secrecy::ExposeSecret as _;

use crate::source::ProviderCluster;

/// The secret's name: `<cluster>/credential`.
pub(super) fn name(provider: &ProviderCluster) -> String {
    format!("{}/credential", provider.name)
}

/// The secret of a provider that has a credential.
pub(super) fn secret(provider: &ProviderCluster) -> Option<Secret> {
    let credential = provider.credential.as_ref()?;
    let value = credential.value.expose_secret().as_bytes().to_vec();
    let source = DataSource { specifier: Some(Specifier::InlineBytes(value)), watched_directory: None };
    let secret = GenericSecret { secret: Some(source), ..GenericSecret::default() };
    Some(Secret { name: name(provider), r#type: Some(Type::GenericSecret(secret)) })
}
