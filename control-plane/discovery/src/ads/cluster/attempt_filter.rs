//! Our filter in the upstream chain of a cluster for routing groups: on each attempt it makes the request what this
//! provider is to get.

use envoy_types::pb::envoy::config::common::mutation_rules::v3 as mutation_rules;
use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier as CodeSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, DataSource, Node};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{HeaderMutation, Mutations};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{BoolValue, StringValue, Struct};
use envoy_types::util::pack_any;

/// The member of a node's metadata in which an Envoy says where it has the filter.
const METADATA: &str = "latchkey";
const PLUGIN: &str = "latchkey_attempt";

/// The headers in which providers take credentials. Those of the try before are still there: Envoy has one list of
/// headers for all tries.
const CREDENTIALS: [&str; 3] = ["authorization", "api-key", "x-api-key"];

/// Where an Envoy has our filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ads) struct AttemptFilter {
    /// The file, on the gateway's machine.
    path: String,
    /// The same as that of the gate, so that they share a VM.
    vm_id: String,
}

impl AttemptFilter {
    /// As the node says by `latchkey: {filter_wasm, vm_id}`; none where it does not, as a gateway that is older
    /// than routing groups.
    pub(in crate::ads) fn of(node: &Node) -> Option<Self> {
        let metadata = node.metadata.as_ref()?.fields.get(METADATA)?;
        let Some(Kind::StructValue(latchkey)) = &metadata.kind else { return None };
        Some(Self { path: text(latchkey, "filter_wasm")?, vm_id: text(latchkey, "vm_id")? })
    }

    /// The filter for the attempts at a provider.
    pub(super) fn http_filter(&self, provider: &str) -> HttpFilter {
        // A provider's name has no character that JSON would escape.
        let configuration = StringValue { value: format!(r#"{{"role":"attempt","provider":"{provider}"}}"#) };
        let file =
            DataSource { specifier: Some(Specifier::Filename(self.path.clone())), ..DataSource::default() };
        let vm = VmConfig {
            vm_id: self.vm_id.clone(),
            runtime: "envoy.wasm.runtime.v8".to_owned(),
            code: Some(AsyncDataSource { specifier: Some(CodeSource::Local(file)) }),
            ..VmConfig::default()
        };
        let plugin = PluginConfig {
            name: PLUGIN.to_owned(),
            root_id: PLUGIN.to_owned(),
            configuration: Some(pack_any(configuration)),
            failure_policy: FailurePolicy::FailReload.into(),
            allow_on_headers_stop_iteration: Some(BoolValue { value: true }),
            vm: Some(Vm::VmConfig(vm)),
            ..PluginConfig::default()
        };
        super::filter("latchkey.attempt", pack_any(Wasm { config: Some(plugin) }))
    }
}

/// Removes the credential of the try before, so that none gets into our filter either.
pub(super) fn without_credentials() -> HttpFilter {
    let remove = |name: &str| mutation_rules::HeaderMutation {
        action: Some(mutation_rules::header_mutation::Action::Remove(name.to_owned())),
    };
    let request_mutations = CREDENTIALS.into_iter().map(remove).collect();
    let mutations = Mutations { request_mutations, ..Mutations::default() };
    let filter = HeaderMutation { mutations: Some(mutations), ..HeaderMutation::default() };
    super::filter("envoy.filters.http.header_mutation", pack_any(filter))
}

/// A member that is a text and not empty.
fn text(fields: &Struct, name: &str) -> Option<String> {
    match fields.fields.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}
