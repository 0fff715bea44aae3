//! Attributes that a server attaches to paths, and how they are inherited (lwm2m/30, 3).

use std::collections::BTreeMap;

use lamplighter_model::{Address, Path};
use serde::{Deserialize, Serialize};

use crate::{format::link::Link, registration::Enabler, reject::Reject};

/// Attributes at one path; `None` where nothing is attached.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Attributes {
    /// Whether notifications are confirmable.
    pub con: Option<bool>,
    /// Which change of a boolean is told: true for the rise, false for the fall.
    pub edge: Option<bool>,
    /// Longest time between two evaluations, in seconds.
    pub epmax: Option<u32>,
    /// Shortest time between two evaluations, in seconds.
    pub epmin: Option<u32>,
    /// Shortest time between two notifications, in seconds.
    pub pmin: Option<u32>,
    /// Longest time between two notifications, in seconds; 0 for none.
    pub pmax: Option<u32>,
    pub gt: Option<f64>,
    /// Values kept for the server while it cannot be told.
    pub hqmax: Option<u32>,
    pub lt: Option<f64>,
    /// Smallest change that is told.
    pub st: Option<f64>,
}

/// One attribute of a request; without a value it is removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attribute {
    Con(Option<bool>),
    Edge(Option<bool>),
    Epmax(Option<u32>),
    Epmin(Option<u32>),
    Gt(Option<f64>),
    Hqmax(Option<u32>),
    Lt(Option<f64>),
    Pmax(Option<u32>),
    Pmin(Option<u32>),
    St(Option<f64>),
}

/// What an attribute looks at, which says where it may stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// The value of a boolean.
    Boolean,
    /// The value of a number.
    Number,
    /// Times and ways of telling: any level.
    Telling,
}

/// The attributes of one server.
#[derive(Clone, Debug)]
pub(crate) struct AttributeStore {
    attached: BTreeMap<Address, Attributes>,
    /// Paths that the server may attach attributes to.
    most: usize,
}

impl Attribute {
    /// Reads one query of a Write-Attributes or an Observe.
    ///
    /// # Errors
    /// 4.00 for what is malformed, or unknown in the version that the server is spoken to in.
    pub(crate) fn parse(query: &str, enabler: Enabler) -> Result<Self, Reject> {
        let (name, value) = query.split_once('=').unwrap_or((query, ""));
        let attribute = match name {
            "con" => flag(value).map(Self::Con),
            "edge" => flag(value).map(Self::Edge),
            "epmax" => whole(value).map(Self::Epmax),
            "epmin" => whole(value).map(Self::Epmin),
            "gt" => number(value).map(Self::Gt),
            "hqmax" => whole(value).map(Self::Hqmax),
            "lt" => number(value).map(Self::Lt),
            "pmax" => whole(value).map(Self::Pmax),
            "pmin" => whole(value).map(Self::Pmin),
            "st" => number(value).map(Self::St),
            _ => return Err(unknown()),
        }?;
        if attribute.since() > enabler {
            return Err(unknown());
        }
        Ok(attribute)
    }

    pub(crate) const fn subject(self) -> Subject {
        match self {
            Self::Edge(_) => Subject::Boolean,
            Self::Gt(_) | Self::Lt(_) | Self::St(_) => Subject::Number,
            Self::Con(_)
            | Self::Epmax(_)
            | Self::Epmin(_)
            | Self::Hqmax(_)
            | Self::Pmax(_)
            | Self::Pmin(_) => Subject::Telling,
        }
    }

    /// Whether an Observe-Composite may carry it (lwm2m/30, 5).
    pub(crate) const fn suits_composite(self) -> bool {
        match self {
            Self::Con(_) | Self::Epmax(_) | Self::Epmin(_) | Self::Pmax(_) | Self::Pmin(_) => true,
            Self::Edge(_) | Self::Gt(_) | Self::Hqmax(_) | Self::Lt(_) | Self::St(_) => false,
        }
    }

    const fn since(self) -> Enabler {
        match self {
            Self::Gt(_) | Self::Lt(_) | Self::Pmax(_) | Self::Pmin(_) | Self::St(_) => {
                Enabler::V1_0
            }
            Self::Epmax(_) | Self::Epmin(_) => Enabler::V1_1,
            Self::Con(_) | Self::Edge(_) | Self::Hqmax(_) => Enabler::V1_2,
        }
    }
}

impl Attributes {
    /// With the changes of one request.
    pub(crate) fn with(mut self, changes: &[Attribute]) -> Self {
        changes.iter().for_each(|change| self.set(*change));
        self
    }

