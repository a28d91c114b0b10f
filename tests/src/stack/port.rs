//! Ports that no other test takes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;

/// Below the ports that the system hands out for outgoing connections.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// A port that is free, and stays this process's while a lock on a file says so: a process that
/// is restarted finds its port again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: Option<File>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// When there is none.
    pub fn free() -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("latchkey-ports-{}", rustix::process::getuid().as_raw()));
        std::fs::create_dir_all(&dir)?;
        let start = u16::try_from(std::process::id() * 16 % u32::from(RANGE.end - RANGE.start)).unwrap_or(0);
        for offset in 0..RANGE.end - RANGE.start {
            let number = RANGE.start + (start + offset) % (RANGE.end - RANGE.start);
            let lock = File::create(dir.join(number.to_string()))?;
            if lock.try_lock().is_ok() && TcpListener::bind(local(number)).is_ok() {
                return Ok(Self { number, _lock: Some(lock) });
            }
        }
        Err(anyhow::anyhow!("no port is free")).context("taking a port for a test")
    }

    /// A port that was chosen elsewhere.
    #[must_use]
    pub fn fixed(number: u16) -> Self {
        Self { number, _lock: None }
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on the loopback address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        local(self.number)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
