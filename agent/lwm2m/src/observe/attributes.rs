//! Attributes that a server attaches to paths, and how they are inherited (lwm2m/30, 3).

use std::collections::BTreeMap;

use lamplighter_model::{Address, Path};
use serde::{Deserialize, Serialize};

use crate::{format::link::Link, reject::Reject};

/// Attributes at one path; `None` where nothing is attached.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Attributes {
    /// Shortest time between two notifications, in seconds.
    pub pmin: Option<u32>,
    /// Longest time between two notifications, in seconds; 0 for none.
    pub pmax: Option<u32>,
    pub gt: Option<f64>,
    pub lt: Option<f64>,
    /// Smallest change that is told.
    pub st: Option<f64>,
}

/// One attribute of a request; without a value it is removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attribute {
    Gt(Option<f64>),
    Lt(Option<f64>),
    Pmax(Option<u32>),
    Pmin(Option<u32>),
    St(Option<f64>),
}

/// The attributes of one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeStore {
    attached: BTreeMap<Address, Attributes>,
}

/// Paths that one server may attach attributes to.
const MAX_PATHS: usize = 4096;

impl Attribute {
    /// Reads one query of a Write-Attributes.
    ///
    /// # Errors
    /// 4.00 for what is unknown, malformed or not available in this version.
    pub(crate) fn parse(query: &str) -> Result<Self, Reject> {
        let (name, value) = query.split_once('=').unwrap_or((query, ""));
        match name {
            "gt" => number(value).map(Self::Gt),
            "lt" => number(value).map(Self::Lt),
            "pmax" => seconds(value).map(Self::Pmax),
            "pmin" => seconds(value).map(Self::Pmin),
            "st" => number(value).map(Self::St),
            "con" | "edge" | "epmax" | "epmin" | "hqmax" => Err(Reject::bad_request(format!(
                "attribute {name} is not available in this version"
            ))),
            _ => Err(Reject::bad_request("unknown attribute")),
        }
    }

    /// Whether it looks at the value, so that only single numbers can have it.
    pub(crate) const fn is_value_condition(self) -> bool {
        match self {
            Self::Gt(_) | Self::Lt(_) | Self::St(_) => true,
            Self::Pmax(_) | Self::Pmin(_) => false,
        }
    }
}

impl Attributes {
    pub(crate) const fn set(&mut self, attribute: Attribute) {
        match attribute {
            Attribute::Gt(value) => self.gt = value,
            Attribute::Lt(value) => self.lt = value,
            Attribute::Pmax(value) => self.pmax = value,
            Attribute::Pmin(value) => self.pmin = value,
            Attribute::St(value) => self.st = value,
        }
    }

    /// Whether the attributes of one level agree with each other. pmax below pmin is no error: it
    /// is ignored when it comes to notify.
    pub(crate) fn check(self) -> Result<(), Reject> {
        if self.st.is_some_and(|st| st < 0.0) {
            return Err(Reject::bad_request("st is negative"));
        }
        let (Some(gt), Some(lt)) = (self.gt, self.lt) else {
            return Ok(());
        };
        if lt >= gt || self.st.is_some_and(|st| lt + 2.0 * st >= gt) {
            return Err(Reject::bad_request("lt + 2 st must be less than gt"));
        }
        Ok(())
    }

    pub(crate) const fn has_value_condition(self) -> bool {
        self.gt.is_some() || self.lt.is_some() || self.st.is_some()
    }