    const fn set(&mut self, attribute: Attribute) {
        match attribute {
            Attribute::Con(value) => self.con = value,
            Attribute::Edge(value) => self.edge = value,
            Attribute::Epmax(value) => self.epmax = value,
            Attribute::Epmin(value) => self.epmin = value,
            Attribute::Gt(value) => self.gt = value,
            Attribute::Hqmax(value) => self.hqmax = value,
            Attribute::Lt(value) => self.lt = value,
            Attribute::Pmax(value) => self.pmax = value,
            Attribute::Pmin(value) => self.pmin = value,
            Attribute::St(value) => self.st = value,
        }
    }

    /// Whether the attributes of one level agree with each other. pmax below pmin is no error: it
    /// is ignored when it comes to notify.
    pub(crate) fn check(self) -> Result<(), Reject> {
        if !self.has_sound_evaluation() {
            return Err(Reject::bad_request("epmin must be less than epmax"));
        }
        if !self.has_sound_conditions() {
            return Err(Reject::bad_request(
                "st is not negative, and lt + 2 st is less than gt",
            ));
        }
        Ok(())
    }

    /// Without those that contradict each other because they came from several writes or levels:
    /// none of them counts (lwm2m/30, 3).
    pub(crate) fn sound(mut self) -> Self {
        if !self.has_sound_evaluation() {
            (self.epmin, self.epmax) = (None, None);
        }
        if !self.has_sound_conditions() {
            (self.gt, self.lt, self.st) = (None, None, None);
        }
        self
    }

    pub(crate) const fn has_value_condition(self) -> bool {
        self.gt.is_some() || self.lt.is_some() || self.st.is_some()
    }

    /// Appends what is set to a link, in the usual order.
    pub(crate) fn print(self, link: Link) -> Link {
        let whole = |link: Link, name, value: Option<u32>| match value {
            Some(value) => link.plain(name, value),
            None => link,
        };
        let number = |link: Link, name, value: Option<f64>| match value {
            Some(value) => link.number(name, value),
            None => link,
        };
        let flag = |value: Option<bool>| value.map(u32::from);
        let mut link = link;
        for (name, value) in [("pmin", self.pmin), ("pmax", self.pmax)] {
            link = whole(link, name, value);
        }
        for (name, value) in [("gt", self.gt), ("lt", self.lt), ("st", self.st)] {
            link = number(link, name, value);
        }
        for (name, value) in [
            ("epmin", self.epmin),
            ("epmax", self.epmax),
            ("edge", flag(self.edge)),
            ("con", flag(self.con)),
            ("hqmax", self.hqmax),
        ] {
            link = whole(link, name, value);
        }
        link
    }

    /// With the conditions on values of others instead of its own.
    pub(super) const fn with_conditions_of(self, others: Self) -> Self {
        Self {
            edge: others.edge,
            gt: others.gt,
            lt: others.lt,
            st: others.st,
            ..self
        }
    }

    /// What is missing here as it is one level above.
    fn or(self, above: Self) -> Self {
        Self {
            con: self.con.or(above.con),
            edge: self.edge.or(above.edge),
            epmax: self.epmax.or(above.epmax),
            epmin: self.epmin.or(above.epmin),
            pmin: self.pmin.or(above.pmin),
            pmax: self.pmax.or(above.pmax),
            gt: self.gt.or(above.gt),
            hqmax: self.hqmax.or(above.hqmax),
            lt: self.lt.or(above.lt),
            st: self.st.or(above.st),
        }
    }

    fn has_sound_evaluation(self) -> bool {
        !matches!((self.epmin, self.epmax), (Some(epmin), Some(epmax)) if epmin >= epmax)
    }

    fn has_sound_conditions(self) -> bool {
        let st = self.st.unwrap_or(0.0);
        let apart = match (self.gt, self.lt) {
            (Some(gt), Some(lt)) => lt + 2.0 * st < gt,
            (Some(_), None) | (None, Some(_)) | (None, None) => true,
        };
        st >= 0.0 && apart
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl AttributeStore {
    /// For at most so many paths.
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            attached: BTreeMap::new(),
            most,
        }
    }

    /// What is attached to exactly this address.
    pub(crate) fn at(&self, address: Address) -> Option<Attributes> {
        self.attached.get(&address).copied()
    }

