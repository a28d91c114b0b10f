//! The gateway's copy of what the control plane publishes: a response is validated whole, applied to the
//! store or rejected with a NACK, and read back by the gates.

pub mod update;

pub mod nack;

pub mod replica;

pub mod view;

pub mod backoff;
