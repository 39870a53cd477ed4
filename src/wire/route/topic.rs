//! Topic names (binary protocol 5; API 1.2).

use std::fmt;

/// A full topic name, `domain://tenant/namespace/local` (V1: with a cluster), validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName {
    full: String,
}

/// Not a topic name; `Display` says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid topic name: {0}")]
pub struct TopicError(pub String);

impl TopicName {
    /// Reads a full name, or a short one: `t` is `persistent://public/default/t`, `tenant/ns/t` gets the scheme.
    pub fn parse(_text: &str) -> Result<TopicName, TopicError> {
        unimplemented!()
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// True for `persistent://`.
    pub fn is_persistent(&self) -> bool {
        unimplemented!()
    }

    /// `tenant/namespace`, or `tenant/cluster/namespace` for V1 names.
    pub fn namespace(&self) -> &str {
        unimplemented!()
    }

    /// The part after the namespace.
    pub fn local(&self) -> &str {
        unimplemented!()
    }

    /// The partition index when the name ends in `-partition-N`; -1 otherwise.
    pub fn partition(&self) -> i32 {
        unimplemented!()
    }

    /// Partition `index` of this topic.
    pub fn with_partition(&self, _index: u32) -> TopicName {
        unimplemented!()
    }

    /// The topic without its `-partition-N`.
    pub fn base(&self) -> TopicName {
        unimplemented!()
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}