    /// What holds for this address: its own attributes, else those of the levels above. Those
    /// below never count. Value conditions pass from a resource to its instances only, as they
    /// cannot stand above a resource.
    pub(crate) fn inherited(&self, address: Address) -> Attributes {
        let mut result = Attributes::default();
        if self.attached.is_empty() {
            return result;
        }
        let mut level = address;
        while level.path != Path::Root {
            result = result.or(self.at(level).unwrap_or_default());
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
        let attributes = self.at(address).unwrap_or_default().with(changes);
        attributes.check()?;
        if attributes.is_empty() {
            self.attached.remove(&address);
            return Ok(None);
        }
        if self.attached.len() >= self.most && !self.attached.contains_key(&address) {
            return Err(Reject::new(
                lamplighter_coap::Code::INTERNAL_SERVER_ERROR,
                "too many attributes",
            ));
        }
        self.attached.insert(address, attributes);
        Ok(Some(attributes))
    }

    /// Removes what is attached to a node that is gone, and below it. The answer is where.
    pub(crate) fn remove_below(&mut self, gone: Address) -> Vec<Address> {
        let removed: Vec<Address> = self.below(gone).collect();
        for address in &removed {
            self.attached.remove(address);
        }
        removed
    }

    /// Where something is attached, from an address downward.
    pub(crate) fn below(&self, above: Address) -> impl Iterator<Item = Address> {
        let at = move |path| Address { path, ..above };
        above
            .path
            .subtree()
            .flat_map(move |paths| {
                let (first, last) = paths.into_inner();
                self.attached.range(at(first)..=at(last))
            })
            .map(|(address, _)| *address)
    }

    /// Puts back what was saved.
    pub(crate) fn restore(&mut self, address: Address, attributes: Attributes) {
        if self.attached.len() < self.most {
            self.attached.insert(address, attributes);
        }
    }
}

fn unknown() -> Reject {
    Reject::bad_request("unknown attribute")
}

/// 0 or 1, nothing for "remove".
fn flag(value: &str) -> Result<Option<bool>, Reject> {
    match value {
        "" => Ok(None),
        "0" => Ok(Some(false)),
        "1" => Ok(Some(true)),
        _ => Err(Reject::bad_request("the attribute is 0 or 1")),
    }
}

/// A whole number, nothing for "remove".
fn whole(value: &str) -> Result<Option<u32>, Reject> {
    if value.is_empty() {
        return Ok(None);
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number
        .map(Some)
        .ok_or_else(|| Reject::bad_request("not a whole number"))
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

    const MANY: usize = 40;

    fn address(path: &str) -> Address {
        Address::gateway(path.parse::<Path>().unwrap())
    }

    fn change(store: &mut AttributeStore, path: &str, queries: &[&str]) -> Result<(), Reject> {
        let changes: Result<Vec<_>, _> = queries
            .iter()
            .map(|query| Attribute::parse(query, Enabler::V1_2))
            .collect();
        store.change(address(path), &changes?).map(|_| ())
    }

    #[test]
    fn attributes_are_inherited_from_above_only() {
        let mut store = AttributeStore::new(MANY);
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
        let mut store = AttributeStore::new(MANY);
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
            &["epmin=1", "epmax=1"],
            &["epmin=-1"],
            &["edge=2"],
            &["con=true"],
            &["hqmax=-3"],
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

    #[test]
    fn what_a_version_does_not_know_is_refused_as_unknown() {
        let known = |query, enabler| Attribute::parse(query, enabler).is_ok();
        for query in ["pmin=1", "pmax=1", "gt=1", "lt=1", "st=1"] {
            assert!(known(query, Enabler::V1_0), "{query}");
        }
        for query in ["epmin=1", "epmax=1"] {
            assert!(!known(query, Enabler::V1_0), "{query}");
            assert!(known(query, Enabler::V1_1), "{query}");
        }
        for query in ["edge=1", "con=1", "hqmax=1"] {
            assert!(!known(query, Enabler::V1_1), "{query}");
            assert!(known(query, Enabler::V1_2), "{query}");
        }
    }

    #[test]
    fn what_contradicts_itself_by_inheritance_does_not_count() {
        let mut store = AttributeStore::new(MANY);
        change(&mut store, "/3/0/7", &["gt=10", "epmax=5"]).unwrap();
        change(&mut store, "/3/0/7/1", &["lt=20", "epmin=5", "con=1"]).unwrap();
        let sound = store.inherited(address("/3/0/7/1")).sound();
        let expected = Attributes {
            con: Some(true),
            ..Attributes::default()
        };
        assert_eq!(sound, expected);
    }

    #[test]
    fn attributes_die_with_their_node() {
        let mut store = AttributeStore::new(MANY);
        for path in ["/3303", "/3303/1", "/3303/1/5700", "/3303/10"] {
            change(&mut store, path, &["pmin=5"]).unwrap();
        }
        let removed = store.remove_below(address("/3303/1"));
        assert_eq!(removed, [address("/3303/1"), address("/3303/1/5700")]);
        assert!(store.at(address("/3303/10")).is_some());
    }

    #[test]
    fn a_query_sets_or_removes_an_attribute() {
        use Attribute::{Con, Edge, Epmax, Epmin, Gt, Hqmax, Lt, Pmax, Pmin, St};
        for (query, attribute) in [
            ("con=0", Con(Some(false))),
            ("con=1", Con(Some(true))),
            ("con", Con(None)),
            ("edge=0", Edge(Some(false))),
            ("edge=", Edge(None)),
            ("epmax=7", Epmax(Some(7))),
            ("epmin=4294967295", Epmin(Some(u32::MAX))),
            ("gt=-1.5e2", Gt(Some(-150.0))),
            ("gt", Gt(None)),
            ("hqmax=7", Hqmax(Some(7))),
            ("lt=+2", Lt(Some(2.0))),
            ("pmax=0", Pmax(Some(0))),
            ("pmin", Pmin(None)),
            ("st=.5", St(Some(0.5))),
        ] {
            let parsed = Attribute::parse(query, Enabler::V1_2);
            assert_eq!(parsed, Ok(attribute), "{query}");
        }
    }

    /// lwm2m/30, 5.
    #[test]
    fn an_observe_composite_carries_what_is_about_telling_alone() {
        let suits = |query| {
            let attribute = Attribute::parse(query, Enabler::V1_2);
            attribute.unwrap().suits_composite()
        };
        for query in ["con=1", "epmax=1", "epmin=1", "pmax=1", "pmin=1"] {
            assert!(suits(query), "{query}");
        }
        for query in ["edge=1", "gt=1", "hqmax=1", "lt=1", "st=1"] {
            assert!(!suits(query), "{query}");
        }
    }

    /// Core 1.2, 7.3.2: lt + 2 st < gt.
    #[test]
    fn limits_must_stand_further_apart_than_two_steps() {
        let check =
            |queries: &[&str]| change(&mut AttributeStore::new(MANY), "/3303/0/5700", queries);
        assert!(check(&["gt=10", "lt=4", "st=2.9"]).is_ok());
        assert!(check(&["gt=10", "lt=4", "st=3"]).is_err());
        assert!(check(&["gt=10", "st=300"]).is_ok());
        assert!(check(&["lt=10", "st=0"]).is_ok());
    }

    /// lwm2m/30, 5: conditions on values stay those of the resource.
    #[test]
    fn an_observe_composite_says_when_and_the_resource_says_which_values() {
        let all = |value: f64, flag, seconds| Attributes {
            con: Some(flag),
            edge: Some(flag),
            epmax: Some(seconds),
            epmin: Some(seconds),
            gt: Some(value),
            hqmax: Some(seconds),
            lt: Some(value),
            pmax: Some(seconds),
            pmin: Some(seconds),
            st: Some(value),
        };
        let expected = Attributes {
            edge: Some(false),
            gt: Some(2.0),
            lt: Some(2.0),
            st: Some(2.0),
            ..all(1.0, true, 1)
        };
        let (own, attached) = (all(1.0, true, 1), all(2.0, false, 2));
        assert_eq!(own.with_conditions_of(attached), expected);
    }

    #[test]
    fn a_server_attaches_attributes_to_so_many_paths_and_no_more() {
        let path = |instance: usize| format!("/3303/{instance}/5700");
        let mut store = AttributeStore::new(MANY);
        for instance in 0..MANY {
            change(&mut store, &path(instance), &["pmin=5"]).unwrap();
        }
        let refused = change(&mut store, &path(MANY), &["pmin=5"]);
        let code = refused.map_err(|reject| reject.code);
        assert_eq!(code, Err(lamplighter_coap::Code::INTERNAL_SERVER_ERROR));
        change(&mut store, &path(7), &["pmax=5"]).unwrap();
        store.restore(address(&path(MANY)), Attributes::default());
        assert_eq!(store.at(address(&path(MANY))), None);
        change(&mut store, &path(7), &["pmin", "pmax"]).unwrap();
        assert_eq!(store.at(address(&path(7))), None, "nothing is left of it");
        store.restore(address(&path(MANY)), Attributes::default());
        assert!(store.at(address(&path(MANY))).is_some());
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in ".{0,40}") {
            let _ = Attribute::parse(&query, Enabler::V1_2);
        }
    }
}
