//! Avro schemas: read from JSON, and resolved reader against writer. Source: Avro specification 1.11, "Schema Resolution" and
//! "Names"; a name counts without its namespace, as the original's checker compares it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::base::limit;

/// Index of a type in its schema.
type Id = usize;

/// A schema. Types refer to each other by index, so that they may refer to themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    types: Vec<Type>,
    root: Id,
}

#[derive(Clone, Debug, PartialEq)]
enum Type {
    /// A named type whose definition is being read.
    Pending,
    Primitive(Primitive),
    Array(Id),
    Map(Id),
    Union(Vec<Id>),
    Fixed {
        name: Name,
        size: u64,
    },
    Enum {
        name: Name,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Record {
        name: Name,
        fields: Vec<Field>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Clone, Debug, PartialEq)]
struct Name {
    /// Without namespace.
    short: String,
    /// With namespace.
    full: String,
    aliases: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: String,
    aliases: Vec<String>,
    of: Id,
    has_default: bool,
}

/// Not an Avro schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// A type that is none.
    #[error("{0}")]
    Type(String),
}

/// Why a reader cannot read what a writer writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Mismatch {
    /// Where, in field names from the root.
    pub path: String,
    /// What.
    pub why: String,
}

impl Primitive {
    fn of(name: &str) -> Option<Primitive> {
        Some(match name {
            "null" => Primitive::Null,
            "boolean" => Primitive::Boolean,
            "int" => Primitive::Int,
            "long" => Primitive::Long,
            "float" => Primitive::Float,
            "double" => Primitive::Double,
            "bytes" => Primitive::Bytes,
            "string" => Primitive::String,
            _ => return None,
        })
    }

    /// A reader of this type takes what a writer of that type wrote.
    fn takes(self, writer: Primitive) -> bool {
        use Primitive::{Bytes, Double, Float, Int, Long, String};
        self == writer
            || matches!(
                (self, writer),
                (Long | Float | Double, Int)
                    | (Float | Double, Long)
                    | (Double, Float)
                    | (String, Bytes)
                    | (Bytes, String)
            )
    }
}

impl Schema {
    /// Reads a schema. Depth is bounded by the JSON reader.
    pub fn parse(text: &[u8]) -> Result<Schema, AvroError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| AvroError::Json(error.to_string()))?;
        let mut reader = Reader { types: Vec::new(), named: BTreeMap::new() };
        let root = reader.read(&value, "")?;
        Ok(Schema { types: reader.types, root })
    }
}

struct Reader {
    types: Vec<Type>,
    named: BTreeMap<String, Id>,
}

fn wrong<T>(what: impl Into<String>) -> Result<T, AvroError> {
    Err(AvroError::Type(what.into()))
}

impl Reader {
    fn add(&mut self, of: Type) -> Id {
        self.types.push(of);
        self.types.len() - 1
    }

    /// Reads a type inside `namespace`.
    fn read(&mut self, value: &Value, namespace: &str) -> Result<Id, AvroError> {
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| self.read(branch, namespace))
                    .collect::<Result<Vec<_>, _>>()?;
                if branches.iter().any(|branch| matches!(self.types[*branch], Type::Union(_))) {
                    return wrong("a union holds another one");
                }
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(map) => self.read_object(map, namespace),
            _ => wrong(format!("{value} is no type")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<Id, AvroError> {
        if let Some(primitive) = Primitive::of(name) {
            return Ok(self.add(Type::Primitive(primitive)));
        }
        let full = full_name(name, namespace);
        match self.named.get(&full).or_else(|| self.named.get(name)) {
            Some(id) => Ok(*id),
            None => wrong(format!("there is no type {name:?}")),
        }
    }

    fn read_object(&mut self, map: &Map<String, Value>, namespace: &str) -> Result<Id, AvroError> {
        let member = |name: &str| map.get(name).ok_or_else(|| AvroError::Type(format!("{name} is missing")));
        match member("type")? {
            Value::String(kind) => match kind.as_str() {
                "array" => {
                    let items = self.read(member("items")?, namespace)?;
                    Ok(self.add(Type::Array(items)))
                }
                "map" => {
                    let values = self.read(member("values")?, namespace)?;
                    Ok(self.add(Type::Map(values)))
                }
                "record" | "error" | "enum" | "fixed" => self.read_named(kind, map, namespace),
                other => self.by_name(other, namespace),
            },
            inner => self.read(inner, namespace),
        }
    }

    fn read_named(&mut self, kind: &str, map: &Map<String, Value>, namespace: &str) -> Result<Id, AvroError> {
        let Some(given) = map.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            return wrong(format!("a {kind} has a name"));
        };
        let namespace = map.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full = full_name(given, namespace);
        let namespace = full.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        let short = full.rsplit('.').next().unwrap_or(given).to_owned();
        let aliases = texts(map.get("aliases")).map(|alias| full_name(alias, &namespace)).collect();
        if self.named.contains_key(&full) {
            return wrong(format!("{full} is defined twice"));
        }
        let id = self.add(Type::Pending);
        self.named.insert(full.clone(), id);
        let name = Name { short, full, aliases };
        self.types[id] = match kind {
            "fixed" => match map.get("size").and_then(Value::as_u64) {
                Some(size) => Type::Fixed { name, size },
                None => return wrong(format!("{} has no size", name.full)),
            },
            "enum" => {
                let symbols: Vec<String> = texts(map.get("symbols")).map(str::to_owned).collect();
                if !map.get("symbols").is_some_and(Value::is_array) {
                    return wrong(format!("{} has no symbols", name.full));
                }
                let default = map.get("default").and_then(Value::as_str).map(str::to_owned);
                Type::Enum { name, symbols, default }
            }
            _ => {
                let fields = self.read_fields(map, &namespace)?;
                Type::Record { name, fields }
            }
        };
        Ok(id)
    }

