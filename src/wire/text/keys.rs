//! The object of wrapped data keys that a client-side encrypting producer gives at its handshake (API 3.5).

use crate::wire::text::coerce::{self, Strings};
use crate::wire::text::json::{JsonError, JsonReader, Shape, Source, Value};
use std::borrow::Cow;

/// One member of the object, not yet validated.
#[derive(Debug, Default, PartialEq)]
pub struct KeyEntry<'a> {
    /// Key name.
    pub name: Cow<'a, str>,
    /// `None`: JSON null.
    pub value: Option<WrappedKey<'a>>,
}

/// A wrapped data key.
#[derive(Debug, Default, PartialEq)]
pub struct WrappedKey<'a> {
    /// `keyValue`, base64, not yet decoded.
    pub key_value: Option<Cow<'a, str>>,
    /// `metadata`; null reads as empty.
    pub metadata: Strings<'a>,
}

impl JsonReader {
    /// Reads the object, in order of first appearance, later duplicates winning. Other values are errors.
    pub fn encryption_keys<'a>(&'a mut self, text: &'a mut [u8]) -> Result<Vec<KeyEntry<'a>>, JsonError> {
        self.read(text)
    }
}

impl<'a> Shape<'a> for Vec<KeyEntry<'a>> {
    fn read<S: Source<'a>>(source: &mut S) -> Result<Self, S::Error> {
        match source.value()? {
            Value::Object => {}
            other => return Err(source.refuse(|| coerce::not_a_container("java.util.LinkedHashMap", &other))),
        }
        let mut pairs = Vec::new();
        while let Some(name) = source.name()? {
            pairs.push((name, wrapped_key(source)?));
        }
        coerce::keep_last(&mut pairs);
        Ok(pairs.into_iter().map(|(name, value)| KeyEntry { name, value }).collect())
    }
}

fn wrapped_key<'a, S: Source<'a>>(source: &mut S) -> Result<Option<WrappedKey<'a>>, S::Error> {
    const CLASS: &str = "org.apache.pulsar.client.api.EncryptionKeyInfo";
    match source.value()? {
        Value::Object => {}
        Value::Null => return Ok(None),
        other => return Err(source.refuse(|| coerce::not_a_container(CLASS, &other))),
    }
    let mut key = WrappedKey::default();
    while let Some(name) = source.name()? {
        match &*name {
            "keyValue" => key.key_value = coerce::string(source)?,
            "metadata" => key.metadata = coerce::strings(source)?.unwrap_or_default(),
            _ => source.skip()?,
        }
    }
    Ok(Some(key))
}
