//! What is found, one file for each kind of value.

pub(crate) mod words;

pub(crate) mod assignment;
pub(crate) mod beside;
pub(crate) mod birth_date;
pub(crate) mod card;
pub(crate) mod email;
pub(crate) mod iban;
pub(crate) mod ip;
pub(crate) mod jwt;
pub(crate) mod latchkey;
pub(crate) mod long_run;
pub(crate) mod mixed;
pub(crate) mod national;
pub(crate) mod number;
pub(crate) mod pem;
pub(crate) mod phone;
pub(crate) mod phrases;
pub(crate) mod secret;
pub(crate) mod ssn;
pub(crate) mod telegram;
pub(crate) mod url;
pub(crate) mod wallet;

pub(crate) mod checksum;
pub(crate) mod context;
