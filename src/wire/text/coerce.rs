//! Values as the wanted Java type, with Jackson's coercions and refusals (API 3.2).

use crate::wire::pulsar::proto::CompressionType;
use crate::wire::text::clip;
use crate::wire::text::json::{Source, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::ops::RangeInclusive;

const STRING: &str = "java.lang.String";
const COMPRESSION: &str = "org.apache.pulsar.client.api.CompressionType";
/// Up to this many names, comparing each with each is cheaper than an index.
const SCANNED_NAMES_MAX: usize = 16;
/// The values of a Java `long`.
const LONG: RangeInclusive<i64> = i64::MIN..=i64::MAX;
/// The values of a Java `int`.
const INT: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// A string; numbers and booleans as they were written.
pub(super) fn string<'a, S: Source<'a>>(source: &mut S) -> Result<Option<Cow<'a, str>>, S::Error> {
    Ok(Some(match source.value()? {
        Value::Null => return Ok(None),
        Value::Text(text) => text,
        Value::Number(written) => Cow::Borrowed(written),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        // How an integer was written is the lenient reader's to say.
        other => return Err(source.refuse(|| mismatch(STRING, &other))),
    }))
}

/// A string that is to be base64. The decoder refuses whatever else there is in it, so nothing is checked here: of a text whose
/// base64 is refused it is still open whether it is JSON.
pub(super) fn base64<'a, S: Source<'a>>(source: &mut S) -> Result<Option<Cow<'a, [u8]>>, S::Error> {
    if let Some(bytes) = source.unchecked()? {
        return Ok(Some(Cow::Borrowed(bytes)));
    }
    Ok(string(source)?.map(|text| match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }))
}

/// A Java `long`; null and blank strings are 0.
pub(super) fn long<'a, S: Source<'a>>(source: &mut S) -> Result<i64, S::Error> {
    Ok(integer(source, "long", LONG)?.unwrap_or(0))
}

/// A Java `Integer`; null and blank strings are null.
pub(super) fn int<'a, S: Source<'a>>(source: &mut S) -> Result<Option<i32>, S::Error> {
    let number = integer(source, "int", INT)?;
    Ok(number.and_then(|number| i32::try_from(number).ok()))
}

fn integer<'a, S: Source<'a>>(
    source: &mut S,
    class: &str,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, S::Error> {
    let out_of_range = |written: &str| {
        let (min, max) = (range.start(), range.end());
        format!("Numeric value ({}) out of range of {class} ({min} - {max})", clip(written))
    };
    match source.value()? {
        Value::Null => Ok(None),
        Value::Integer(number) if range.contains(&number) => Ok(Some(number)),
        Value::Integer(number) => Err(source.refuse(|| out_of_range(&number.to_string()))),
        Value::Number(written) => match cut_off(written, &range) {
            Some(number) => Ok(Some(number)),
            None => Err(source.refuse(|| out_of_range(written))),
        },
        Value::Text(text) => {
            let trimmed = text.trim();
            if trimmed.is_empty() || trimmed == "null" {
                return Ok(None);
            }
            match trimmed.parse() {
                Ok(number) if range.contains(&number) => Ok(Some(number)),
                _ => Err(source.refuse(|| {
                    let text = clip(&text);
                    not_a_value(class, &text, &format!("not a valid `{class}` value"))
                })),
            }
        }
        other => Err(source.refuse(|| mismatch(class, &other))),
    }
}

/// A number as written without its fraction, if it is in range.
fn cut_off(written: &str, range: &RangeInclusive<i64>) -> Option<i64> {
    if !written.contains(['.', 'e', 'E']) {
        return written.parse().ok().filter(|number| range.contains(number));
    }
    let number: f64 = written.parse().ok()?;
    let in_range = number >= *range.start() as f64 && number <= *range.end() as f64;
    in_range.then_some(number as i64)
}

/// A Java `boolean`; null and blank strings are false.
pub(super) fn boolean<'a, S: Source<'a>>(source: &mut S) -> Result<bool, S::Error> {
    match source.value()? {
        Value::Null => Ok(false),
        Value::Bool(value) => Ok(value),
        Value::Number(written) if !written.contains(['.', 'e', 'E']) => Ok(written != "0"),
        // A zero may have been written `-0`, which is true.
        Value::Integer(number) if number != 0 => Ok(true),
        Value::Text(text) => match text.trim() {
            "" | "null" | "false" | "False" | "FALSE" => Ok(false),
            "true" | "True" | "TRUE" => Ok(true),
            other => Err(source.refuse(|| {
                let text = clip(other);
                not_a_value("boolean", &text, "only \"true\" or \"false\" recognized")
            })),
        },
        other => Err(source.refuse(|| mismatch("boolean", &other))),
    }
}

/// A compression by its word or ordinal; unknown ones read as `None`.
pub(super) fn compression<'a, S: Source<'a>>(source: &mut S) -> Result<Option<CompressionType>, S::Error> {
    let ordinal = match source.value()? {
        Value::Null => None,
        Value::Integer(number) => i32::try_from(number).ok(),
        Value::Number(written) if !written.contains(['.', 'e', 'E']) => written.parse().ok(),
        Value::Text(text) => match text.trim() {
            "NONE" => Some(0),
            "LZ4" => Some(1),
            "ZLIB" => Some(2),
            "ZSTD" => Some(3),
            "SNAPPY" => Some(4),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        },
        other => return Err(source.refuse(|| mismatch(COMPRESSION, &other))),
    };
    Ok(ordinal.and_then(CompressionType::from_wire))
}

/// The refusal of a string that is no value of `class`.
fn not_a_value(class: &str, text: &str, reason: &str) -> String {
    format!("Cannot deserialize value of type `{class}` from String \"{text}\": {reason}")
}

/// An object of strings, in order of first appearance, later duplicates winning; `None` as a value: JSON
/// null.
pub type Strings<'a> = Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>;

/// A Java `Map<String, String>`.
pub(super) fn strings<'a, S: Source<'a>>(source: &mut S) -> Result<Option<Strings<'a>>, S::Error> {
    match source.value()? {
        Value::Object => {}
        Value::Null => return Ok(None),
        other => return Err(source.refuse(|| not_a_container("java.util.LinkedHashMap", &other))),
    }
    let mut pairs = Vec::new();
    while let Some(name) = source.name()? {
        pairs.push((name, string(source)?));
    }
    keep_last(&mut pairs);
    Ok(Some(pairs))
}

