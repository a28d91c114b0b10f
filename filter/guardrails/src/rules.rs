//! What is found, one file for each kind of value.

pub(crate) mod card;
pub(crate) mod checksum;
pub(crate) mod email;
pub(crate) mod long_run;
pub(crate) mod number;
pub(crate) mod secret;
pub(crate) mod ssn;
