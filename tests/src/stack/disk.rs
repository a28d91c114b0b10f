//! A disk that can be full, for a while.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// A small file system of its own, where that may be mounted; else an ordinary folder.
#[derive(Debug)]
pub struct Disk {
    dir: TempDir,
    mounted: bool,
}

impl Disk {
    /// An empty one of this many MiB.
    ///
    /// # Errors
    /// When no folder can be made.
    pub fn small(mib: u32) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("latchkey-disk-").tempdir()?;
        let size = format!("size={mib}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        Ok(Self { mounted: mount.is_ok_and(|mount| mount.status.success()), dir })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it can be full.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.mounted
    }

    /// Fills it up.
    ///
    /// # Errors
    /// When the file that fills it cannot be made.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.ballast())?;
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When the file that fills it cannot be removed.
    pub fn free(&self) -> anyhow::Result<()> {
        fs::remove_file(self.ballast()).context("freeing the disk")
    }

    fn ballast(&self) -> PathBuf {
        self.dir.path().join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily, since a process may still be on its way out.
            let _ = Command::new("umount").arg("--lazy").arg(self.dir.path()).output();
        }
    }
}

/// Lets a process write no file beyond this many bytes; none lets it write all.
///
/// # Errors
/// When that cannot be said to it.
pub fn limit_files(process: u32, bytes: Option<u64>) -> anyhow::Result<()> {
    let soft = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let mut prlimit = Command::new("prlimit");
    let output = prlimit.args([format!("--pid={process}"), format!("--fsize={soft}:")]).output()?;
    ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
