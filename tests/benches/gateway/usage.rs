//! What processes and threads have used so far, as `/proc` tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

/// The length of a clock tick in `/proc`: 10 ms on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Fields of `stat`, counted after the name in parentheses.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now, in bytes.
    pub now: u64,
    /// The most that was ever resident, in bytes.
    pub peak: u64,
}

/// A running process or thread.
#[derive(Clone, Debug)]
pub struct Usage(PathBuf);

impl Usage {
    /// Of a process, all threads together.
    pub fn of_process(id: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{id}")))
    }

    /// Of the calling thread alone.
    pub fn of_this_thread() -> anyhow::Result<Self> {
        Ok(Self(Path::new("/proc").join(fs::read_link("/proc/thread-self")?)))
    }

    /// CPU time used, in user and in system mode.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("stat")?;
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let fields = fields.split_whitespace().collect::<Vec<_>>();
        let ticks = |index: usize| -> anyhow::Result<u32> {
            Ok(fields.get(index).context("stat is short")?.parse()?)
        };
        Ok(TICK * (ticks(USER_TICKS)? + ticks(SYSTEM_TICKS)?))
    }

    /// Resident memory.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = self.read("status")?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib =
                line.and_then(|line| line.trim().strip_suffix("kB")).with_context(|| format!("no {name}"))?;
            Ok(kib.trim().parse::<u64>()? * 1024)
        };
        Ok(Memory { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = self.0.join(file);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}
