//! The limit of an output, as those feel it who want something of it.

use lamplighter_model::{Value, device::Fault};

use super::{Output, is_on};
use crate::check;

impl Output {
    /// The value of a request within the limit, or why not.
    pub(crate) fn permitted(&self, value: Value) -> Result<Value, Fault> {
        if self.is_always_permitted(&value) {
            return Ok(value);
        }
        check::within(value, self.config.limit.as_ref(), Some(self.data_type))
    }

    /// What comes nearest within the limit to what rules, switches and the configuration want.
    pub(crate) fn nearest(&self, value: Value) -> Value {
        if self.is_always_permitted(&value) {
            return value;
        }
        check::nearest(value, self.config.limit.as_ref(), Some(self.data_type))
    }

    /// As [`Output::value_of_level`], within the limit: on is as much as that permits.
    pub(crate) fn nearest_to_level(&self, level: u8) -> Option<Value> {
        let value = self.value_of_level(level)?;
        Some(self.nearest(value))
    }

    /// `None` where it has no state that is off, or its limit permits none.
    pub(crate) fn off(&self) -> Option<Value> {
        self.nearest_to_level(0).filter(|value| !is_on(value))
    }

    /// What on means here, in words, where it is wanted and the limit permits less than everything.
    pub(crate) fn limited(&self) -> Option<String> {
        let full = self.value_of_level(100)?;
        let most = self.nearest(full.clone());
        let is_felt = most != full && self.commanded() == Some(&most);
        is_felt.then(|| format!("on is {most}: its limit permits no more"))
    }

    /// The limit of a lamp is for its levels, and off is none of them.
    fn is_always_permitted(&self, value: &Value) -> bool {
        self.config.kind.is_lamp() && !is_on(value)
    }
}
