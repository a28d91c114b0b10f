//! What a client gets: a refusal, another answer of the gateway's own, or the provider's, which is read
//! for its usage.

pub mod denial;

pub mod reply;

pub mod readiness;

pub mod model_list;

pub mod usage;
