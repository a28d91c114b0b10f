//! The providers' side of a request: what is asked of whom, which headers reach the provider, and which
//! of its answer's headers reach the client.

pub mod attempts;

pub mod call;

pub mod forward;

pub mod header_filter;

pub mod provider_body;

pub mod redirect;
