//! Changes of the meta store as values.

use crate::broker::admin::Refused;
use crate::broker::catalogue::{Catalogue, Versioned};

/// What a change's record must be like when it is written, or nothing of the plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any state.
    Any,
    /// There is none.
    Absent,
    /// It has this version.
    Version(u64),
}

/// One record to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key, see [`crate::broker::catalogue`].
    pub key: String,
    /// What is there before.
    pub expect: Expect,
    /// What is there afterwards; `None`: nothing.
    pub value: Option<Vec<u8>>,
}

/// What to write, all or nothing; or why it is not done.
pub type Plan = Result<Vec<Change>, Refused>;

/// A change of a record that was read with this version, or was not there.
pub(super) fn change<T>(key: String, before: Option<&Versioned<T>>, value: Option<Vec<u8>>) -> Change {
    let expect = before.map_or(Expect::Absent, |found| Expect::Version(found.version));
    Change { key, expect, value }
}

impl Catalogue {
    /// Carries out a plan at once, as the meta store would: for tests and simulations. Versions count up from `version`.
    pub fn apply_plan(&mut self, plan: &[Change], version: u64) {
        for change in plan {
            self.apply(&change.key, version, change.value.as_deref());
        }
    }
}
