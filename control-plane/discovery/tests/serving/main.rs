//! The servers over loopback, against a source in memory.

mod support;

mod discovery;

mod ads;