/// Gives each name its last value, at the place where it first stood.
pub(super) fn keep_last<V: Default>(pairs: &mut Vec<(Cow<'_, str>, V)>) {
    let mut kept = 0;
    let mut index = BTreeMap::new();
    for at in 0..pairs.len() {
        let known = if pairs.len() <= SCANNED_NAMES_MAX {
            (0..kept).find(|earlier| pairs[*earlier].0 == pairs[at].0)
        } else {
            // So many names are unusual or hostile; an index keeps the work in proportion.
            let first = *index.entry(pairs[at].0.to_string()).or_insert(kept);
            (first < kept).then_some(first)
        };
        if let Some(first) = known {
            pairs[first].1 = mem::take(&mut pairs[at].1);
        } else {
            pairs.swap(kept, at);
            kept += 1;
        }
    }
    pairs.truncate(kept);
}

/// The refusal of a value where `class` is wanted.
pub(super) fn mismatch(class: &str, found: &Value<'_>) -> String {
    let token = match found {
        Value::Object => "Object value (token `JsonToken.START_OBJECT`)",
        Value::Array => "Array value (token `JsonToken.START_ARRAY`)",
        Value::Bool(true) => "Boolean value (token `JsonToken.VALUE_TRUE`)",
        Value::Bool(false) => "Boolean value (token `JsonToken.VALUE_FALSE`)",
        Value::Null => "Null value (token `JsonToken.VALUE_NULL`)",
        Value::Text(_) => "String value (token `JsonToken.VALUE_STRING`)",
        Value::Number(written) if written.contains(['.', 'e', 'E']) => {
            "Floating-point value (token `JsonToken.VALUE_NUMBER_FLOAT`)"
        }
        Value::Number(_) | Value::Integer(_) => "Integer value (token `JsonToken.VALUE_NUMBER_INT`)",
    };
    format!("Cannot deserialize value of type `{class}` from {token}")
}

/// The refusal of a value where an object or a list is wanted.
pub(super) fn not_a_container(class: &str, found: &Value<'_>) -> String {
    let (argument, value) = match found {
        Value::Text(text) => ("String", format!("String value ('{}')", clip(text))),
        Value::Number(written) => ("number", format!("Number value ({})", clip(written))),
        Value::Bool(value) => ("boolean/Boolean", format!("boolean value ({value})")),
        other => return mismatch(class, other),
    };
    format!(
        "Cannot construct instance of `{class}` (although at least one Creator exists): \
         no {argument}-argument constructor/factory method to deserialize from {value}"
    )
}
