//! `encryptionKeys` of a producer: wrapped data keys of a client that encrypts by itself (API 3.5).

use crate::wire::pulsar::entry::EncryptionKey;
use crate::wire::route::RouteError;
use crate::wire::text::keys::KeyEntry;
use crate::wire::text::{JsonReader, base64};
use std::borrow::Cow;

/// Reads the parameter. Anything but the base64 of such an object is a list of key names, which we cannot
/// serve.
pub(super) fn read(value: &str) -> Result<Vec<EncryptionKey>, RouteError> {
    let mut text = Vec::new();
    let mut reader = JsonReader::default();
    let entries = match base64::decode(value.as_bytes(), &mut text) {
        Ok(()) => reader.encryption_keys(&mut text).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    match entries.first().and_then(|first| first.value.as_ref()) {
        Some(first) if first.key_value.is_some() => entries.into_iter().map(key).collect(),
        _ => {
            let class = "cryptoKeyReaderFactoryClassName";
            Err(RouteError::invalid(format_args!("Can't add encryption key without configuring {class}")))
        }
    }
}

fn key(entry: KeyEntry<'_>) -> Result<EncryptionKey, RouteError> {
    let empty = |member: &str| RouteError::invalid(format_args!("Empty param encryptionKeys.{member}"));
    if entry.name.trim().is_empty() {
        return Err(empty("key"));
    }
    let wrapped = entry.value.ok_or_else(|| empty("value"))?;
    let key_value =
        wrapped.key_value.filter(|text| !text.is_empty()).ok_or_else(|| empty("value.keyValue"))?;
    let mut value = Vec::new();
    base64::decode(key_value.as_bytes(), &mut value).map_err(|error| {
        RouteError::invalid(format_args!("Invalid encryptionKeys.value.keyValue: {error}"))
    })?;
    let pair = |(name, value): (Cow<'_, str>, Option<Cow<'_, str>>)| {
        let value = value.ok_or_else(|| empty("value.metadata.value"))?;
        Ok((name.into_owned(), value.into_owned()))
    };
    let metadata = wrapped.metadata.into_iter().map(pair).collect::<Result<_, _>>()?;
    Ok(EncryptionKey { name: entry.name.into_owned(), value, metadata })
}
