//! The portal and the admin console in a real Chromium. Each test tells one story of `tests/portal`.

use latchkey_tests::portal::tell;
use latchkey_tests::stack::Stack;

#[tokio::test]
async fn first_picture() {
    let stack = Stack::start().await.unwrap();
    tell("first_picture.py", &stack).await.unwrap();
}
