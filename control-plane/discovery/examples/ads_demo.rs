//! throwaway
#[path = "../tests/serving/support.rs"]
mod support;
use std::sync::Arc;
use latchkey_discovery::{ads, source::*};
struct T;
impl Authenticator for T { async fn admit(&self, t: &str) -> anyhow::Result<bool> { Ok(t == "gateway-token") } }
fn c(host: &str, name: &str, v: &str, ca: Option<&str>) -> ProviderCluster {
    ProviderCluster { name: name.into(), host: host.into(), port: if ca.is_some() { 27443 } else { 27081 },
        transport: ca.map_or(Transport::Plaintext, |ca| Transport::Tls { ca_path: Some(ca.into()) }),
        credential: Some(Credential { header: if ca.is_some() { "x-api-key".into() } else { "authorization".into() }, value: v.to_owned().into() }) }
}
#[tokio::main]
async fn main() {
    let src = Arc::new(support::Memory::new(1));
    let all = |v: &str| vec![c("127.0.0.1", "latchkey/ip", v, None), c("localhost", "latchkey/dns", v, None),
        c("localhost", "latchkey/tls", "tls-secret", Some("/tmp/disc/ca.pem")), c("127.0.0.1", "latchkey/tlsip", "tls-secret", Some("/tmp/disc/ca.pem")),
        c("127.0.0.2", "latchkey/mismatch", "x", Some("/tmp/disc/ca.pem"))];
    let mut first = all("Bearer provider-one");
    match std::env::args().nth(1).as_deref() {
        Some("noca") => first.push(c("localhost", "latchkey/bad", "x", Some("/nonexistent.pem"))),
        Some("nohost") => first.push(c("", "latchkey/bad", "x", None)),
        _ => {}
    }
    src.publish(first);
    let statuses = ads::Statuses::default();
    let (_stop, rx) = tokio::sync::watch::channel(false);
    let svc = ads::Server::new(src.clone(), Arc::new(T), statuses.clone(), rx).into_service();
    let s2 = src.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        println!("{:?}", statuses.all());
        s2.publish(all("Bearer provider-two"));
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        println!("{:?}", statuses.all());
    });
    tonic::transport::Server::builder().add_service(svc).serve("127.0.0.1:27999".parse().unwrap()).await.unwrap();
}
