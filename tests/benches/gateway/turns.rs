//! The CPU time that Envoy needs for a request, of several kinds that take turns.

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use serde_json::Value;

use crate::load;
use crate::statistics::median;
use crate::system;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 4;

/// Turns of each kind.
const ROUNDS: usize = 30;

/// Turns before that, until V8 has compiled what it finds hot.
const WARM_UP: usize = 3;

/// A chat of an app.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub app: &'a App,
    pub body: &'a Value,
}

/// The median CPU time of a request of each kind, in microseconds, over turns of so many requests.
pub fn cpu_times<const N: usize>(
    stack: &Stack,
    asks: [Ask<'_>; N],
    requests: u64,
) -> anyhow::Result<[f64; N]> {
    let mut times = [const { vec![] }; N];
    for round in 0..WARM_UP + ROUNDS {
        for (ask, times) in asks.iter().zip(&mut times) {
            let time = turn(stack, ask, requests)?;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    Ok(times.map(|times| median(times.into_iter())))
}

fn turn(stack: &Stack, ask: &Ask<'_>, requests: u64) -> anyhow::Result<f64> {
    let (address, usage) = (system::address(stack.gateway())?, system::usage(stack.gateway())?);
    let (key, body) = (|_| ask.app.key.clone(), ask.body.to_string());
    let before = usage.cpu()?;
    load::send_body(address, CONNECTIONS, 0..requests, &body, &key)?;
    Ok((usage.cpu()? - before).as_secs_f64() * 1e6 / requests as f64)
}
