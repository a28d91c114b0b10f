//! Envoys that take turns under the same load, so that what the machine does besides hits all alike.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use latchkey_tests::stack::gateway::Gateway;

use crate::load::{self, Ask};
use crate::statistics::median;
use crate::stock::Stock;
use crate::system;
use crate::usage::{Memory, Usage};

/// How much load, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Turns of each Envoy.
    pub rounds: u64,
    /// Requests to each before that, until V8 has compiled what it finds hot.
    pub warm_up: u64,
    /// Requests in a turn.
    pub requests: u64,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// What the requests ask for.
    pub ask: Ask,
}

/// An Envoy, and the keys that it is called with.
pub struct Contender<'a> {
    address: SocketAddr,
    usage: Usage,
    stock: &'a Stock,
    /// How many of the stock's keys it is called with.
    keys: u64,
    turns: Vec<Turn>,
}

/// What one turn took.
#[derive(Clone, Copy, Debug)]
struct Turn {
    cpu: Duration,
    elapsed: Duration,
    /// The median of all requests.
    first: Duration,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// CPU time of the whole Envoy process per request, in microseconds.
    Cpu,
    /// Requests per second.
    Throughput,
    /// From a request to the first byte of its answer's body, in microseconds.
    FirstByte,
}

impl<'a> Contender<'a> {
    /// A running Envoy.
    pub fn new(gateway: &Gateway, stock: &'a Stock) -> anyhow::Result<Self> {
        let (address, usage) = (system::address(gateway)?, system::usage(gateway)?);
        Ok(Self { address, usage, stock, keys: stock.len(), turns: vec![] })
    }

    /// The same, called with so many of the keys.
    pub fn with_keys(self, keys: u64) -> Self {
        Self { keys, ..self }
    }

    /// Envoy's memory.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        self.usage.memory()
    }

    /// Its median.
    pub fn median(&self, measure: Measure, course: Course) -> f64 {
        median(self.turns.iter().map(|turn| turn.value(measure, course)))
    }

    /// The median over rounds of its ratio to another's turn in the same round.
    pub fn ratio_to(&self, other: &Self, measure: Measure, course: Course) -> Ratio {
        let turns = self.turns.iter().zip(&other.turns);
        let ratios = turns.map(|(own, other)| own.value(measure, course) / other.value(measure, course));
        let ratios = ratios.collect::<Vec<_>>();
        Ratio {
            median: median(ratios.iter().copied()),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(0.0, f64::max),
        }
    }

    /// How much of one core it used while under load: below 1, something else was waited for.
    pub fn busy(&self) -> f64 {
        median(self.turns.iter().map(|turn| turn.cpu.div_duration_f64(turn.elapsed)))
    }

    /// A turn that sends the requests with these numbers.
    fn turn(&self, course: Course, numbers: Range<u64>) -> anyhow::Result<Turn> {
        let key = |number| self.stock.value(self.stock.draw(number) % self.keys);
        let before = self.usage.cpu()?;
        let took = load::send(self.address, course.connections, numbers, course.ask, &key)?;
        let cpu = self.usage.cpu()? - before;
        let first = median(took.first.iter().map(Duration::as_secs_f64));
        Ok(Turn { cpu, elapsed: took.all, first: Duration::from_secs_f64(first.max(0.0)) })
    }
}

/// A ratio over several rounds.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// The middle one.
    pub median: f64,
    /// The lowest.
    pub least: f64,
    /// The highest.
    pub most: f64,
}

impl Turn {
    fn value(self, measure: Measure, course: Course) -> f64 {
        let requests = course.requests as f64;
        match measure {
            Measure::Cpu => self.cpu.as_secs_f64() * 1e6 / requests,
            Measure::Throughput => requests / self.elapsed.as_secs_f64(),
            Measure::FirstByte => self.first.as_secs_f64() * 1e6,
        }
    }
}

/// Runs the course: A B C, A B C, …
pub fn run(course: Course, contenders: &mut [Contender<'_>]) -> anyhow::Result<()> {
    tokio::task::block_in_place(|| {
        for contender in &*contenders {
            contender.turn(course, 0..course.warm_up)?;
        }
        for round in 0..course.rounds {
            let first = course.warm_up + round * course.requests;
            for contender in &mut *contenders {
                let turn = contender.turn(course, first..first + course.requests)?;
                contender.turns.push(turn);
            }
        }
        Ok(())
    })
}
