//! Tokens from simd-json's tape. It knows numbers by value only, so it is sometimes unsure.

use crate::wire::text::json::{Source, Value};
use simd_json::{Node, StaticNode};
use std::borrow::Cow;

/// The tape cannot tell: the lenient reader must look at the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsure;

/// Objects and arrays our texts nest in one another where we look inside; what is skipped does not count.
const OPEN_MAX: usize = 4;

/// A place on a filled tape.
pub(super) struct TapeSource<'t, 'a> {
    rest: &'t [Node<'a>],
    /// Members or items left in each open object or array, outermost first.
    left: [usize; OPEN_MAX],
    open: usize,
}

impl<'t, 'a> TapeSource<'t, 'a> {
    pub(super) fn new(nodes: &'t [Node<'a>]) -> Self {
        TapeSource { rest: nodes, left: [0; OPEN_MAX], open: 0 }
    }

    fn node(&mut self) -> Result<Node<'a>, Unsure> {
        let (node, rest) = self.rest.split_first().ok_or(Unsure)?;
        self.rest = rest;
        Ok(*node)
    }

    fn begin(&mut self, length: usize) -> Result<(), Unsure> {
        *self.left.get_mut(self.open).ok_or(Unsure)? = length;
        self.open += 1;
        Ok(())
    }

    /// Counts one member or item; false when the innermost has none left, which ends it.
    fn advance(&mut self) -> Result<bool, Unsure> {
        let innermost = self.open.checked_sub(1).ok_or(Unsure)?;
        match self.left[innermost].checked_sub(1) {
            Some(left) => self.left[innermost] = left,
            None => {
                self.open = innermost;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<'a> Source<'a> for TapeSource<'_, 'a> {
    type Error = Unsure;

    fn value(&mut self) -> Result<Value<'a>, Unsure> {
        Ok(match self.node()? {
            Node::String(text) => Value::Text(Cow::Borrowed(text)),
            Node::Object { len, .. } => {
                self.begin(len)?;
                Value::Object
            }
            Node::Array { len, .. } => {
                self.begin(len)?;
                Value::Array
            }
            Node::Static(StaticNode::Null) => Value::Null,
            Node::Static(StaticNode::Bool(value)) => Value::Bool(value),
            Node::Static(StaticNode::I64(number)) => Value::Integer(number),
            Node::Static(StaticNode::U64(number)) => {
                Value::Integer(i64::try_from(number).map_err(|_| Unsure)?)
            }
            Node::Static(_) => return Err(Unsure),
        })
    }

    fn name(&mut self) -> Result<Option<Cow<'a, str>>, Unsure> {
        if !self.advance()? {
            return Ok(None);
        }
        match self.node()? {
            Node::String(name) => Ok(Some(Cow::Borrowed(name))),
            _ => Err(Unsure),
        }
    }

    fn item(&mut self) -> Result<bool, Unsure> {
        self.advance()
    }

    fn skip(&mut self) -> Result<(), Unsure> {
        if let Node::Object { count, .. } | Node::Array { count, .. } = self.node()? {
            self.rest = self.rest.get(count..).ok_or(Unsure)?;
        }
        Ok(())
    }

    fn refuse(&self, _message: impl FnOnce() -> String) -> Unsure {
        Unsure
    }
}
