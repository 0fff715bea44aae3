//! Whether what a bootstrap server has written holds together (Core 1.2, 6.1.7.6; lwm2m/40, 7), and
//! what comes of it.

use std::collections::BTreeMap;

use lamplighter_model::{InstancePath, Now, ObjectId, ObjectInstanceId, ResourceId, Ssid, Value};

use super::{
    accounts::Accounts,
    draft::{Draft, Security, ServerDraft},
};
use crate::{
    catalogue::Catalogue,
    config::ServerConfig,
    format::Content,
    object::{Account, Assigned, CoreObjects, SERVER},
    saved::{GivenAccount, GivenBootstrap, Moment, SavedGiven, SavedInstance},
    security::{SecurityMode, id},
    server::{Scheme, ServerUri},
    tree::Held,
};

/// What a bootstrap comes to: checked, and not kept yet.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) access: Vec<(InstancePath, Assigned)>,
    /// Instances whose rights are the configuration's again; `None` for all.
    pub(crate) cleared: Option<Vec<InstancePath>>,
    pub(crate) device: Vec<(ResourceId, Value)>,
    pub(crate) given: SavedGiven,
    pub(crate) servers: Vec<Ssid>,
    pub(crate) stored: BTreeMap<InstancePath, Option<Held>>,
    /// Servers whose accounts are others than before.
    pub(crate) written: Vec<Ssid>,
}

/// Who may do what after a bootstrap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// Whoever may do everything before stays, and still may.
    Former(Ssid),
    Nobody,
    /// The configuration says it, or object 2; or there is only one.
    Said,
}

/// Resources of object 1 that every account has; 8 is there by itself.
const MANDATORY: [u16; 4] = [0, 1, 6, 7];
/// Reasons that the answer names.
const MAX_REASONS: usize = 8;

impl Draft {
    /// # Errors
    /// Each reason why this cannot become what counts.
    pub(crate) fn settle(
        self,
        accounts: &Accounts,
        catalogue: Catalogue<'_>,
        now: Now,
    ) -> Result<Settled, Vec<String>> {
        let mut wrong = Vec::new();
        let pairs = self.pairs(accounts, &mut wrong);
        let access = self.assigned(catalogue, &mut wrong);
        if pairs.is_empty() && wrong.is_empty() {
            wrong.push("there is no account of a server".to_owned());
        }
        let bootstrap = self.bootstrap(accounts, &mut wrong);
        self.check_kept(&pairs, accounts, &mut wrong);
        let owner = self.owner(&pairs, &access, accounts, catalogue.core);
        if owner == Owner::Nobody {
            let who: Vec<String> = pairs.keys().map(Ssid::to_string).collect();
            let who = who.join(" and ");
            wrong.push(format!(
                "object 2 does not say who of the servers {who} may write"
            ));
        }
        if !wrong.is_empty() {
            wrong.truncate(MAX_REASONS);
            return Err(wrong);
        }
        let before = accounts.given_record();
        let mut removed = before.map_or_else(Vec::new, |given| given.removed.clone());
        let (mut servers, mut written) = (Vec::new(), Vec::new());
        for (ssid, (security, server)) in &pairs {
            let is_new = self.is_written(*security, *server);
            written.extend(is_new.then_some(*ssid));
            if is_new
                || before.is_some_and(|given| given.servers.iter().any(|one| one.ssid == *ssid))
            {
                servers.extend(self.given(*ssid, *security, *server));
            }
        }
        let kept: Vec<Ssid> = pairs.keys().copied().collect();
        removed.extend(
            accounts
                .configured_ids()
                .filter(|ssid| !kept.contains(ssid)),
        );
        removed.retain(|ssid| !kept.contains(ssid));
        removed.sort_unstable();
        removed.dedup();
        let cleared = (!self.access.is_cleared).then(|| {
            let removed = self.access.removed.iter();
            let target = |id: &ObjectInstanceId| catalogue.core.access.target(*id);
            removed.filter_map(target).collect()
        });
        Ok(Settled {
            access,
            cleared,
            device: self.device,
            given: SavedGiven {
                at: Some(Moment::of(now)),
                bootstrap,
                owner: match owner {
                    Owner::Former(ssid) => Some(ssid),
                    Owner::Nobody | Owner::Said => None,
                },
                removed,
                servers,
            },
            servers: kept,
            stored: self.stored,
            written,
        })
    }

