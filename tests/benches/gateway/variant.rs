//! Envoys that differ from the gateway in one thing: who checks keys. Everything else in their
//! configuration is `envoy/envoy.yaml`'s, and their provider's cluster comes from the control plane.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use latchkey_tests::stack::artifacts;

/// Who checks keys instead of the gate.
pub enum Variant<'a> {
    /// Nobody.
    Plain,
    /// Envoy's own filter, with these keys in its configuration.
    ApiKeyAuth(&'a [String]),
    /// A server that Envoy asks over HTTP.
    ExtAuthz(SocketAddr),
    /// The filter, with this name and this configuration.
    Filter(&'a str, &'a str),
}

/// The gate's configuration in `envoy.yaml`.
const GATE: &str = r#"{"role":"gate"}"#;

impl<'a> Variant<'a> {
    /// Its name, for an Envoy too.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Plain => "plain",
            Self::ApiKeyAuth(_) => "api_key_auth",
            Self::ExtAuthz(_) => "ext_authz",
            Self::Filter(name, _) => name,
        }
    }

    /// Writes its configuration into `dir`: all requests go to `cluster`.
    pub fn write(&self, dir: &Path, cluster: &str) -> anyhow::Result<PathBuf> {
        let gateway = fs::read_to_string(artifacts::root().join("envoy/envoy.yaml"))?;
        let text = match self {
            Self::Filter(_, configuration) => {
                ensure!(gateway.contains(GATE), "envoy.yaml has no `{GATE}`; the benchmark needs one");
                gateway.replace(GATE, configuration)
            }
            _ => {
                let text = replace_block(&gateway, "- name: latchkey.gate", &self.filter())?;
                replace_block(&text, "bootstrap_extensions:", "")?
            }
        };
        let by_gate = "cluster_header: x-latchkey-cluster";
        ensure!(text.contains(by_gate), "envoy.yaml has no line `{by_gate}`; the benchmark needs one");
        let text = text.replace(by_gate, &format!("cluster: {cluster}"));
        // The cluster is not there yet when the route is read.
        let text = replace_line(&text, "virtual_hosts:", "validate_clusters: false\nvirtual_hosts:")?;
        let text = replace_line(&text, "clusters:", &format!("clusters:\n{}", self.cluster()))?;
        let path = dir.join(format!("{}.yaml", self.name()));
        fs::write(&path, text)?;
        Ok(path)
    }

    /// The HTTP filter in the gate's place.
    fn filter(&self) -> String {
        match self {
            Self::Plain | Self::Filter(..) => String::new(),
            Self::ApiKeyAuth(keys) => {
                let credential =
                    |(number, key): (usize, &String)| format!("{{ key: \"{key}\", client: \"{number}\" }}");
                let credentials = keys.iter().enumerate().map(credential).collect::<Vec<_>>().join(", ");
                format!(
                    "\
- name: envoy.filters.http.api_key_auth
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
    key_sources: [{{ header: authorization }}]
    credentials: [{credentials}]"
                )
            }
            Self::ExtAuthz(server) => format!(
                "\
- name: envoy.filters.http.ext_authz
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
    http_service:
      server_uri: {{ uri: \"http://{server}\", cluster: authorizer, timeout: 1s }}"
            ),
        }
    }

    /// A further cluster, if it needs one.
    fn cluster(&self) -> String {
        let Self::ExtAuthz(server) = self else { return String::new() };
        format!(
            "  - name: authorizer
    connect_timeout: 2s
    load_assignment:
      cluster_name: authorizer
      endpoints:
        - lb_endpoints:
            - endpoint:
                address: {{ socket_address: {{ address: {}, port_value: {} }} }}",
            server.ip(),
            server.port()
        )
    }
}

/// The YAML with `with` in the place of a line.
fn replace_line(yaml: &str, line: &str, with: &str) -> anyhow::Result<String> {
    let (range, indent) = find(yaml, line)?;
    Ok(splice(yaml, range, &indent, with))
}

/// The YAML with `with` in the place of a block: a line, and all deeper lines that follow it.
fn replace_block(yaml: &str, first_line: &str, with: &str) -> anyhow::Result<String> {
    let (mut range, indent) = find(yaml, first_line)?;
    for line in yaml[range.end..].split_inclusive('\n') {
        let depth = line.len() - line.trim_start().len();
        if !line.trim().is_empty() && depth <= indent.len() {
            break;
        }
        range.end += line.len();
    }
    Ok(splice(yaml, range, &indent, with))
}

/// Where a line is, and its indentation.
fn find(yaml: &str, wanted: &str) -> anyhow::Result<(Range<usize>, String)> {
    let mut start = 0;
    let mut found = vec![];
    for line in yaml.split_inclusive('\n') {
        if line.trim() == wanted {
            found.push((start..start + line.len(), line[..line.len() - line.trim_start().len()].to_owned()));
        }
        start += line.len();
    }
    ensure!(found.len() == 1, "envoy.yaml has {} lines `{wanted}`; the benchmark needs one", found.len());
    found.pop().context("one was found")
}

fn splice(yaml: &str, range: Range<usize>, indent: &str, with: &str) -> String {
    let with = with.lines().map(|line| format!("{indent}{line}\n")).collect::<String>();
    [&yaml[..range.start], &with, &yaml[range.end..]].concat()
}
