//! The serialized `GrpcService` that names a gRPC cluster to Envoy.

/// The longest cluster name whose lengths each fit in one byte below 0x80.
const LONGEST: usize = 125;

/// Envoy's `GrpcService { envoy_grpc { cluster_name } }`, serialized. A bare cluster name would
/// first be tried as this message, and some names parse. The SDK takes text, so every byte of it
/// must be ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcService(String);

/// The cluster's name is empty, too long, or not ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name is empty, longer than {LONGEST} characters, or not ASCII")]
pub struct InvalidClusterName;

impl GrpcService {
    /// The service behind `cluster`.
    ///
    /// # Errors
    /// When the name does not fit the encoding.
    pub fn new(cluster: &str) -> Result<Self, InvalidClusterName> {
        if cluster.is_empty() || !cluster.is_ascii() {
            return Err(InvalidClusterName);
        }
        let name = field_1(cluster).ok_or(InvalidClusterName)?;
        field_1(&name).map(Self).ok_or(InvalidClusterName)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A length-delimited field numbered 1.
fn field_1(value: &str) -> Option<String> {
    let length = u8::try_from(value.len()).ok().filter(u8::is_ascii)?;
    Some(format!("\n{}{value}", char::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_envoys() {
        assert_eq!(GrpcService::new("cp").unwrap().as_str(), "\n\x04\n\x02cp");
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert!(GrpcService::new(&"x".repeat(125)).is_ok());
        assert_eq!(GrpcService::new(&"x".repeat(126)), Err(InvalidClusterName));
        assert_eq!(GrpcService::new("é"), Err(InvalidClusterName));
        assert_eq!(GrpcService::new(""), Err(InvalidClusterName));
    }
}
