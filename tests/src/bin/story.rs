//! Tells one story of `tests/portal` by itself: `story screenshots.py`. Prints what it prints.

use anyhow::Context as _;
use latchkey_tests::portal;
use latchkey_tests::stack::Stack;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let script = std::env::args().nth(1).context("say which story: story screenshots.py")?;
    let stack = Stack::start().await?;
    println!("{:#}", portal::tell(&script, &stack).await?);
    Ok(())
}
