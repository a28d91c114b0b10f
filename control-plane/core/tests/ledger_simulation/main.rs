//! Gateways and a control plane in thousands of random schedules: messages are lost, repeated and late,
//! processes are killed, the control plane forgets what it did not commit, clocks step.
//!
//! What is proven here: no grant goes beyond a limit, no 60 seconds see more requests than allowed, no
//! budget is overspent, each record is applied once, and what a killed gateway held stays charged. And what
//! is left near a limit can be used: `fairness` runs the gateways' own code.

mod budget;
mod fairness;
mod minute;
mod network;