    /// Who has rights where there are several servers (design, 6: nobody is left to guess; lwm2m/20,
    /// 11: it has to be arranged inside the session, and Anjay makes the former server the owner).
    fn owner(
        &self,
        pairs: &BTreeMap<Ssid, (ObjectInstanceId, ObjectInstanceId)>,
        access: &[(InstancePath, Assigned)],
        accounts: &Accounts,
        core: &CoreObjects,
    ) -> Owner {
        if pairs.keys().any(|ssid| accounts.is_granted(*ssid)) {
            return Owner::Said;
        }
        let is_there = |ssid: &Ssid, uri: &ServerUri| {
            let security = pairs.get(ssid).and_then(|(id, _)| self.security.get(id));
            security.is_some_and(|security| security.account.uri.parse().as_ref() == Ok(uri))
        };
        if let Some((ssid, uri)) = accounts.former_owner()
            && is_there(&ssid, &uri)
        {
            return Owner::Former(ssid);
        }
        let gives =
            |(who, bits): (&u16, &u8)| *bits != 0 && (*who == 0 || pairs.contains_key(&Ssid(*who)));
        let is_said = access.iter().any(|(_, assigned)| {
            pairs.contains_key(&Ssid(assigned.owner)) || assigned.entries.iter().any(gives)
        });
        // What was said of them before, unless all of it goes.
        let stays =
            !self.access.is_cleared && pairs.keys().any(|ssid| core.access.speaks_of(*ssid));
        match pairs.len() < 2 || is_said || stays {
            true => Owner::Said,
            false => Owner::Nobody,
        }
    }

    /// What is taken over with an instance of object 1 that was written must be of use by itself.
    fn check_kept(
        &self,
        pairs: &BTreeMap<Ssid, (ObjectInstanceId, ObjectInstanceId)>,
        accounts: &Accounts,
        wrong: &mut Vec<String>,
    ) {
        for (instance, server) in pairs.values() {
            let Some(security) = self.security.get(instance) else {
                continue;
            };
            if security.is_written || !self.is_written(*instance, *server) {
                continue;
            }
            if let Err(reasons) = accounts.trusting(&security.account).check() {
                let reasons = reasons.into_iter();
                wrong.extend(reasons.map(|why| format!("/0/{instance}: {why}")));
            }
        }
    }

    /// Accounts of servers: the instances of objects 0 and 1 that belong together.
    fn pairs(
        &self,
        accounts: &Accounts,
        wrong: &mut Vec<String>,
    ) -> BTreeMap<Ssid, (ObjectInstanceId, ObjectInstanceId)> {
        let mut secured: BTreeMap<Ssid, ObjectInstanceId> = BTreeMap::new();
        for (instance, security) in &self.security {
            if security.account.is_bootstrap {
                continue;
            }
            check_security(*instance, security, accounts, wrong);
            let Some(ssid) = security.account.ssid else {
                wrong.push(format!("/0/{instance} names no server (0/x/10)"));
                continue;
            };
            if let Some(other) = secured.insert(ssid, *instance) {
                wrong.push(format!(
                    "/0/{other} and /0/{instance} are both of server {ssid}"
                ));
            }
        }
        let mut pairs = BTreeMap::new();
        for (instance, server) in &self.servers {
            let Some(ssid) = check_server(*instance, server, wrong) else {
                continue;
            };
            match secured.remove(&ssid) {
                Some(security) => drop(pairs.insert(ssid, (security, *instance))),
                None if pairs.contains_key(&ssid) => {
                    wrong.push(format!("two instances of object 1 are of server {ssid}"));
                }
                None => wrong.push(format!("server {ssid} has no instance of object 0")),
            }
        }
        let unpaired = secured.keys();
        wrong.extend(unpaired.map(|ssid| format!("server {ssid} has no instance of object 1")));
        pairs
    }

    fn bootstrap(&self, accounts: &Accounts, wrong: &mut Vec<String>) -> GivenBootstrap {
        let mut own = self
            .security
            .iter()
            .filter(|(_, security)| security.account.is_bootstrap);
        let Some((instance, security)) = own.next() else {
            // Whoever overwrites his own account would leave no way back.
            if self.own.is_some() {
                wrong.push("the account of the bootstrap server is gone".to_owned());
            }
            return accounts.gone();
        };
        if own.next().is_some() {
            wrong.push("there are two accounts of a bootstrap server".to_owned());
        }
        if !security.is_written {
            let before = accounts.given_record().map(|given| given.bootstrap.clone());
            return match before {
                Some(given @ GivenBootstrap::Given { .. }) => given,
                // One that had its time is not the one that is talked over now.
                Some(GivenBootstrap::Configured | GivenBootstrap::Gone { .. }) | None => {
                    GivenBootstrap::Configured
                }
            };
        }
        check_security(*instance, security, accounts, wrong);
        GivenBootstrap::Given {
            account: Box::new(security.account.clone()),
            instance: instance.0,
        }
    }

    fn is_written(&self, security: ObjectInstanceId, server: ObjectInstanceId) -> bool {
        let security = self.security.get(&security);
        let server = self.servers.get(&server);
        security.is_some_and(|security| security.is_written)
            || server.is_some_and(|server| server.is_written)
    }

    fn given(
        &self,
        ssid: Ssid,
        security: ObjectInstanceId,
        server: ObjectInstanceId,
    ) -> Option<GivenAccount> {
        let resources = self.servers.get(&server)?.held.clone();
        let account = self.security.get(&security)?.account.clone();
        Some(GivenAccount {
            from: 0,
            security: (security.0, account),
            server: (
                server.0,
                SavedInstance {
                    resources: resources.into_iter().collect(),
                },
            ),
            ssid,
        })
    }

