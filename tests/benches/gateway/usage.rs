//! What processes and threads have used so far, as `/proc` tells it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

/// The memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident now, in bytes.
    pub now: u64,
    /// The most that was ever resident, in bytes.
    pub peak: u64,
}

/// A running process, or a thread.
#[derive(Clone, Debug)]
pub enum Usage {
    /// All threads of the process with this id.
    Process(u32),
    /// A thread's folder in `/proc`.
    Thread(PathBuf),
}

impl Usage {
    /// Of the calling thread alone.
    pub fn of_this_thread() -> anyhow::Result<Self> {
        Ok(Self::Thread(Path::new("/proc").join(fs::read_link("/proc/thread-self")?)))
    }

    /// CPU time used, in user and in system mode. `schedstat` counts nanoseconds, where `stat`
    /// counts ticks of 10 ms, but counts each thread by itself.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut total = Duration::ZERO;
        for thread in &self.threads()? {
            let schedstat = read(&thread.join("schedstat"))?;
            let nanos = schedstat.split_whitespace().next().context("schedstat is empty")?;
            total += Duration::from_nanos(nanos.parse()?);
        }
        Ok(total)
    }

    /// Resident memory that is its own, and its share of what it has in common with others, in bytes.
    pub fn proportional_memory(&self) -> anyhow::Result<u64> {
        bytes_in(&read(&self.folder().join("smaps_rollup"))?, "Pss:")
    }

    /// Resident memory.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        let status = read(&self.folder().join("status"))?;
        Ok(Memory { now: bytes_in(&status, "VmRSS:")?, peak: bytes_in(&status, "VmHWM:")? })
    }

    fn folder(&self) -> PathBuf {
        match self {
            Self::Process(id) => PathBuf::from(format!("/proc/{id}")),
            Self::Thread(folder) => folder.clone(),
        }
    }

    fn threads(&self) -> anyhow::Result<Vec<PathBuf>> {
        let Self::Process(_) = self else { return Ok(vec![self.folder()]) };
        let threads = fs::read_dir(self.folder().join("task"))?;
        Ok(threads.map(|thread| thread.map(|thread| thread.path())).collect::<Result<_, _>>()?)
    }
}

/// What a file of `/proc` says in kB behind a name, in bytes.
fn bytes_in(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).with_context(|| format!("no {name}"))?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
