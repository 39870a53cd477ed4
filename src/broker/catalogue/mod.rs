//! The catalogue: what is known of tenants, namespaces and topics beside the logs. One replica on each core.

/// All that is known beside the logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {}