    fn assigned(
        &self,
        catalogue: Catalogue<'_>,
        wrong: &mut Vec<String>,
    ) -> Vec<(InstancePath, Assigned)> {
        let mut assigned = Vec::new();
        for (instance, held) in &self.access.written {
            match rights(held) {
                Some((path, rights)) if catalogue.definition(path.object).is_some() => {
                    assigned.push((path, rights));
                }
                // lwm2m/40, 7: to be warned of, no more.
                Some((path, _)) => tracing::warn!(%path, "Rights on what there is not"),
                None => wrong.push(format!("/2/{instance} lacks a resource (2/x/0, 1 or 3)")),
            }
        }
        assigned
    }
}

fn check_security(
    instance: ObjectInstanceId,
    security: &Security,
    accounts: &Accounts,
    wrong: &mut Vec<String>,
) {
    // What people have configured was checked when it was read.
    if !security.is_written {
        return;
    }
    let account = &security.account;
    let mandatory: &[u16] = match account.mode {
        // Core 1.2, E.1; lwm2m/40, 11: what a mode does not need may be empty or absent.
        SecurityMode::NoSec | SecurityMode::Est => &[id::URI, id::BOOTSTRAP, id::MODE],
        SecurityMode::Psk => &[
            id::URI,
            id::BOOTSTRAP,
            id::MODE,
            id::IDENTITY,
            id::SECRET_KEY,
        ],
        SecurityMode::RawPublicKey | SecurityMode::X509 => &[
            id::URI,
            id::BOOTSTRAP,
            id::MODE,
            id::IDENTITY,
            id::SERVER_KEY,
            id::SECRET_KEY,
        ],
    };
    let missing = mandatory.iter().filter(|id| !security.named.contains(id));
    let missing: Vec<String> = missing
        .map(|id| format!("/0/{instance}/{id} is missing"))
        .collect();
    if !missing.is_empty() {
        return wrong.extend(missing);
    }
    if !account.is_bootstrap && account.ssid.is_some_and(|ssid| !is_ssid(ssid.0)) {
        wrong.push(format!("/0/{instance}/10 is not the id of a server"));
    }
    if account.mode == SecurityMode::NoSec && !accounts.terms().allow_unsecured {
        wrong.push(format!(
            "/0/{instance} has no security, which this box does not allow"
        ));
    }
    for unbuilt in [id::MQTT, id::COSE] {
        if security.named.contains(&unbuilt) {
            wrong.push(format!(
                "/0/{instance}/{unbuilt} is not available in this version"
            ));
        }
    }
    if let Err(reasons) = accounts.trusting(account).check() {
        let reasons = reasons.into_iter();
        wrong.extend(reasons.map(|why| format!("/0/{instance}: {why}")));
    }
}

fn check_server(
    instance: ObjectInstanceId,
    server: &ServerDraft,
    wrong: &mut Vec<String>,
) -> Option<Ssid> {
    let missing = MANDATORY
        .into_iter()
        .filter(|id| !server.held.contains_key(&ResourceId(*id)));
    let missing: Vec<String> = missing
        .map(|id| format!("/{SERVER}/{instance}/{id} is missing"))
        .collect();
    if !missing.is_empty() {
        wrong.extend(missing);
        return None;
    }
    let ssid = whole(server.held.get(&ResourceId(0))).filter(|id| is_ssid(*id));
    let Some(ssid) = ssid.map(Ssid) else {
        wrong.push(format!("/{SERVER}/{instance}/0 is not the id of a server"));
        return None;
    };
    let uri = ServerUri {
        host: String::new(),
        port: 0,
        scheme: Scheme::Coap,
    };
    let mut account = Account::new(&ServerConfig::new("", ssid, uri));
    for (resource, content) in &server.held {
        if let Err(why) = account.give(*resource, content) {
            wrong.push(format!("/{SERVER}/{instance}/{resource}: {}", why.detail));
        }
    }
    Some(ssid)
}

/// What an instance of object 2 says; `None` where it does not say enough.
fn rights(held: &Held) -> Option<(InstancePath, Assigned)> {
    let single = |id: u16| whole(held.get(&ResourceId(id)));
    let path = InstancePath {
        object: ObjectId(single(0)?),
        instance: ObjectInstanceId(single(1)?),
    };
    let mut entries = BTreeMap::new();
    if let Some(Content::Multiple(values)) = held.get(&ResourceId(2)) {
        for (who, value) in values {
            let bits = crate::object::number(value, 0..=31).ok()?;
            entries.insert(who.0, bits as u8);
        }
    }
    let owner = single(3)?;
    Some((path, Assigned { entries, owner }))
}

fn whole(content: Option<&Content>) -> Option<u16> {
    let Some(Content::Single(value)) = content else {
        return None;
    };
    let number = crate::object::number(value, 0..=u16::MAX.into()).ok()?;
    u16::try_from(number).ok()
}

const fn is_ssid(id: u16) -> bool {
    matches!(id, 1..=65534)
}
