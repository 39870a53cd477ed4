//! Schemas of topics (broker 3.9): is a schema known already, and if not, may it become the next version? AVRO and JSON schemas are
//! compared as Avro's reader and writer ([`avro`]); of all others only the same bytes fit.

pub mod avro;

#[cfg(test)]
mod tests;

use crate::broker::catalogue::{Catalogue, SchemaRecord};

/// Names of schema types in the REST interface, by their number in the protocol.
pub const KINDS: [&str; 23] = [
    "NONE",
    "STRING",
    "JSON",
    "PROTOBUF",
    "AVRO",
    "BOOLEAN",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FLOAT",
    "DOUBLE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "KEY_VALUE",
    "INSTANT",
    "LOCAL_DATE",
    "LOCAL_TIME",
    "LOCAL_DATE_TIME",
    "PROTOBUF_NATIVE",
    "AUTO_CONSUME",
    "EXTERNAL",
];

/// What becomes of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is this version already.
    Known(u64),
    /// It may become the next version.
    New,
    /// It does not fit; why.
    Refused(String),
}

/// A definition that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid schema definition data for {kind} schema: {why}")]
pub struct DefinitionError {
    /// Type of the schema.
    pub kind: String,
    /// What the parser says.
    pub why: String,
}

/// Whether a schema of a type that has a form has that form.
pub fn check(record: &SchemaRecord) -> Result<(), DefinitionError> {
    let wrong = |why: String| DefinitionError { kind: record.kind.clone(), why };
    match record.kind.as_str() {
        "AVRO" => avro::Schema::parse(&record.data).map(drop).map_err(|error| wrong(error.to_string())),
        // Older clients write JSON Schema there.
        "JSON" => serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&record.data)
            .map(drop)
            .map_err(|error| wrong(error.to_string())),
        _ => Ok(()),
    }
}

/// Versions since the schema was last deleted, oldest first.
fn current<'a>(catalogue: &'a Catalogue, id: &str) -> Vec<(u64, &'a SchemaRecord)> {
    let mut versions: Vec<_> =
        catalogue.schemas(id).rev().take_while(|(_, record)| !record.deleted).collect();
    versions.reverse();
    versions
}

/// The version that a schema is, if it is known. By bytes and type; properties do not count.
pub fn find(catalogue: &Catalogue, id: &str, record: &SchemaRecord) -> Option<u64> {
    let same = |(_, known): &(u64, &SchemaRecord)| known.kind == record.kind && known.data == record.data;
    current(catalogue, id).into_iter().find(same).map(|(version, _)| version)
}

/// What becomes of a schema of a topic ([`crate::broker::catalogue::names::schema_id`]) under a compatibility strategy.
pub fn verdict(catalogue: &Catalogue, id: &str, record: &SchemaRecord, strategy: &str) -> Verdict {
    if let Some(version) = find(catalogue, id, record) {
        return Verdict::Known(version);
    }
    if let Err(error) = check(record) {
        return Verdict::Refused(error.to_string());
    }
    let versions = current(catalogue, id);
    let Some((_, newest)) = versions.last() else { return Verdict::New };
    match fits(&versions, newest, record, strategy) {
        Ok(()) => Verdict::New,
        Err(why) => Verdict::Refused(why),
    }
}

/// Whether a consumer with a schema can read what the topic's newest schema writes, where it is not a version of its own.
/// A consumer that reads everything that may come is let in and nothing is registered.
pub fn consumer_verdict(catalogue: &Catalogue, id: &str, record: &SchemaRecord, strategy: &str) -> Verdict {
    // Only what the consumer reads counts, and it need not read what was written before the newest schema unless all must.
    let strategy = match strategy {
        "FORWARD" | "FORWARD_TRANSITIVE" | "FULL" => "BACKWARD",
        other => other,
    };
    match verdict(catalogue, id, record, strategy) {
        Verdict::New => match current(catalogue, id).last() {
            Some((newest, _)) => Verdict::Known(*newest),
            None => Verdict::New,
        },
        other => other,
    }
}

fn fits(
    versions: &[(u64, &SchemaRecord)],
    newest: &SchemaRecord,
    record: &SchemaRecord,
    strategy: &str,
) -> Result<(), String> {
    match strategy {
        "ALWAYS_COMPATIBLE" => return Ok(()),
        "ALWAYS_INCOMPATIBLE" => return Err("the topic takes no new schema (ALWAYS_INCOMPATIBLE)".to_owned()),
        _ => {}
    }
    if newest.kind != record.kind {
        let (old, new) = (&newest.kind, &record.kind);
        return Err(format!("Incompatible schema: exists schema type {old}, new schema type {new}"));
    }
    if !matches!(record.kind.as_str(), "AVRO" | "JSON") {
        return Err(format!("a {} schema must stay as it is", record.kind));
    }
    let all = strategy.ends_with("_TRANSITIVE");
    let compared = if all { versions } else { &versions[versions.len() - 1..] };
    let parse = |record: &SchemaRecord| avro::Schema::parse(&record.data).map_err(|error| error.to_string());
    let new = parse(record)?;
    for (version, known) in compared {
        let old = parse(known)?;
        let reads = |reader: &avro::Schema, writer: &avro::Schema| {
            avro::can_read(reader, writer)
                .map_err(|why| format!("Incompatible with version {version} ({strategy}): {why}"))
        };
        if !strategy.starts_with("FORWARD") {
            reads(&new, &old)?;
        }
        if !strategy.starts_with("BACKWARD") {
            reads(&old, &new)?;
        }
    }
    Ok(())
}
