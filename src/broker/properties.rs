//! What is kept with a topic or a cursor in the log beside what the log itself knows: two maps of text in one row of bytes.
//!
//! Layout: version 1 (one byte); then, for each map, a count (u32) and for each pair key and value, each a length (u32) and bytes.
//! Numbers are little-endian. Keys that this version does not know are kept.

use std::collections::BTreeMap;

/// The broker's own facts, and what clients or administrators gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// The broker's.
    pub own: BTreeMap<String, String>,
    /// As given.
    pub given: BTreeMap<String, String>,
}

const VERSION: u8 = 1;

impl Properties {
    /// A number of the broker's own.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.own.get(key).and_then(|text| text.parse().ok())
    }

    /// Sets one of the broker's own.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.own.insert(key.to_owned(), value.to_string());
    }

    /// The bytes to store.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for map in [&self.own, &self.given] {
            out.extend_from_slice(&(map.len() as u32).to_le_bytes());
            for text in map.iter().flat_map(|(key, value)| [key, value]) {
                out.extend_from_slice(&(text.len() as u32).to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }

    /// What was stored. No bytes are no properties; `None`: they are not ours.
    pub fn decode(bytes: &[u8]) -> Option<Properties> {
        let Some((version, mut rest)) = bytes.split_first() else { return Some(Properties::default()) };
        if *version != VERSION {
            return None;
        }
        let mut properties = Properties::default();
        for map in [&mut properties.own, &mut properties.given] {
            for _ in 0..number(&mut rest)? {
                let key = text(&mut rest)?;
                map.insert(key, text(&mut rest)?);
            }
        }
        rest.is_empty().then_some(properties)
    }
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (number, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_le_bytes(*number) as usize)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = number(rest)?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_and_nothing_else() {
        let mut properties = Properties::default();
        properties.set("epoch", 7);
        properties.given.insert("a".into(), "ü".into());
        let bytes = properties.encode();
        assert_eq!(Properties::decode(&bytes), Some(properties.clone()));
        assert_eq!((properties.number("epoch"), properties.number("b")), (Some(7), None));
        assert_eq!(Properties::decode(&[]), Some(Properties::default()));
        assert!((1..bytes.len()).all(|end| Properties::decode(&bytes[..end]).is_none()));
        assert_eq!(Properties::decode(&[bytes.as_slice(), &[0]].concat()), None);
        assert_eq!(Properties::decode(&[2]), None);
    }
}
