use std::time::Duration;

use jiff::SignedDuration;
use latchkey::gateways::{Gateway, RejectedResource};
use latchkey::store::gateways::GatewayStream;

use crate::support::{Test, on_both};

/// What another replica writes of a gateway.
pub fn gateway(name: &str, revision: u64) -> Gateway {
    let epoch = jiff::Timestamp::UNIX_EPOCH;
    Gateway {
        name: name.to_owned(),
        instance: format!("{name}-process"),
        connected: true,
        connected_at: epoch,
        disconnected_at: None,
        revision,
        acknowledged_at: None,
        lag: 0,
        last_error: None,
        cluster_error: None,
        rejected: Vec::new(),
    }
}

pub async fn write(test: &Test, states: &[String]) {
    let row = |(state, stream): (&String, i64)| GatewayStream {
        replica: "another".to_owned(),
        stream,
        gateway: format!("gateway-{stream}"),
        state: state.clone(),
        age: SignedDuration::ZERO,
    };
    let rows: Vec<_> = states.iter().zip(0..).map(row).collect();
    test.store.write_streams("another", &rows, SignedDuration::from_secs(60)).await.unwrap();
}

pub fn json(gateway: &Gateway) -> String {
    serde_json::to_string(gateway).unwrap()
}

/// Names of those that have applied revision 5, and those that have not with the reason.
async fn applied(test: &Test, wait_ms: u64) -> (Vec<String>, Vec<(String, String)>) {
    let resources = ["app/a".to_owned()];
    let (applied, pending) = test.api.gateways.applied(5, &resources, Duration::from_millis(wait_ms)).await;
    (applied, pending.into_iter().map(|pending| (pending.gateway, pending.reason)).collect())
}

fn late(gateway: &str, reason: &str) -> (Vec<String>, Vec<(String, String)>) {
    (Vec::new(), vec![(gateway.to_owned(), reason.to_owned())])
}

on_both! {
    async fn a_gateway_of_another_replica_is_awaited(test: Test) {
        write(&test, &[json(&gateway("gw", 4))]).await;
        assert_eq!(applied(&test, 50).await, late("gw", "not acknowledged yet"));
        let (answer, ()) = tokio::join!(applied(&test, 10_000), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            write(&test, &[json(&gateway("gw", 5))]).await;
        });
        assert_eq!(answer, (vec!["gw".to_owned()], Vec::new()));
    }
}

on_both! {
    async fn one_that_vanishes_while_it_is_awaited_has_not_applied(test: Test) {
        write(&test, &[json(&gateway("gw", 4))]).await;
        let (answer, ()) = tokio::join!(applied(&test, 300), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            write(&test, &[]).await;
        });
        assert_eq!(answer, late("gw", "disconnected"));
    }
}

on_both! {
    async fn one_that_disconnected_lately_is_named_and_one_long_gone_is_not(test: Test) {
        let ago = |seconds| Some(test.world.now() - SignedDuration::from_secs(seconds));
        let gone = |seconds| Gateway { connected: false, disconnected_at: ago(seconds), ..gateway("gw", 4) };
        write(&test, &[json(&gone(10))]).await;
        assert_eq!(applied(&test, 50).await, late("gw", "disconnected"));
        write(&test, &[json(&gone(100))]).await;
        assert_eq!(applied(&test, 50).await, (Vec::new(), Vec::new()));
    }
}

on_both! {
    async fn one_that_refuses_the_resource_is_named_though_it_is_further(test: Test) {
        let rejected = vec![RejectedResource { resource: "app/a".to_owned(), reason: "odd".to_owned() }];
        write(&test, &[json(&Gateway { rejected, ..gateway("gw", 9) })]).await;
        assert_eq!(applied(&test, 50).await, late("gw", "refused: odd"));
    }
}

on_both! {
    async fn a_row_that_cannot_be_read_is_no_proof(test: Test) {
        write(&test, &["{\"name\":\"gw\"}".to_owned()]).await;
        let reason = "its replica of the control plane is of another version";
        assert_eq!(applied(&test, 50).await, late("gateway-0", reason));
    }
}

on_both! {
    async fn two_processes_of_one_name_both_count(test: Test) {
        let other = Gateway { instance: "second".to_owned(), ..gateway("gw", 4) };
        write(&test, &[json(&gateway("gw", 5)), json(&other)]).await;
        let (applied, pending) = applied(&test, 50).await;
        assert_eq!((applied.len(), pending.len()), (1, 1));
    }
}
