//! Versions of a topic's schema as records (broker 3.9). What they mean to each other is `broker::schema`'s business.

use serde_json::{Map, Value, json};

use crate::broker::catalogue::{Catalogue, Change, Expect};

/// One version of a topic's schema.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaRecord {
    /// `AVRO`, `JSON`, …: the names of the REST interface.
    pub kind: String,
    /// When it was made, milliseconds since the epoch.
    pub timestamp: i64,
    /// The definition, as the client gave it.
    pub data: Vec<u8>,
    /// Text to text.
    pub properties: Map<String, Value>,
    /// It says that the schema was deleted.
    pub deleted: bool,
}

impl SchemaRecord {
    pub(super) fn read(map: &Map<String, Value>) -> Option<SchemaRecord> {
        let data = map.get("data")?.as_str()?;
        Some(SchemaRecord {
            kind: map.get("type")?.as_str()?.to_owned(),
            timestamp: map.get("timestamp")?.as_i64()?,
            data: base64_simd::STANDARD.decode_to_vec(data.as_bytes()).ok()?,
            properties: map.get("properties").and_then(Value::as_object).cloned().unwrap_or_default(),
            deleted: map.get("deleted").and_then(Value::as_bool).unwrap_or(false),
        })
    }

    fn write(&self) -> Vec<u8> {
        let data = base64_simd::STANDARD.encode_to_string(&self.data);
        let value = json!({
            "type": self.kind, "timestamp": self.timestamp, "data": data,
            "properties": self.properties, "deleted": self.deleted,
        });
        value.to_string().into_bytes()
    }
}

impl Catalogue {
    /// Versions of a schema by [`crate::broker::catalogue::names::schema_id`], oldest first, deletions included.
    pub fn schemas(&self, id: &str) -> impl DoubleEndedIterator<Item = (u64, &SchemaRecord)> {
        let versions = self.schemas.get(id);
        versions.into_iter().flatten().map(|(number, found)| (*number, &found.value))
    }

    /// The next version of a schema. Two that are made at once get the same number, and only one is written.
    pub fn plan_schema(&self, id: &str, record: &SchemaRecord) -> (u64, Change) {
        let next = self.schemas(id).next_back().map_or(0, |(number, _)| number + 1);
        let change =
            Change { key: schema_key(id, next), expect: Expect::Absent, value: Some(record.write()) };
        (next, change)
    }

    /// All versions go, as with their topic.
    pub fn plan_schemas_gone(&self, id: &str) -> Vec<Change> {
        let gone = |number| Change { key: schema_key(id, number), expect: Expect::Any, value: None };
        self.schemas(id).map(|(number, _)| gone(number)).collect()
    }
}

fn schema_key(id: &str, number: u64) -> String {
    format!("schema/{id}/{number:010}")
}