    fn read_fields(&mut self, map: &Map<String, Value>, namespace: &str) -> Result<Vec<Field>, AvroError> {
        let Some(list) = map.get("fields").and_then(Value::as_array) else {
            return wrong("a record has fields");
        };
        let (mut fields, mut seen) = (Vec::with_capacity(list.len()), BTreeSet::new());
        for field in list {
            let name = field.get("name").and_then(Value::as_str);
            let (Some(name), Some(of)) = (name, field.get("type")) else {
                return wrong(format!("{field} is no field"));
            };
            if !seen.insert(name) {
                return wrong(format!("two fields are named {name}"));
            }
            let of = self.read(of, namespace)?;
            let aliases = texts(field.get("aliases")).map(str::to_owned).collect();
            fields.push(Field {
                name: name.to_owned(),
                aliases,
                of,
                has_default: field.get("default").is_some(),
            });
        }
        Ok(fields)
    }
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

/// Whether a reader reads everything that a writer writes.
pub fn can_read(reader: &Schema, writer: &Schema) -> Result<(), Mismatch> {
    let mut resolution = Resolution { reader, writer, assumed: BTreeSet::new(), steps: 0, path: Vec::new() };
    resolution.types(reader.root, writer.root)
}

struct Resolution<'a> {
    reader: &'a Schema,
    writer: &'a Schema,
    /// Pairs that are being compared, or were: a type that holds itself fits if everything else does.
    assumed: BTreeSet<(Id, Id)>,
    steps: usize,
    path: Vec<String>,
}

impl Resolution<'_> {
    fn mismatch(&self, why: impl Into<String>) -> Result<(), Mismatch> {
        let path = if self.path.is_empty() { "/".to_owned() } else { format!("/{}", self.path.join("/")) };
        Err(Mismatch { path, why: why.into() })
    }

    fn inside(&mut self, name: &str, reader: Id, writer: Id) -> Result<(), Mismatch> {
        self.path.push(name.to_owned());
        let outcome = self.types(reader, writer);
        self.path.pop();
        outcome
    }

    fn types(&mut self, reader: Id, writer: Id) -> Result<(), Mismatch> {
        self.steps += 1;
        if self.steps > limit::AVRO_STEPS_MAX {
            return self.mismatch("too large to be compared");
        }
        if !self.assumed.insert((reader, writer)) {
            return Ok(());
        }
        let outcome = self.resolve(reader, writer);
        if outcome.is_err() {
            self.assumed.remove(&(reader, writer));
        }
        outcome
    }

    fn resolve(&mut self, reader: Id, writer: Id) -> Result<(), Mismatch> {
        let (r, w) = (&self.reader.types[reader], &self.writer.types[writer]);
        match (r, w) {
            (_, Type::Union(branches)) => branches.iter().try_for_each(|branch| self.types(reader, *branch)),
            (Type::Union(branches), _) => {
                let before = self.assumed.clone();
                for branch in branches {
                    if self.types(*branch, writer).is_ok() {
                        return Ok(());
                    }
                    self.assumed.clone_from(&before); // what a failed branch assumed is not known
                }
                self.mismatch("no branch of the reader's union takes what is written")
            }
            (Type::Primitive(r), Type::Primitive(w)) if r.takes(*w) => Ok(()),
            (Type::Array(r), Type::Array(w)) => self.inside("items", *r, *w),
            (Type::Map(r), Type::Map(w)) => self.inside("values", *r, *w),
            (Type::Fixed { name: r, size: rs }, Type::Fixed { name: w, size: ws }) => {
                self.names(r, w)?;
                if rs == ws {
                    Ok(())
                } else {
                    self.mismatch(format!("{ws} bytes are written, {rs} are read"))
                }
            }
            (Type::Enum { name: r, symbols, default }, Type::Enum { name: w, symbols: written, .. }) => {
                self.names(r, w)?;
                match written.iter().find(|symbol| !symbols.contains(symbol)) {
                    Some(symbol) if default.is_none() => {
                        self.mismatch(format!("the reader has no symbol {symbol} and no default"))
                    }
                    _ => Ok(()),
                }
            }
            (Type::Record { name: r, fields }, Type::Record { name: w, fields: written }) => {
                self.names(r, w)?;
                fields.iter().try_for_each(|field| self.field(field, written))
            }
            _ => self.mismatch(format!("{} is written, {} is read", kind(w), kind(r))),
        }
    }

    fn names(&self, reader: &Name, writer: &Name) -> Result<(), Mismatch> {
        if reader.short == writer.short || reader.aliases.contains(&writer.full) {
            return Ok(());
        }
        self.mismatch(format!("{} is written, {} is read", writer.full, reader.full))
    }

    fn field(&mut self, field: &Field, written: &[Field]) -> Result<(), Mismatch> {
        let found = written.iter().find(|other| other.name == field.name);
        match found.or_else(|| written.iter().find(|other| field.aliases.contains(&other.name))) {
            Some(other) => self.inside(&field.name, field.of, other.of),
            None if field.has_default => Ok(()),
            None => self.mismatch(format!("field {} is not written and has no default", field.name)),
        }
    }
}

fn kind(of: &Type) -> String {
    match of {
        Type::Pending => "an unfinished type".to_owned(),
        Type::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        Type::Array(_) => "an array".to_owned(),
        Type::Map(_) => "a map".to_owned(),
        Type::Union(_) => "a union".to_owned(),
        Type::Fixed { name, .. } | Type::Enum { name, .. } | Type::Record { name, .. } => name.full.clone(),
    }
}
