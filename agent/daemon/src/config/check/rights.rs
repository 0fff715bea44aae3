//! `owner` and `rights` of `[server.NAME]`: who may do what, where there are several servers.

use std::collections::BTreeMap;

use lamplighter_lwm2m::access::{GrantError, Grants, Pattern, Rights};
use lamplighter_model::{ObjectId, tables};

use super::{Checker, below, key};
use crate::config::{layer::Key, schema};

/// Objects about which nothing can be granted: keys are nobody's, and what object 2 says of itself
/// follows from who owns what.
const NOT_GRANTED: [ObjectId; 4] = [ObjectId(0), ObjectId(2), ObjectId(21), ObjectId(23)];

const SAY_WHO: &str = "`owner = true` in the server that owns the box, \
    `rights = { \"*\" = \"R\" }` or the like in the others";

impl Checker<'_> {
    pub(super) fn grants(&mut self, at: &Key, server: &schema::Server) -> Grants {
        let table = below(at, "rights");
        let mut rights = BTreeMap::new();
        for (path, letters) in &server.rights {
            let at = below(&table, path);
            let (pattern, granted) = (self.pattern(&at, path), self.rights(&at, letters));
            if let (Some(pattern), Some(granted)) = (pattern, granted) {
                rights.insert(pattern, granted);
            }
        }
        Grants {
            owner: server.owner.unwrap_or(false),
            rights,
        }
    }

    /// Where there are several, each has something that it may do, and one at most owns the box.
    pub(super) fn shares(&mut self, servers: &BTreeMap<String, schema::Server>) {
        let owns = |server: &schema::Server| server.owner == Some(true);
        let mut owners = servers.iter().filter(|(_, server)| owns(server));
        let owner = owners.next().map(|(name, _)| name);
        if let (Some(first), Some((second, _))) = (owner, owners.next()) {
            self.error(
                &key(&["server", second, "owner"]),
                format!("[server.{first}] owns the box already"),
                "one server is the owner; give the other its `rights`",
            );
        }
        let Some(second) = servers.keys().nth(1) else {
            return;
        };
        let is_silent = |server: &schema::Server| !owns(server) && server.rights.is_empty();
        if servers.values().all(is_silent) {
            self.error(
                &key(&["server", second]),
                "two servers and no rights: say who may write",
                SAY_WHO,
            );
            return;
        }
        for (name, _) in servers.iter().filter(|(_, server)| is_silent(server)) {
            self.warning(
                &key(&["server", name]),
                "this server has no rights but on its own account",
                "for example `rights = { \"*\" = \"R\" }`",
            );
        }
    }

    fn pattern(&mut self, at: &Key, path: &str) -> Option<Pattern> {
        let pattern = match path.parse() {
            Ok(pattern) => pattern,
            Err(error) => {
                self.grant_error(at, path, error);
                return None;
            }
        };
        let object = match pattern {
            Pattern::All => return Some(pattern),
            Pattern::Object(object) => object,
            Pattern::Instance(instance) => instance.object,
        };
        if NOT_GRANTED.contains(&object) {
            let hint = "keys are for no server, and rights are changed by the owner only";
            self.error(
                at,
                format!("nothing can be granted on object {object}"),
                hint,
            );
            return None;
        }
        if self.surroundings.definitions.object(object).is_none() && !self.is_vendor(object) {
            self.warning(at, format!("no definition of object {object} is known"), "");
        }
        Some(pattern)
    }

    fn is_vendor(&self, object: ObjectId) -> bool {
        let number = object.0.checked_sub(self.vendor_object_base);
        number.is_some_and(|number| number < tables::VENDOR_OBJECTS)
    }

    fn rights(&mut self, at: &Key, letters: &str) -> Option<Rights> {
        letters
            .parse()
            .map_err(|error| self.grant_error(at, letters, error))
            .ok()
    }

    fn grant_error(&mut self, at: &Key, text: &str, error: GrantError) {
        let hint = match error {
            GrantError::Letter(_) => {
                "R read, W write, E execute, D delete, C create; in any order, \"\" for none"
            }
            GrantError::Pattern | GrantError::TooDeep => {
                "an object \"/3416\", an instance \"/3416/1\", or \"*\" for all"
            }
        };
        self.error(at, format!("`{text}`: {error}"), hint);
    }
}