    /// Appends what is set to a link, in the usual order.
    pub(crate) fn print(self, mut link: Link) -> Link {
        for (name, value) in [("pmin", self.pmin), ("pmax", self.pmax)] {
            if let Some(value) = value {
                link = link.plain(name, value);
            }
        }
        for (name, value) in [("gt", self.gt), ("lt", self.lt), ("st", self.st)] {
            if let Some(value) = value {
                link = link.number(name, value);
            }
        }
        link
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl AttributeStore {
    /// What is attached to exactly this address.
    pub(crate) fn at(&self, address: Address) -> Option<Attributes> {
        self.attached.get(&address).copied()
    }

    /// What holds for this address: its own attributes, else those of the levels above. Those
    /// below never count, and value conditions pass from a resource to its instances only.
    pub(crate) fn inherited(&self, address: Address) -> Attributes {
        let mut result = Attributes::default();
        if self.attached.is_empty() {
            return result;
        }
        let mut level = address;
        while level.path != Path::Root {
            if let Some(attached) = self.at(level) {
                result.pmin = result.pmin.or(attached.pmin);
                result.pmax = result.pmax.or(attached.pmax);
                result.gt = result.gt.or(attached.gt);
                result.lt = result.lt.or(attached.lt);
                result.st = result.st.or(attached.st);
            }
            level.path = level.path.parent();
        }
        result
    }

    /// Changes what is attached; the answer is what is there now.
    ///
    /// # Errors
    /// Where this server has attached attributes to too many paths.
    pub(crate) fn change(
        &mut self,
        address: Address,
        changes: &[Attribute],
    ) -> Result<Option<Attributes>, Reject> {
        let mut attributes = self.at(address).unwrap_or_default();
        changes.iter().for_each(|change| attributes.set(*change));
        attributes.check()?;
        if attributes.is_empty() {
            self.attached.remove(&address);
            return Ok(None);
        }
        if self.attached.len() >= MAX_PATHS && !self.attached.contains_key(&address) {
            return Err(Reject::new(
                lamplighter_coap::Code::INTERNAL_SERVER_ERROR,
                "too many attributes",
            ));
        }
        self.attached.insert(address, attributes);
        Ok(Some(attributes))
    }

    /// Forgets what is attached to an address and below it; the answer is to which.
    pub(crate) fn remove_below(&mut self, address: Address) -> Vec<Address> {
        let is_below = |of: &Address| of.scope == address.scope && address.path.contains(of.path);
        let removed: Vec<_> = self.attached.keys().copied().filter(is_below).collect();
        for of in &removed {
            self.attached.remove(of);
        }
        removed
    }

    /// Puts back what was saved.
    pub(crate) fn restore(&mut self, address: Address, attributes: Attributes) {
        if self.attached.len() < MAX_PATHS {
            self.attached.insert(address, attributes);
        }
    }
}

/// A time in seconds, nothing for "remove".
fn seconds(value: &str) -> Result<Option<u32>, Reject> {
    if value.is_empty() {
        return Ok(None);
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| value.parse().ok()).flatten();
    seconds
        .map(Some)
        .ok_or_else(|| Reject::bad_request("a period is a number of seconds"))
}

/// A decimal number, nothing for "remove".
fn number(value: &str) -> Result<Option<f64>, Reject> {
    if value.is_empty() {
        return Ok(None);
    }
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let number = plain
        .then(|| value.parse().ok())
        .flatten()
        .filter(|number: &f64| number.is_finite());
    number
        .map(Some)
        .ok_or_else(|| Reject::bad_request("not a number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(path: &str) -> Address {
        Address::gateway(path.parse::<Path>().unwrap())
    }

    fn change(store: &mut AttributeStore, path: &str, queries: &[&str]) -> Result<(), Reject> {
        let changes: Result<Vec<_>, _> = queries
            .iter()
            .map(|query| Attribute::parse(query))
            .collect();
        store.change(address(path), &changes?).map(|_| ())
    }

    #[test]
    fn attributes_are_inherited_from_above_only() {
        let mut store = AttributeStore::default();
        change(&mut store, "/3303", &["pmin=5", "pmax=60"]).unwrap();
        change(&mut store, "/3303/0", &["pmin=10"]).unwrap();
        change(&mut store, "/3303/0/5700", &["pmax=30", "gt=20"]).unwrap();
        let resource = store.inherited(address("/3303/0/5700"));
        assert_eq!(
            (resource.pmin, resource.pmax, resource.gt),
            (Some(10), Some(30), Some(20.0))
        );
        let instance = store.inherited(address("/3303/0"));
        assert_eq!(
            (instance.pmin, instance.pmax, instance.gt),
            (Some(10), Some(60), None)
        );
        change(&mut store, "/3303/0", &["pmin"]).unwrap();
        assert_eq!(store.inherited(address("/3303/0")).pmin, Some(5));
    }

    #[test]
    fn attributes_of_one_level_must_agree() {
        let mut store = AttributeStore::default();
        for wrong in [
            &["gt=5", "lt=5"][..],
            &["gt=10", "lt=5", "st=2.5"],
            &["st=-1"],
            &["pmin=-1"],
            &["pmin=1.5"],
            &["pmin=4294967296"],
            &["gt=abc"],
            &["gt=inf"],
            &["colour=red"],
            &["epmin=1"],
        ] {
            assert!(
                change(&mut store, "/3303/0/5700", wrong).is_err(),
                "{wrong:?}"
            );
        }
        change(&mut store, "/3303/0/5700", &["gt=10", "lt=-5"]).unwrap();
        assert!(change(&mut store, "/3303/0/5700", &["lt=11"]).is_err());
        assert_eq!(
            store.at(address("/3303/0/5700")).unwrap().lt,
            Some(-5.0),
            "a refusal changes nothing"
        );
        change(&mut store, "/3303/0/5700", &["pmin=30", "pmax=20"]).unwrap();
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in ".{0,40}") {
            let _ = Attribute::parse(&query);
        }
    }
}
