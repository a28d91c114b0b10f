//! What an OpenID provider says of a person, and how much of it is believed.

pub mod address;
pub mod groups;
pub mod issuer;
