//! Messages under way.

/// What is sent and has not arrived: it may arrive in any order, more than once, or never.
#[derive(Debug)]
pub struct Network<M>(Vec<M>);

impl<M> Default for Network<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M: Clone> Network<M> {
    pub fn send(&mut self, message: M) {
        self.0.push(message);
    }

    /// One of the messages arrives.
    pub fn deliver(&mut self, which: usize) -> Option<M> {
        let index = which.checked_rem(self.0.len())?;
        Some(self.0.remove(index))
    }

    /// One arrives, and will arrive again.
    pub fn repeat(&mut self, which: usize) -> Option<M> {
        let index = which.checked_rem(self.0.len())?;
        Some(self.0[index].clone())
    }

    /// The message that was sent last arrives.
    pub fn newest(&mut self) -> Option<M> {
        self.0.pop()
    }

    pub fn lose(&mut self, which: usize) {
        self.deliver(which);
    }

    pub fn lose_all(&mut self) {
        self.0.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
