//! Topic names (binary protocol 5; API 1.2).

use crate::wire::text::clip;
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

const PERSISTENT: &str = "persistent";
const NON_PERSISTENT: &str = "non-persistent";
const PARTITION: &str = "-partition-";

impl TopicName {
    /// Reads a full name, or a short one: `t` is `persistent://public/default/t`, `tenant/ns/t` gets the
    /// scheme.
    pub fn parse(text: &str) -> Result<TopicName, TopicError> {
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            match text.matches('/').count() {
                0 => format!("{PERSISTENT}://public/default/{text}"),
                2 => format!("{PERSISTENT}://{text}"),
                _ => return Err(TopicError(format!("{}: give t or tenant/namespace/t", clip(text)))),
            }
        };
        let because = |reason: &str| Err(TopicError(format!("{}: {reason}", clip(text))));
        let (domain, rest) = full.split_once("://").expect("it has a scheme by now");
        if !is_domain(domain) {
            return because("the domain is neither persistent nor non-persistent");
        }
        let mut names = rest.splitn(4, '/').collect::<Vec<_>>();
        let local = names.pop().unwrap_or_default();
        if names.len() < 2 {
            return because("tenant, namespace and local name are needed");
        }
        if !names.iter().all(|name| is_name(name)) {
            return because("tenant and namespace may hold letters, digits and -=:._ only");
        }
        if local.trim().is_empty() {
            return because("the local name is blank");
        }
        Ok(TopicName { full })
    }

    /// The full name.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// True for `persistent://`.
    pub fn is_persistent(&self) -> bool {
        self.full.starts_with("persistent://")
    }

    /// `tenant/namespace`, or `tenant/cluster/namespace` for V1 names.
    pub fn namespace(&self) -> &str {
        self.split().0
    }

    /// The path of its resources, `domain/tenant/namespace/local` with all behind the second slash percent-encoded as one element:
    /// servers read the older form with a cluster from it as well.
    pub fn path(&self) -> String {
        let (domain, rest) = self.full.split_once("://").unwrap_or_default();
        let end = rest.match_indices('/').nth(1).map_or(rest.len(), |(at, _)| at);
        let mut path = format!("{domain}/{}/", &rest[..end]);
        for byte in rest.as_bytes().get(end + 1..).unwrap_or_default() {
            match byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                true => path.push(char::from(*byte)),
                false => path.push_str(&format!("%{byte:02X}")),
            }
        }
        path
    }

    /// The part after the namespace.
    pub fn local(&self) -> &str {
        self.split().1
    }

    /// The partition index when the name ends in `-partition-N`; -1 otherwise.
    pub fn partition(&self) -> i32 {
        let Some((_, digits)) = self.full.rsplit_once(PARTITION) else { return -1 };
        let plain =
            digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        if plain { digits.parse().unwrap_or(-1) } else { -1 }
    }

    /// Whether the local name has `-partition-` anywhere in it: no topic of this name can have partitions.
    pub fn looks_partitioned(&self) -> bool {
        self.local().contains(PARTITION)
    }

    /// Partition `index` of this topic.
    pub fn with_partition(&self, index: u32) -> TopicName {
        let suffix = format!("{PARTITION}{index}");
        if self.full.ends_with(&suffix) {
            return self.clone();
        }
        TopicName { full: format!("{}{suffix}", self.full) }
    }

    /// The topic without its `-partition-N`.
    pub fn base(&self) -> TopicName {
        if self.partition() < 0 {
            return self.clone();
        }
        let end = self.full.rfind(PARTITION).expect("it names a partition");
        TopicName { full: self.full[..end].to_owned() }
    }

    /// Namespace and local name. Four parts make a V1 name, whose local name has whatever slashes remain.
    fn split(&self) -> (&str, &str) {
        let rest = self.full.split_once("://").map_or("", |(_, rest)| rest);
        let namespace_slashes = if rest.matches('/').count() >= 3 { 3 } else { 2 };
        let end = rest.match_indices('/').nth(namespace_slashes - 1).map_or(rest.len(), |(at, _)| at);
        (&rest[..end], rest.get(end + 1..).unwrap_or_default())
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// Whether a full name is one of this namespace's. Those of `a/b/c` are none of `a/b`'s.
pub fn is_in_namespace(name: &str, namespace: &str) -> bool {
    let rest = name.split_once("://").map_or("", |(_, rest)| rest);
    let local = rest.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/'));
    local.is_some_and(|local| has_cluster(namespace) || !local.contains('/'))
}

/// A namespace of the older form, `tenant/cluster/namespace`.
pub fn has_cluster(namespace: &str) -> bool {
    namespace.matches('/').count() == 2
}

/// One of the two words before `://`.
pub(super) fn is_domain(text: &str) -> bool {
    text == PERSISTENT || text == NON_PERSISTENT
}

/// A tenant, cluster or namespace: `^[-=:.\w]*$` and not empty (protocol 5).
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-=:._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn full(text: &str) -> String {
        TopicName::parse(text).map_or_else(|error| error.to_string(), |name| name.to_string())
    }

    #[test]
    fn short_names_are_completed() {
        assert_eq!(full("t"), "persistent://public/default/t");
        assert_eq!(full("tenant/ns/t"), "persistent://tenant/ns/t");
        assert_eq!(full("non-persistent://tenant/ns/t"), "non-persistent://tenant/ns/t");
    }

    #[test]
    fn parts_of_v2_and_v1_names() {
        let v2 = TopicName::parse("persistent://a/b/c d").expect("valid");
        assert_eq!((v2.namespace(), v2.local(), v2.is_persistent()), ("a/b", "c d", true));
        let v1 = TopicName::parse("non-persistent://a/cluster/b/c/d").expect("valid");
        assert_eq!((v1.namespace(), v1.local(), v1.is_persistent()), ("a/cluster/b", "c/d", false));
    }

    #[test]
    fn a_namespace_has_its_own_topics_only() {
        let is = |name: &str, namespace| is_in_namespace(&format!("persistent://{name}"), namespace);
        assert!(is("a/b/t", "a/b") && is("a/b/c/t", "a/b/c") && is("a/b/c/t/u", "a/b/c"));
        assert!(!is("a/b/c/t", "a/b") && !is("a/bc/t", "a/b") && !is("a/b/t", "a/b/c") && !is("a/b", "a/b"));
    }

    #[test]
    fn paths_have_three_elements_behind_the_domain() {
        let path = |name: &str| TopicName::parse(name).expect("valid").path();
        assert_eq!(path("t"), "persistent/public/default/t");
        assert_eq!(
            path("non-persistent://a/cluster/b/c/d \u{e4}"),
            "non-persistent/a/cluster/b%2Fc%2Fd%20%C3%A4"
        );
        assert_eq!(path("persistent://a/b/c%2F?"), "persistent/a/b/c%252F%3F");
    }

    #[test]
    fn impossible_names_are_refused() {
        for text in [
            "",
            " ",
            "a/b",
            "a/b/c/d",
            "x://a/b/c",
            "Persistent://a/b/c",
            "persistent://a/b",
            "persistent://a/b/",
            "persistent://a//c",
            "persistent:///b/c",
            "persistent://a b/c/d",
            "persistent://a/b/c d/e",
            "persistent://",
            "://",
            "persistent://a/b/ ",
            "a%2Fb/c/d",
        ] {
            assert!(TopicName::parse(text).is_err(), "{text:?}");
        }
        let long = "x".repeat(10_000) + "://";
        assert!(TopicName::parse(&long).expect_err("bad domain").to_string().len() < 300);
    }

    #[test]
    fn partitions() {
        let topic = TopicName::parse("t").expect("valid");
        let third = topic.with_partition(3);
        assert_eq!(third.as_str(), "persistent://public/default/t-partition-3");
        assert_eq!((third.partition(), third.base()), (3, topic.clone()));
        assert_eq!(third.with_partition(3), third);
        assert_eq!(third.with_partition(4).as_str(), "persistent://public/default/t-partition-3-partition-4");
        assert_eq!((topic.partition(), topic.base()), (-1, topic));
        for tail in ["-partition-", "-partition-01", "-partition-x", "-partition--1", "-partition-+1"] {
            let name = TopicName::parse(&format!("t{tail}")).expect("valid");
            assert_eq!(name.partition(), -1, "{name}");
        }
        assert_eq!(TopicName::parse("t-partition-99999999999").expect("valid").partition(), -1);
        assert_eq!(TopicName::parse("t-partition-0").expect("valid").partition(), 0);
    }

    #[test]
    fn random_texts_never_panic() {
        let mut random = Prng::new(3);
        let pieces =
            ["persistent://", "/", "a", "-partition-", "7", "\u{e4}", ":", "%", " ", "non-persistent://"];
        for round in 0..20_000 {
            let text: String = (0..random.below(9)).map(|_| pieces[random.below(10) as usize]).collect();
            if let Ok(name) = TopicName::parse(&text) {
                let again = TopicName::parse(name.as_str());
                assert_eq!(again.as_ref(), Ok(&name), "seed 3, round {round}: {text:?}");
                assert!(
                    !name.local().is_empty() && !name.namespace().is_empty(),
                    "seed 3, round {round}: {text:?}"
                );
                assert_eq!(name.with_partition(5).partition(), 5, "seed 3, round {round}: {text:?}");
                assert!(name.base().as_str().len() <= name.as_str().len());
            }
        }
    }
}
